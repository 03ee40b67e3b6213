"""The measures and colours of a room."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ganatomy.scenes.arrays import Plane, Value, where
from ganatomy.scenes.canvas import Canvas
from ganatomy.scenes.palette import Hex, pick, swatch, tone

SCHEMES = (  # wall, sofa, accent, rug, curtain
    ("dfe5d6", "5f7f6a", "e0a458", "e9dcc4", "c9b48f"),
    ("f2ead9", "34527f", "e07a5f", "b9c7d9", "8fa9c7"),
    ("f3d9cf", "b5626a", "3d7b7b", "f4ece4", "d99a90"),
    ("cfe0e8", "b98a5e", "2f6690", "81a4b8", "5f8fb0"),
    ("e8e4df", "d9a441", "4a5a6a", "7c8c9a", "4f6d7a"),
    ("ead7c0", "7a5a48", "8aa17a", "c0674a", "c98a4a"),
    ("b9cdbf", "d8cfc0", "c2593f", "94624c", "f4efe2"),
)
ROOM_LIGHT = ("ffffff", "f2d6bc", "9c8878")


@dataclass(frozen=True)
class Room:
    """A batch of rooms; u runs across, mirrored in half of them; lengths are [n, 1, 1], colours [n, 3, 1, 1]."""

    canvas: Canvas
    flip: Plane
    corner: Plane
    ceiling: Plane
    floor: Plane
    light: Plane
    wall: Plane
    sofa: Plane
    accent: Plane
    rug: Plane
    curtain: Plane
    wood: Plane

    @classmethod
    def of(cls, canvas: Canvas) -> "Room":
        """Draw the measures and colours of each room."""
        draws = canvas.draws
        light = swatch(*ROOM_LIGHT)[canvas.light.time[:, 0, 0]][:, :, None, None]
        scheme = draws.choice("scheme", [1] * len(SCHEMES))
        wall, sofa, accent, rug, curtain = (
            swatch(*column)[scheme][:, :, None, None] * light for column in zip(*SCHEMES, strict=True)
        )
        return cls(
            canvas=canvas,
            flip=where(draws.chance("mirrored", 0.5), 1, -1),
            corner=where(draws.chance("corner", 0.5), draws.uniform("corner at", 0.88, 0.95), 2),
            ceiling=draws.uniform("ceiling", 0.08, 0.13),
            floor=draws.uniform("floor line", 0.63, 0.69),
            light=light,
            wall=wall,
            sofa=sofa,
            accent=accent,
            rug=rug,
            curtain=curtain,
            wood=pick(draws, "wood", ("8a5a38", "a8744a", "6b4630")) * light,
        )

    def lit(self, colour: Hex) -> Plane:
        """A colour in the light of the room."""
        return tone(colour) * self.light

    def pick(self, name: str, colours: Sequence[Hex]) -> Plane:
        """One of the colours for each room, in its light."""
        return pick(self.canvas.draws, name, colours) * self.light

    def u(self, view: Canvas) -> Plane:
        """Where the pixels of a view lie across the room."""
        return 0.5 + (view.x - 0.5) * self.flip

    def view(self, left: Value, top: Value, right: Value, bottom: Value) -> tuple[Canvas, Plane, Plane]:
        """The canvas around a box given in u and y, with its u and y coordinates."""
        a, b = 0.5 + (left - 0.5) * self.flip, 0.5 + (right - 0.5) * self.flip
        view = self.canvas.window(np.minimum(a, b), top, np.maximum(a, b), bottom)
        return view, self.u(view), view.y
