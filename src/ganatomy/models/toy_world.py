"""A toy world in eight pure colours. What the planted generator draws in them, the planted segmenter reads exactly."""

from ganatomy.core.vocabulary import NOTHING, Concept

VOCABULARY = (
    NOTHING,
    Concept("sky", "object"),
    Concept("tree", "object"),
    Concept("ball", "object"),
    Concept("box", "object"),
    Concept("lid", "part"),
    Concept("metal", "material"),
)

COLOURS: tuple[tuple[str, ...], ...] = (
    (),
    ("box", "lid"),
    ("tree",),
    ("sky",),
    ("ball",),
    ("ball", "metal"),
    ("box",),
    ("box", "metal"),
)
"""What each colour shows. Bits 4, 2 and 1 of its number are red, green and blue: 1 in the image if set, else -1."""


def rgb(*shown: str) -> tuple[float, float, float]:
    """Return the colour of what is shown.

    >>> rgb("box", "metal")
    (1.0, 1.0, 1.0)
    """
    number = COLOURS.index(shown)
    return tuple(1.0 if number & bit else -1.0 for bit in (4, 2, 1))  # type: ignore[return-value]
