"""Colours that go together, by time of day and season."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganatomy.scenes.arrays import Indices, Plane, Value, select, where
from ganatomy.scenes.grammar import Grammar
from ganatomy.scenes.seeded_random import SeededRandom

DAY, DUSK, NIGHT = range(3)
GREEN, AUTUMN, WINTER = range(3)
Hex = str

# By time of day: zenith and horizon of each sky; the light.
SKIES = (
    (("3f7fd0", "cfe4f5"), ("5b9be0", "eaf3f7"), ("7fa8cf", "f3ead8"), ("9fb4c8", "e6eaec")),
    (("4a4a8c", "f6b27a"), ("6a4a86", "f39a84"), ("35588f", "fbd08c")),
    (("0a1030", "2a3a6a"),),
)
LIGHTS = ("ffffff", "e8bfa8", "4a5a88")
# By season.
GROUND = (("6fa644", "86b552", "5c9440"), ("a99a4a", "b98f45", "8f9448"), ("eef2f7", "e3eaf2"))
LEAVES = (
    ("3f7a35", "4f8a3a", "2f6b40", "6c9440"),
    ("d9822b", "c4502e", "d8aa35", "9a7a35"),
    ("8c8f8a", "a39a90", "b9c3c9"),
)
FIRS = (("245a3c", "2f6648"), ("2f5a3a", "3a6240"), ("3d6458", "4a6f63"))
BUSHES = (LEAVES[GREEN], LEAVES[AUTUMN], FIRS[WINTER])
# By material.
WALLS = {
    "stone": ("d9c49a", "c9bba0", "bcb6ac"),
    "plaster": ("f3ead6", "eecf8e", "f0d6c8"),
    "brick": ("b5674a", "a85848"),
}
ROOFS = {"tile": ("b5482f", "a04034", "c4623a"), "slate": ("4f5b6e", "5d5a66", "47606a")}
DOORS = ("2456a8", "a82828", "2c7048", "5c3620")
DOMES = ("4f9a86", "e0ac3c", "5f86b8")
ROCK = ("7886a8", "8a86a0", "6f8595")
TRUNK, SNOW = "6b4a32", "f2f6fb"


def tone(colour: Hex) -> Plane:
    """One colour [1, 3, 1, 1] in [0, 1]."""
    return swatch(colour)[:, :, None, None]


def swatch(*colours: Hex) -> Plane:
    """Colours [k, 3] in [0, 1]."""
    return np.array([[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in colours], dtype=np.float32)


def mix(one: Plane, other: Plane, share: Value) -> Plane:
    """`one`, with this share of `other`."""
    return (one + (other - one) * share).astype(np.float32)


@dataclass(frozen=True)
class Lighting:
    """Time of day, season and the side of the light [n, 1, 1], and the colours that follow [n, 3, 1, 1]."""

    draws: SeededRandom
    time: Indices  # DAY, DUSK or NIGHT
    season: Indices  # GREEN, AUTUMN or WINTER
    side: Plane  # -1 is left, 1 is right
    tint: Plane
    zenith: Plane
    horizon: Plane

    @classmethod
    def of(cls, draws: SeededRandom, grammar: Grammar) -> "Lighting":
        """Draw the lighting of each scene."""
        time, season = draws.choice("time", grammar.times), draws.choice("season", grammar.seasons)
        zenith, horizon = (
            select(time, [pick(draws, "sky", [sky[end] for sky in skies]) for skies in SKIES]) for end in (0, 1)
        )
        return cls(
            draws=draws,
            time=time[:, None, None],
            season=season[:, None, None],
            side=where(draws.chance("light from the right", 0.5), 1, -1),
            tint=swatch(*LIGHTS)[time][:, :, None, None],
            zenith=zenith,
            horizon=horizon,
        )

    def lit(self, colour: Hex) -> Plane:
        """A colour in the light of the scene."""
        return tone(colour) * self.tint

    def pick(self, name: str, colours: Sequence[Hex]) -> Plane:
        """One of the colours for each scene, in the light of the scene."""
        return pick(self.draws, name, colours) * self.tint

    def seasonal(self, name: str, colours: Sequence[Sequence[Hex]]) -> Plane:
        """One of the season's colours for each scene, in the light of the scene."""
        return select(self.season[:, 0, 0], [pick(self.draws, name, season) for season in colours]) * self.tint

    def hazy(self, colour: Plane, share: float) -> Plane:
        """A colour as seen through air."""
        return mix(colour, self.horizon, share)


def pick(draws: SeededRandom, name: str, colours: Sequence[Hex]) -> Plane:
    """One of the colours for each scene, varied a little, [n, 3, 1, 1]."""
    chosen = swatch(*colours)[draws.choice(name, [1] * len(colours))][:, :, None, None]
    return chosen * draws.uniform(name + " brightness", 0.93, 1.06)[:, None]
