"""Photographs and what inverts them: read, compared with images of the model, inverted shard by shard."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.core.progress import report_progress
from ganatomy.core.tensor_types import Images, Latents
from ganatomy.datasets import CropSpec
from ganatomy.datasets.files import decode_image
from ganatomy.datasets.photographs import photograph_files
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.inversion.found import FoundLatents, InvertSpec, ModelImages
from ganatomy.models.features import FeatureNetwork, open_features
from ganatomy.models.generators import Generator
from ganatomy.models.generators.protocol import prompts_of
from ganatomy.models.inversion import Inverter, inverted, inverter_of
from ganatomy.models.inversion.optimisation import Optimisation
from ganatomy.remote import local_path

AT_ONCE = 16
"""Images of the model that are drawn at once."""


@dataclass(frozen=True)
class Photographs:
    """What photographs are inverted with, and which; the models stay behind when it travels."""

    source: DissectedModel
    spec: InvertSpec
    files: tuple[Path, ...]
    size: tuple[int, int]

    @cached_property
    def network(self) -> FeatureNetwork:
        """The feature network."""
        return _network(self.spec.features, self.source.models.device)

    @cached_property
    def inverter(self) -> Inverter:
        """What inverts them."""
        how = Optimisation(self.spec.steps, self.spec.latent_steps)
        return inverter_of(self.source.models.generator, self.network, self.spec.layer, how)

    def read(self, ids: range) -> Images:
        """Return photographs at the size of the model's images."""
        crop = CropSpec(self.size, crop=1)
        return torch.stack([decode_image(self.files[i], str(self.files[i]), crop) for i in ids])

    @torch.no_grad()
    def drawn(self) -> ModelImages:
        """Describe the images of the model."""
        generator, spec, parts = self.source.models.generator, self.spec, list[Tensor]()
        for first in range(0, spec.images, AT_ONCE):
            ids = spec.ids()[first : first + AT_ONCE]
            images = generator.observe(generator.latents(ids, spec.seed), ()).images
            parts.append(self.network.features(images.clamp(-1, 1)).cpu())
        return ModelImages.of(torch.cat(parts))

    def nearest(self, photographs: Images, drawn: ModelImages) -> tuple[Latents, Tensor]:
        """Return the latents of the nearest image of each photograph, of its prompt, and its distance to any."""
        generator, spec = self.source.models.generator, self.spec
        distances = drawn.distances(self.network.features(photographs))
        ids = [spec.first + i for i in distances.argmin(1).tolist()]
        z = torch.cat([generator.latents(range(i, i + 1), spec.seed) for i in ids])
        if spec.prompt is not None:
            z = z.clone()
            z[:, -1] = prompt_number(generator, spec.prompt)
        return z, distances.min(1).values

    def __reduce__(self) -> tuple[Any, ...]:
        return Photographs, (self.source, self.spec, self.files, self.size)


@lru_cache(maxsize=1)
def _network(name: str, device: str) -> FeatureNetwork:
    return open_features(name, device)


def prompt_number(generator: Generator, prompt: str) -> int:
    """Return the number that latents have for a prompt.

    Raises:
        BadValue: the generator draws from no prompts.
        UnknownName: it is none of them.
    """
    prompts = prompts_of(generator)
    if not prompts:
        raise BadValue(f"prompt={prompt!r}: the generator draws from no prompts; leave it out")
    if prompt not in prompts:
        raise UnknownName("prompt of the generator", prompt, prompts)
    z = generator.latents(range(prompts.index(prompt), prompts.index(prompt) + 1), 0)
    return int(z[0, -1])


def invert_shard(photographs: Photographs, drawn: ModelImages, ids: range) -> FoundLatents:
    """Invert some of the photographs."""
    images = photographs.read(ids).to(photographs.source.models.generator.device)
    start, distance = photographs.nearest(images, drawn)
    found = inverted(photographs.inverter, images, start)
    z = found.z.flatten(1)
    rows = FoundLatents(z.shape[1], found.offset.shape[1:], images.shape[1:])
    rows.update(z, found.offset, images, found.images, distance)
    report_progress(len(ids))
    return rows


def open_photographs(source: DissectedModel, spec: InvertSpec) -> Photographs:
    """Find the photographs of a Spec, and the size at which the model draws."""
    generator = source.models.generator
    z = generator.latents(spec.ids()[:1], spec.seed)
    height, width = generator.observe(z, ()).images.shape[-2:]
    return Photographs(source, spec, tuple(photograph_files(local_path(spec.image))), (height, width))


def stems(files: Sequence[Path]) -> list[str]:
    """Return the names of files without their endings, each once.

    >>> stems([Path("a/x.png"), Path("b/x.jpg"), Path("y.png")])
    ['x', 'x-2', 'y']
    """
    found: list[str] = []
    for file in files:
        name, number = file.stem, 1
        while name in found:
            number += 1
            name = f"{file.stem}-{number}"
        found.append(name)
    return found


def write_images(directory: Path, names: Sequence[str], images: Images) -> None:
    """Write images as PNG files of these names."""
    directory.mkdir(exist_ok=True)
    for name, image in zip(names, as_bytes(images).permute(0, 2, 3, 1).numpy(), strict=True):
        Image.fromarray(image).save(directory / f"{name}.png")
