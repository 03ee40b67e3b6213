"""What may stand where in the embedded world: rules as data, which the renderer obeys and experiments ask."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from ganatomy.core.errors import UnknownName
from ganatomy.core.vocabulary import NOTHING, Concept

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
    def words(self) -> Mapping[str, tuple[str, ...]]:
        """What its pixels may be labelled with, by plane."""
        return dict(zip(PLANES, ((self.name,), self.parts, self.materials), strict=True))

    @property
    def adjacent(self) -> tuple[str, ...]:
        """What it may lie beside in the image, by its own rule."""
        return self.on + self.hides + self.meets


@dataclass(frozen=True)
class Grammar:
    """The rules of one category of scenes.

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
        return other in self.rule(one).adjacent or one in self.rule(other).adjacent

    def rule(self, name: str) -> Rule:
        """The rule of an object; raises UnknownName, with suggestions."""
        self._known(name, set(self.rules), "object")
        return self.rules[name]

    def _known(self, name: str, known: set[str], kind: str) -> None:
        if name not in known:
            raise UnknownName(f"{kind} of {self.category}", name, sorted(known | set(self.rules)))


def _grammar(category: str, *rules: Rule) -> Grammar:
    return Grammar(category, MappingProxyType({rule.name: rule for rule in rules}))


def _rule(name: str, **words: str | tuple[str, ...]) -> Rule:
    """Return a rule whose words are given with spaces between them."""
    return Rule(name, **{key: tuple(text.split()) if isinstance(text, str) else text for key, text in words.items()})


_HEAVEN = ("sky", "cloud", "sun", "moon")
FAR = (*_HEAVEN, "mountain", "hill")
BUILT = ("building", "roof", "tower", "dome", "window", "door", "chimney")
_BEHIND = (*FAR, "water", "tree")
_WALLS, _ROOFS = "brick stone plaster", "tile slate snow"

CHURCH = _grammar(
    "church",
    _rule("sky"),
    _rule("sun", on="sky"),
    _rule("moon", on="sky"),
    _rule("cloud", on="sky", hides="sun moon"),
    _rule("mountain", hides=_HEAVEN, parts="slope peak", materials="rock snow"),
    _rule("hill", hides=(*_HEAVEN, "mountain"), materials="turf snow"),
    _rule("water", hides=FAR, materials="water"),
    _rule("grass", hides=(*FAR, "water"), materials="turf snow"),
    _rule("path", on="grass", meets="building tower door", materials="earth"),
    _rule("building", on="grass", hides=(*_BEHIND, "roof"), parts="facade flank", materials=_WALLS),
    _rule("roof", on="building", hides=(*_BEHIND, "grass"), parts="pitch ridge", materials=_ROOFS),
    _rule(
        "tower",
        on="grass building",
        hides=(*_BEHIND, "roof"),
        parts="shaft spire",
        materials=f"{_WALLS} {_ROOFS}",
    ),
    _rule(
        "dome",
        on="roof",
        hides=(*_BEHIND, "grass", "building"),
        parts="shell drum lantern",
        materials="metal stone brick plaster",
    ),
    _rule("chimney", on="roof", hides=(*FAR, "tree", "grass"), parts="stack cap", materials="brick"),
    _rule("window", on="building tower", meets="roof", parts="pane frame", materials="glass stone"),
    _rule("door", on="building tower", meets="grass", parts="panel frame", materials="wood stone"),
    _rule("tree", on="grass", hides=(*FAR, "water", "path", *BUILT), parts="trunk crown", materials="wood foliage"),
    _rule("bush", on="grass", hides=(*_BEHIND, "path", *BUILT), materials="foliage"),
)

VARIED_CHURCH = replace(
    CHURCH, category="varied-church", times=(0.6, 0.25, 0.15), seasons=(0.4, 0.3, 0.3), free_openings=True
)
"""The same rules; but openings may be absent or stand anywhere on a wall, and all seasons and times are common."""

_WALL = ("wall", "window", "curtain", "painting", "shelf", "book")
_SEAT = (*_WALL, "rug", "sofa", "cushion")

LIVINGROOM = _grammar(
    "livingroom",
    _rule("wall", materials="plaster wood brick"),
    _rule("ceiling", hides="wall", materials="plaster wood"),
    _rule("floor", hides="wall", materials="wood tile carpet"),
    _rule("window", on="wall", parts="pane frame", materials="glass wood"),
    _rule("painting", on="wall", parts="canvas frame", materials="paper wood metal"),
    _rule("curtain", on="wall", hides="window floor ceiling", materials="fabric"),
    _rule("shelf", on="wall", materials="wood"),
    _rule("book", on="shelf", hides="wall", materials="paper"),
    _rule("rug", on="floor", materials="carpet"),
    _rule("sofa", on="floor rug", hides=(*_WALL, "plant"), parts="back seat arm leg", materials="fabric wood"),
    _rule("cushion", on="sofa", meets=("floor", *_WALL), materials="fabric"),
    _rule("plant", on="floor", hides=_SEAT, parts="pot leaves", materials="ceramic foliage"),
    _rule("lamp", on="floor table", hides=(*_SEAT, "plant"), parts="lampshade stand", materials="fabric metal ceramic"),
    _rule(
        "table",
        on="floor rug",
        hides=(*_WALL, "sofa", "cushion", "plant", "lamp"),
        parts="tabletop leg",
        materials="wood glass metal",
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


_RULES = [rule for each in GRAMMARS.values() for rule in each.rules.values()]
VOCABULARY = (
    NOTHING,
    *dict.fromkeys(Concept(name, plane) for plane in PLANES for rule in _RULES for name in rule.words[plane]),
)
"""Every concept of every category: nothing, the objects, the parts, the materials."""
INDEX: Mapping[Concept, int] = MappingProxyType({concept: i for i, concept in enumerate(VOCABULARY)})
