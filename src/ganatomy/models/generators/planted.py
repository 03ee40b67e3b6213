"""A generator whose units are known: some draw a concept, others only correlate with one, most do nothing.

It is a truth to test dissection and interventions against, and a small example of a generator without hooks. Objects
have random places and sizes and are often absent. Each layer is computed from the one before, so that ablating the
units of a concept at any layer removes it from the image. The role of each unit is in `UNITS`:

* ``ball``: draws it (two units of one role draw it together, each with half the strength).
* ``copy:ball``: is on exactly where the ball is, but nothing reads it: correlated, not causal.
* ``not:box``: is on where the box is not.
* ``top``: brighter towards the top, the same in every image: overlaps the sky by chance.
* ``noise:0``: smooth random waves of its own.
* ``on``, ``dead``: constant.
"""

import itertools
import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.generators.protocol import LayerShape, StepwiseGenerator, Visit
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.toy_world import VOCABULARY, rgb

UNITS: Mapping[str, tuple[str, ...]] = {
    layer: tuple(roles.split())
    for layer, roles in {
        "layer1": "ball noise:0 sky tree dead copy:ball box top noise:1 tree not:box on",
        "layer2": "top tree box noise:2 lid not:tree dead sky copy:box noise:0 ball tree",
        "layer3": "noise:1 box copy:metal tree dead metal noise:2 tree lid on ball not:ball sky top",
    }.items()
}
"""The role of each unit of each layer."""

SIDES = {"layer1": 8, "layer2": 16, "layer3": 32}
LAYERS = tuple(UNITS)

CONCEPTS = {concept.name for concept in VOCABULARY[1:]}

WAVES = 8
LATENT = 14 + 3 * WAVES
"""Sizes and places of things, then the strengths of each noise's waves."""


class PlantedGenerator(StepwiseGenerator):
    """Draws skies, trees, balls and boxes of 32 pixels, some of metal, the boxes with lids.

    Attributes:
        truth: for (layer, unit) the concept that it is on for, or None.
        causal: the units that the image depends on.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.layers: Mapping[str, LayerShape] = {
            layer: LayerShape(len(units), SIDES[layer], SIDES[layer]) for layer, units in UNITS.items()
        }
        self.fingerprint = fingerprint({}, "planted", UNITS, SIDES, WAVES)
        roles = {(layer, unit): role for layer, units in UNITS.items() for unit, role in enumerate(units)}
        self.causal = frozenset(unit for unit, role in roles.items() if role in CONCEPTS)
        self.truth: Mapping[tuple[str, int], str | None] = {
            unit: name if (name := role.removeprefix("copy:")) in CONCEPTS else None for unit, role in roles.items()
        }

    def latents(self, ids: range, seed: int) -> Latents:
        """Return N(0, 1) latents."""
        return standard_normal(ids, seed, (LATENT,), self.device)

    def draw(self, z: Latents, visit: Visit, start: str | None = None) -> Images:
        """Return the images; see `StepwiseGenerator`."""
        first = LAYERS.index(start) if start else 0
        r = visit(LAYERS[first], z if start else _features(LAYERS[0], _objects(z), z))
        for before, after in itertools.pairwise(LAYERS[first:]):
            r = visit(after, _next(r, before, z))
        return _paint(r)


Fields = dict[str, Tensor]
"""Concepts, [b, h, w]: 1 inside, 0 outside, 1/2 on the outline, which is about one cell wide."""


def _objects(z: Tensor) -> Fields:
    """Place the objects of each image, on the grid of the first layer."""
    u = torch.special.ndtr(z[:, :14, None, None])
    y, x = _grid("layer1", z)

    def placed(first: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the distances from the centre, and the size: -1 where the object is absent."""
        size = torch.where(u[:, first + 3] < 0.65, 0.14 + 0.12 * u[:, first + 2], -1.0)
        return (y - u[:, first]).abs(), (x - u[:, first + 1]).abs(), size

    down, across, size = placed(0)
    tree = torch.minimum(1.4 * size - down, 0.6 * size - across)
    down, across, size = placed(4)
    ball = size - torch.hypot(down, across)
    down, across, size = placed(8)
    box = size - torch.maximum(down, 0.8 * across)
    sky = 0.7 * u[:, 12] - 0.15 - y + 0 * x
    depths = {"sky": sky, "tree": tree, "ball": ball, "box": box}
    return {name: (0.5 + SIDES["layer1"] * depth).clamp(0, 1) for name, depth in depths.items()}


def _features(layer: str, fields: Fields, z: Tensor) -> Features:
    """Return the units of a layer."""
    y, x = _grid(layer, z)

    def unit(role: str) -> Tensor:
        match role.split(":"):
            case ["copy", what]:
                return fields[what]
            case ["not", what]:
                return 1 - fields[what]
            case ["noise", which]:
                return _noise(z[:, 14 + WAVES * int(which) :][:, :WAVES], y, x)
            case ["top"]:
                return (1 - y + 0 * x).expand(len(z), -1, -1)
            case ["on" | "dead" as kind]:
                return torch.full_like(fields["sky"], float(kind == "on"))
        return fields[role] / UNITS[layer].count(role)

    return torch.stack([unit(role) for role in UNITS[layer]], 1)


def _noise(strengths: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return a sum of waves in several directions, each of random strength and phase."""
    total = torch.zeros(1, device=strengths.device)
    for i in range(WAVES // 2):
        angle, cycles = 2.4 * i, 0.8 + 0.5 * i
        phase = 2 * math.pi * cycles * (math.cos(angle) * x + math.sin(angle) * y)
        even, odd = strengths[:, 2 * i, None, None], strengths[:, 2 * i + 1, None, None]
        total = total + even * phase.cos() + odd * phase.sin()
    return total


def _concepts(r: Features, layer: str) -> Fields:
    """Return where each concept is, from the units that draw it."""
    names = [role for role in dict.fromkeys(UNITS[layer]) if role in CONCEPTS]
    return {name: r[:, [unit for unit, role in enumerate(UNITS[layer]) if role == name]].sum(1) for name in names}


def _next(r: Tensor, layer: str, z: Tensor) -> Features:
    """Return the layer after `layer`: finer outlines; then lids where boxes begin; then metal."""
    fields = {}
    for name, field in _concepts(r, layer).items():
        finer = F.interpolate(field[:, None], scale_factor=2.0, mode="bilinear")[:, 0]
        fields[name] = torch.sigmoid(8 * (finer - 0.5))
    if layer == "layer1":
        above = F.pad(fields["box"][:, :-2], (0, 0, 2, 0))
        fields["lid"] = fields["box"] * (1 - above)
    else:
        glossy = (z[:, 13] > 0)[:, None, None]
        fields["metal"] = glossy * (1 - (1 - fields["ball"]) * (1 - fields["box"]))
    return _features(LAYERS[LAYERS.index(layer) + 1], fields, z)


def _paint(r: Features) -> Images:
    """Draw sky, trees, balls and boxes over each other; metal shows on balls and boxes only, a lid on a box only."""
    cover = {name: torch.sigmoid(12 * (field - 0.5))[:, None] for name, field in _concepts(r, LAYERS[-1]).items()}

    def colour(*shown: str) -> Tensor:
        return torch.tensor(rgb(*shown), dtype=r.dtype, device=r.device)[:, None, None]

    ball = torch.lerp(colour("ball"), colour("ball", "metal"), cover["metal"])
    box = torch.lerp(colour("box"), colour("box", "metal"), cover["metal"])
    box = torch.lerp(box, colour("box", "lid"), cover["lid"])
    images = colour()
    for name, own in {"sky": colour("sky"), "tree": colour("tree"), "ball": ball, "box": box}.items():
        images = torch.lerp(images, own, cover[name])
    return images


def _grid(layer: str, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return the positions of a layer's rows and columns, in parts of the image's side."""
    places = (torch.arange(SIDES[layer], device=z.device) + 0.5) / SIDES[layer]
    return places[:, None], places[None, :]


@GENERATORS.register("planted", argument="none", data=True, fixed="it has no weights")
def open_planted(_argument: str, /, *, device: torch.device) -> PlantedGenerator:
    """Open the planted generator; it takes no argument."""
    return PlantedGenerator(device)
