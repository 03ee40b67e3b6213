"""Photographs that people open in the studio: inverted piece by piece, then painted on as any image of the model."""

import secrets
from collections import OrderedDict
from collections.abc import Generator as Pieces
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.datasets import CropSpec
from ganatomy.datasets.files import decode_image
from ganatomy.experiments.inversion.found import ModelImages, place_among
from ganatomy.experiments.real_comparison import FEATURES
from ganatomy.models.features import FeatureNetwork, open_features
from ganatomy.models.generators import Generator, LayerShape, Observation
from ganatomy.models.generators.photographs import PhotographGenerator
from ganatomy.models.generators.protocol import Edit
from ganatomy.models.inversion import Inverted, inverter_of
from ganatomy.web.schemas import PhotographState

if TYPE_CHECKING:
    from ganatomy.web.paint_sessions import Painter

FIRST = 1 << 52
"""The lowest id of a photograph; no image of a model that is painted on has so great a one."""
KEPT = 32
"""Photographs that are kept; the one that was opened first goes first."""


class UnknownPhotograph(UnknownName):
    """No such photograph is open. Its message lists no others, which may be other people's."""

    def _hint(self) -> str:
        return "it was not opened, or is no longer kept; open it again"


class PaintedGenerator:
    """A generator, and photographs that were inverted for it: images with ids from `FIRST` on; see `Generator`."""

    def __init__(self, base: Generator) -> None:
        self.base, self.layers, self.fingerprint, self.device = base, base.layers, base.fingerprint, base.device
        self.margins: Mapping[str, int] = getattr(base, "margins", {})
        self.listed: Mapping[str, LayerShape] = getattr(base, "listed", base.layers)
        self._photographs: OrderedDict[int, PhotographGenerator] = OrderedDict()
        if freeze := getattr(base, "freeze", None):  # while a server runs, its weights change no more
            freeze()

    def add(self, id: int, photograph: PhotographGenerator) -> None:
        """Take in a photograph under an id."""
        self._photographs[id] = photograph
        if len(self._photographs) > KEPT:
            self._photographs.popitem(last=False)

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the latents of these ids.

        Raises:
            UnknownPhotograph: it is not open.
        """
        if not ids or ids[-1] < FIRST:
            return self.base.latents(ids, seed)
        for id in ids:
            if id not in self._photographs:
                raise UnknownPhotograph("photograph", str(id), ())
        return torch.cat([self._photographs[id].latents(range(1), 0) for id in ids])

    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Return images and features; see `Subject`."""
        return self._of(z).observe(z, layers, edits)

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Return the images with the layer's output replaced by `r`; see `Generator`."""
        return self._of(z).render(r, layer, z, edits)

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return the images with edits."""
        return self._of(z).edited(z, edits)

    def _of(self, z: Latents) -> Generator:
        """Return what draws these latents: those of photographs are longer, and all of one length."""
        for own in self._photographs.values():
            return own if z.shape[1:] == own.latents(range(1), 0).shape[1:] else self.base
        return self.base


@dataclass
class _Opened:
    """A photograph on its way."""

    state: PhotographState
    pieces: Pieces[float, None, None]


class Photographs:
    """The photographs that were opened, of one study.

    All methods but `state` run in the thread of the models.
    """

    def __init__(self, painter: "Painter") -> None:
        self._painter = painter
        self._opened: OrderedDict[int, _Opened] = OrderedDict()
        self._drawn: tuple[ModelImages, Latents, FeatureNetwork] | None = None

    def add(self, photograph: Images) -> PhotographState:
        """Take in a photograph [1, 3, H, W]; `advance` inverts it."""
        id = FIRST + secrets.randbelow(FIRST)  # nobody finds another's by counting
        state = PhotographState(id=id, share=0.0, finished=False)
        self._opened[id] = _Opened(state, self._invert(state, photograph))
        if len(self._opened) > KEPT:
            self._opened.popitem(last=False)
        return state

    def state(self, id: int) -> PhotographState:
        """Return how far a photograph is.

        Raises:
            UnknownPhotograph: it was not opened, or too long ago.
        """
        if id not in self._opened:
            raise UnknownPhotograph("photograph", str(id), ())
        return self._opened[id].state

    def advance(self, id: int) -> bool:
        """Do the next piece of an inversion; return whether there is more."""
        opened = self._opened.get(id)
        if opened is None:
            return False
        share = next(opened.pieces, None)
        if share is None:
            return False
        opened.state.share = share
        return True

    def _invert(self, state: PhotographState, photograph: Images) -> Pieces[float, None, None]:
        painter = self._painter
        generator = painter.generator.base
        photograph = photograph.to(generator.device)
        drawn, latents, network = self._model_images()
        yield 0.0
        distances = drawn.distances(network.features(photograph))
        start = latents[distances.argmin(1).to(latents.device)]
        inverter = inverter_of(generator, network)
        found: Inverted = yield from inverter.pieces(photograph, start)
        own = PhotographGenerator(generator, found.z, found.offset, photograph, found.images, found.layer)
        painter.generator.add(state.id, own)
        labels = [painter.source.models.segmenter(images) for images in (photograph, found.images)]
        state.kept = float((labels[0] == labels[1]).double().mean())
        state.error = float((found.images.clamp(-1, 1) - photograph).abs().mean() / 2)
        distance = float(distances.min())
        state.place, state.distance = place_among(distance, drawn.nearest), distance / float(drawn.nearest.median())
        state.share, state.finished = 1.0, True

    def _model_images(self) -> tuple[ModelImages, Tensor, FeatureNetwork]:
        """Return images of the model: those among which a good one to start with is looked for."""
        if self._drawn is None:
            network = open_features(FEATURES, self._painter.source.models.device)
            z, images = self._painter.candidates()
            with torch.no_grad():
                self._drawn = ModelImages.of(network.features(images.clamp(-1, 1)).cpu()), z, network
        return self._drawn


def read_photograph(content: bytes, size: tuple[int, int]) -> Images:
    """Return the middle part of an image file, at the size of a model's images, [1, 3, H, W].

    Raises:
        BadFile: it is none that can be read.
        BadValue: it is empty.
    """
    if not content:
        raise BadValue("the body is empty; send an image file")
    return decode_image(content, "the photograph", CropSpec(size, crop=1))[None]
