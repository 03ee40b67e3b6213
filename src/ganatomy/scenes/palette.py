"""Colours that go together, by time of day and season."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganatomy.scenes.draws import Draws, Plane

DAY, DUSK, NIGHT = range(3)
GREEN, AUTUMN, WINTER = range(3)
Hex = str

SKIES = {
    DAY: (("3f7fd0", "cfe4f5"), ("5b9be0", "eaf3f7"), ("7fa8cf", "f3ead8"), ("9fb4c8", "e6eaec")),
    DUSK: (("4a4a8c", "f6b27a"), ("6a4a86", "f39a84"), ("35588f", "fbd08c")),
    NIGHT: (("0a1030", "2a3a6a"),),
}
LIGHTS = {DAY: "ffffff", DUSK: "e8bfa8", NIGHT: "4a5a88"}
GROUND = {GREEN: ("6fa644", "86b552", "5c9440"), AUTUMN: ("a99a4a", "b98f45", "8f9448"), WINTER: ("eef2f7", "e3eaf2")}
LEAVES = {
    GREEN: ("3f7a35", "4f8a3a", "2f6b40", "6c9440"),
    AUTUMN: ("d9822b", "c4502e", "d8aa35", "9a7a35"),
    WINTER: ("8c8f8a", "a39a90", "b9c3c9"),
}
FIRS = {GREEN: ("245a3c", "2f6648"), AUTUMN: ("2f5a3a", "3a6240"), WINTER: ("3d6458", "4a6f63")}
BUSHES = {**LEAVES, WINTER: FIRS[WINTER]}
ROCK = ("7886a8", "8a86a0", "6f8595")
WALLS = {
    "stone": ("d9c49a", "c9bba0", "bcb6ac"),
    "brick": ("b5674a", "a85848"),
    "plaster": ("f3ead6", "eecf8e", "f0d6c8"),
}
ROOFS = {"tile": ("b5482f", "a04034", "c4623a"), "slate": ("4f5b6e", "5d5a66", "47606a")}
DOORS = ("2456a8", "a82828", "2c7048", "5c3620")
DOMES = ("4f9a86", "e0ac3c", "5f86b8")
TRUNK, SNOW, STEM = "6b4a32", "f2f6fb", "5a4638"


def rgb(*colours: Hex) -> Plane:
    """Colours [k, 3] in [0, 1]."""
    return np.array([[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in colours], dtype=np.float32)


def mix(one: Plane, other: Plane, share: Plane | float) -> Plane:
    """`one`, with this share of `other`."""
    return (one + (other - one) * share).astype(np.float32)


@dataclass(frozen=True)
class Mood:
    """Time of day, season, and the colours that follow: each [n, 3, 1, 1]; flags and indices as said."""

    draws: Draws
    time: Plane  # [n, 1, 1], DAY, DUSK or NIGHT
    season: Plane  # [n, 1, 1], GREEN, AUTUMN or WINTER
    light: Plane
    zenith: Plane
    horizon: Plane
    side: Plane  # [n, 1, 1]: -1 where the light comes from the left, 1 from the right

    @classmethod
    def of(cls, draws: Draws) -> "Mood":
        """Draw the mood of each scene."""
        time = draws.choice("time", (0.75, 0.22, 0.03))
        season = draws.choice("season", (0.55, 0.23, 0.22))
        light = rgb(*(LIGHTS[t] for t in (DAY, DUSK, NIGHT)))[time][:, :, None, None]
        skies = [pick(draws, "sky", [pair[i] for pair in SKIES[t]]) for t in (DAY, DUSK, NIGHT) for i in (0, 1)]
        zenith, horizon = (_select(time, skies[i::2]) for i in (0, 1))
        side = np.where(draws.chance("light from the right", 0.5), 1, -1).astype(np.float32)
        as_plane = [a.astype(np.float32)[:, None, None] for a in (time, season)]
        return cls(draws, as_plane[0], as_plane[1], light, zenith, horizon, side)

    def pick(self, name: str, colours: Sequence[Hex]) -> Plane:
        """One of the colours for each scene, in the light of the scene."""
        return pick(self.draws, name, colours) * self.light

    def seasonal(self, name: str, colours: dict[int, Sequence[Hex]]) -> Plane:
        """One of the season's colours for each scene, in the light of the scene."""
        choices = [pick(self.draws, name, colours[s]) for s in (GREEN, AUTUMN, WINTER)]
        return _select(self.season[:, 0, 0].astype(np.intp), choices) * self.light

    def hazy(self, colour: Plane, share: float) -> Plane:
        """A colour as seen through air."""
        return mix(colour, self.horizon, share)


def pick(draws: Draws, name: str, colours: Sequence[Hex]) -> Plane:
    """One of the colours for each scene, varied a little, [n, 3, 1, 1]."""
    chosen = rgb(*colours)[draws.choice(name, [1] * len(colours))][:, :, None, None]
    return chosen * draws.uniform(name + " brightness", 0.93, 1.06)[:, None]


def _select(index: np.ndarray[tuple[int], np.dtype[np.intp]], choices: Sequence[Plane]) -> Plane:
    return np.stack(choices)[index, np.arange(len(index))]
