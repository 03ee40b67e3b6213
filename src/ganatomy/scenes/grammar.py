"""What may stand where in the embedded world: rules as data, which the renderer obeys and experiments ask."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from ganatomy.errors import UnknownName
from ganatomy.vocabulary import NOTHING, Concept

PLANES = ("object", "part", "material")
"""The kinds of label that a pixel carries, one plane each."""


@dataclass(frozen=True)
class Rule:
    """Where one object may stand and what it is made of.

    * `on`: what carries it. It is drawn over these only, or stands on them. Empty: it belongs to the stage.
    * `hides`: what else it may stand in front of.
    * `meets`: what else may lie beside it in the image (a door meets the path that leads to it).
    * `parts`, `materials`: what its pixels may be labelled with; a pixel without one is labelled nothing.
    """

    name: str
    on: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    meets: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()

    @property
    def beside(self) -> tuple[str, ...]:
        """What it may lie beside in the image, by its own rule."""
        return self.on + self.hides + self.meets


@dataclass(frozen=True)
class Grammar:
    """The rules of one category of scenes.

    >>> from ganatomy.scenes import grammar
    >>> grammar("church").allows("door", on="building"), grammar("church").allows("door", on="sky")
    (True, False)
    """

    category: str
    rules: Mapping[str, Rule]
    times: tuple[float, float, float] = (0.75, 0.22, 0.03)
    """Shares of scenes by day, at dusk and at night."""
    seasons: tuple[float, float, float] = (0.55, 0.23, 0.22)
    """Shares of green, autumn and winter scenes."""
    free_openings: bool = False
    """Whether the door and the windows, if any, stand anywhere on their walls (see `openings`)."""

    def allows(self, thing: str, on: str) -> bool:
        """Whether an object (or a part) may be carried by an object; raises UnknownName for names of no rule."""
        host = self.rule(on)
        if thing in self.rules:
            return on in self.rules[thing].on
        self._known(thing, {part for rule in self.rules.values() for part in rule.parts}, "part")
        return thing in host.parts

    def adjacent(self, one: str, other: str) -> bool:
        """Whether pixels of two objects may lie side by side: one carries, hides or meets the other."""
        return other in self.rule(one).beside or one in self.rule(other).beside

    def rule(self, name: str) -> Rule:
        """The rule of an object; raises UnknownName, with suggestions."""
        self._known(name, set(self.rules), "object")
        return self.rules[name]

    def _known(self, name: str, known: set[str], kind: str) -> None:
        if name not in known:
            raise UnknownName(f"{kind} of {self.category}", name, sorted(known | set(self.rules)))


def _grammar(category: str, *rules: Rule) -> Grammar:
    return Grammar(category, MappingProxyType({rule.name: rule for rule in rules}))


_HEAVEN = ("sky", "cloud", "sun", "moon")
_FAR = (*_HEAVEN, "mountain", "hill")
_BUILT = ("building", "roof", "tower", "dome", "window", "door", "chimney")

CHURCH = _grammar(
    "church",
    Rule("sky"),
    Rule("sun", on=("sky",)),
    Rule("moon", on=("sky",)),
    Rule("cloud", on=("sky",), hides=("sun", "moon")),
    Rule("mountain", hides=_HEAVEN, parts=("slope", "peak"), materials=("rock", "snow")),
    Rule("hill", hides=(*_HEAVEN, "mountain"), materials=("turf", "snow")),
    Rule("water", hides=_FAR, materials=("water",)),
    Rule("grass", hides=(*_FAR, "water"), materials=("turf", "snow")),
    Rule("path", on=("grass",), meets=("building", "tower", "door"), materials=("earth",)),
    Rule(
        "building",
        on=("grass",),
        hides=(*_FAR, "water", "tree", "roof"),
        parts=("facade", "flank"),
        materials=("brick", "stone", "plaster"),
    ),
    Rule(
        "roof",
        on=("building",),
        hides=(*_FAR, "water", "tree", "grass"),
        parts=("pitch", "ridge"),
        materials=("tile", "slate", "snow"),
    ),
    Rule(
        "tower",
        on=("grass", "building"),
        hides=(*_FAR, "water", "tree", "roof"),
        parts=("shaft", "spire"),
        materials=("brick", "stone", "plaster", "tile", "slate", "snow"),
    ),
    Rule(
        "dome",
        on=("roof",),
        hides=(*_FAR, "water", "tree", "grass", "building"),
        parts=("shell", "drum", "lantern"),
        materials=("metal", "stone", "brick", "plaster"),
    ),
    Rule("chimney", on=("roof",), hides=(*_FAR, "tree", "grass"), parts=("stack", "cap"), materials=("brick",)),
    Rule("window", on=("building", "tower"), meets=("roof",), parts=("pane", "frame"), materials=("glass", "stone")),
    Rule("door", on=("building", "tower"), meets=("grass",), parts=("panel", "frame"), materials=("wood", "stone")),
    Rule(
        "tree",
        on=("grass",),
        hides=(*_FAR, "water", "path", *_BUILT),
        parts=("trunk", "crown"),
        materials=("wood", "foliage"),
    ),
    Rule("bush", on=("grass",), hides=(*_FAR, "water", "path", "tree", *_BUILT), materials=("foliage",)),
)

VARIED_CHURCH = replace(
    CHURCH, category="varied-church", times=(0.6, 0.25, 0.15), seasons=(0.4, 0.3, 0.3), free_openings=True
)
"""The same rules; but openings may be absent or stand anywhere on a wall, and all seasons and times are common."""

_HUNG = ("window", "curtain", "painting", "shelf", "book")

LIVINGROOM = _grammar(
    "livingroom",
    Rule("wall", materials=("plaster", "wood", "brick")),
    Rule("ceiling", hides=("wall",), materials=("plaster", "wood")),
    Rule("floor", hides=("wall",), materials=("wood", "tile", "carpet")),
    Rule("window", on=("wall",), parts=("pane", "frame"), materials=("glass", "wood")),
    Rule("painting", on=("wall",), parts=("canvas", "frame"), materials=("paper", "wood", "metal")),
    Rule("curtain", on=("wall",), hides=("window", "floor", "ceiling"), materials=("fabric",)),
    Rule("shelf", on=("wall",), materials=("wood",)),
    Rule("book", on=("shelf",), hides=("wall",), materials=("paper",)),
    Rule("rug", on=("floor",), materials=("carpet",)),
    Rule(
        "sofa",
        on=("floor", "rug"),
        hides=("wall", *_HUNG, "plant"),
        parts=("back", "seat", "arm", "leg"),
        materials=("fabric", "wood"),
    ),
    Rule("cushion", on=("sofa",), meets=("wall", "floor", *_HUNG), materials=("fabric",)),
    Rule(
        "plant",
        on=("floor",),
        hides=("wall", *_HUNG, "rug", "sofa", "cushion"),
        parts=("pot", "leaves"),
        materials=("ceramic", "foliage"),
    ),
    Rule(
        "lamp",
        on=("floor", "table"),
        hides=("wall", *_HUNG, "rug", "sofa", "cushion", "plant"),
        parts=("lampshade", "stand"),
        materials=("fabric", "metal", "ceramic"),
    ),
    Rule(
        "table",
        on=("floor", "rug"),
        hides=("wall", *_HUNG, "sofa", "cushion", "plant", "lamp"),
        parts=("tabletop", "leg"),
        materials=("wood", "glass", "metal"),
    ),
)

GRAMMARS: Mapping[str, Grammar] = MappingProxyType(
    {each.category: each for each in (CHURCH, LIVINGROOM, VARIED_CHURCH)}
)
CATEGORIES = tuple(GRAMMARS)


def grammar(category: str) -> Grammar:
    """The grammar of a category; raises UnknownName, with suggestions."""
    if category not in GRAMMARS:
        raise UnknownName("category of scenes", category, CATEGORIES)
    return GRAMMARS[category]


def _vocabulary() -> tuple[Concept, ...]:
    rules = [rule for each in GRAMMARS.values() for rule in each.rules.values()]
    names = {
        "object": [rule.name for rule in rules],
        "part": [part for rule in rules for part in rule.parts],
        "material": [material for rule in rules for material in rule.materials],
    }
    return (NOTHING, *(Concept(name, plane) for plane in PLANES for name in dict.fromkeys(names[plane])))


VOCABULARY = _vocabulary()
"""Every concept of every category: nothing, the objects, the parts, the materials."""
INDEX: Mapping[Concept, int] = MappingProxyType({concept: i for i, concept in enumerate(VOCABULARY)})
