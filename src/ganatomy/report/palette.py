"""One colour per concept, the same everywhere: categories are hues, concepts are shades of them.

The colours come from the vocabulary alone, so the report, the notebook and the figures agree. Each has enough contrast
to be seen as a bar on white and on near-black.
"""

import math

from ganatomy.core.vocabulary import CATEGORIES, Vocabulary

_HUES = (250.0, 55.0, 160.0, 345.0, 105.0, 300.0, 205.0, 25.0)
"""Of the categories in order: blue, orange, green, pink, then what is left."""
_SPREAD = 40.0
_DARK, _LIGHT = 0.52, 0.655
NEUTRAL = "#858b95"
"""For what belongs to no concept."""


def category_colours(vocabulary: Vocabulary) -> dict[str, str]:
    """Return the colour of each category that occurs, as ``#rrggbb``; the known ones first, others as they appear."""
    present = {concept.category for concept in vocabulary}
    return {name: _hex(0.6, 0.12, hue) for name, hue in _hues(vocabulary).items() if name in present}


def concept_colours(vocabulary: Vocabulary) -> dict[tuple[str, str], str]:
    """Return the colour of each concept (name, category), as ``#rrggbb``, in the order of the vocabulary.

    >>> from ganatomy.core.vocabulary import NOTHING, Concept
    >>> list(concept_colours((NOTHING, Concept("tree", "object"), Concept("brick", "material"))).values())
    ['#858b95', '#386ca0', '#277a55']
    """
    hues = _hues(vocabulary)
    seen = dict.fromkeys(hues, 0)
    colours: dict[tuple[str, str], str] = {}
    for concept in vocabulary:
        if concept.category not in hues:
            colours[concept] = NEUTRAL
            continue
        colours[concept] = _shade(hues[concept.category], seen[concept.category])
        seen[concept.category] += 1
    return colours


def ordered_colours(count: int) -> list[str]:
    """Return colours for things in an order, such as layers, from blue over green to red, as ``#rrggbb``.

    >>> ordered_colours(2)
    ['#3377be', '#b4514e']
    """
    return [_hex(0.56, 0.13, 252.0 - 228.0 * i / max(count - 1, 1)) for i in range(count)]


def _hues(vocabulary: Vocabulary) -> dict[str, float]:
    others = dict.fromkeys(c.category for c in vocabulary[1:] if c.category not in CATEGORIES)
    return {name: _HUES[i % len(_HUES)] for i, name in enumerate((*CATEGORIES, *others))}


def _shade(hue: float, number: int) -> str:
    """Return the n-th shade of a hue; neighbours differ in lightness, chroma and hue (an additive recurrence)."""
    light, strength, turn = (number * step % 1 for step in (0.8191725, 0.5497005, 0.6710436))
    return _hex(_DARK + (_LIGHT - _DARK) * light, 0.10 + 0.05 * strength, hue + _SPREAD * ((turn + 0.5) % 1 - 0.5))


def _hex(lightness: float, chroma: float, hue: float) -> str:
    """Return an OKLCH colour as sRGB, with as much of its chroma as sRGB can show (Ottosson 2020)."""
    while True:
        a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
        red, green, blue = (
            (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3,
            (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3,
            (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3,
        )
        linear = (
            4.0767416621 * red - 3.3077115913 * green + 0.2309699292 * blue,
            -1.2684380046 * red + 2.6097574011 * green - 0.3413193965 * blue,
            -0.0041960863 * red - 0.7034186147 * green + 1.7076147010 * blue,
        )
        if all(0 <= c <= 1 for c in linear):
            return "#" + "".join(f"{round(255 * _gamma(c)):02x}" for c in linear)
        chroma *= 0.95


def _gamma(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else float(1.055 * linear ** (1 / 2.4) - 0.055)
