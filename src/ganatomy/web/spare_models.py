"""The models as seen by a long measurement: each call runs in the thread of the models, when the server is idle."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch

from ganatomy.core.tensor_types import Features, Images, Labels, Latents
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.generators import Generator, Observation
from ganatomy.models.generators.protocol import Edit
from ganatomy.models.segmenters import Segmenter

T = TypeVar("T")


@runtime_checkable
class Submit(Protocol):
    """Runs a job elsewhere, and waits for what it returns."""

    def __call__(self, job: Callable[[], T]) -> T:
        """Return what the job returns."""
        ...


class SpareGenerator:
    """A generator whose every call is submitted; the caller waits for it."""

    def __init__(self, generator: Generator, submit: Submit, drawn: Callable[[int], None]) -> None:
        self._generator, self._submit, self._drawn = generator, submit, drawn
        self.layers, self.fingerprint, self.device = generator.layers, generator.fingerprint, generator.device
        self.margins = getattr(generator, "margins", {})

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the latents of these ids."""
        return self._submit(lambda: self._generator.latents(ids, seed))

    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Return images and features."""
        self._drawn(len(z))
        return self._submit(lambda: self._generator.observe(z, layers, edits))

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Return images, without gradients."""

        def job() -> Images:
            with torch.no_grad():  # which is of the thread
                return self._generator.render(r, layer, z, edits)

        self._drawn(len(r))
        return self._submit(job)

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return images with edits."""
        self._drawn(len(z))
        return self._submit(lambda: self._generator.edited(z, edits))


class SpareSegmenter:
    """A segmenter whose every call is submitted."""

    def __init__(self, segmenter: Segmenter, submit: Submit) -> None:
        self._segmenter, self._submit = segmenter, submit
        self.vocabulary, self.planes = segmenter.vocabulary, segmenter.planes
        self.fingerprint, self.device = segmenter.fingerprint, segmenter.device

    def __call__(self, images: Images) -> Labels:
        """Return the labels of images."""
        return self._submit(lambda: self._segmenter(images))


def spare_models(models: ModelPair, submit: Submit, drawn: Callable[[int], None]) -> ModelPair:
    """Return the same models, each call of which is submitted; `drawn` is called with how many images it draws."""
    generator = SpareGenerator(models.generator, submit, drawn)
    return ModelPair(generator, SpareSegmenter(models.segmenter, submit), models.device)
