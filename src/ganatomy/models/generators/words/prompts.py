"""Prompts of the words model: which of its words a sentence says, denies, or does not mention."""

from collections.abc import Mapping, Sequence

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.models.generators.sampling.prompts import heard
from ganatomy.models.generators.words.conditions import ABSENT, PRESENT, UNSAID

SEASONS, TIMES = ("green", "autumn", "winter"), ("day", "dusk", "night")
OBJECTS = (
    "sun", "moon", "cloud", "mountain", "hill", "water", "tree", "bush", "path", "tower", "dome", "chimney", "door",
    "window",
)  # fmt: skip
WORDS = (*SEASONS, *TIMES, *OBJECTS)
"""The words of the model, in the order of their states."""
SLOTS: Mapping[str, Sequence[str]] = {"season": SEASONS, "time": TIMES, "object": OBJECTS}
"""What the named slots of a template may hold."""
UNHEARD = (
    "a", "an", "the", "some", "any", "of", "by", "at", "in", "on", "and", "or", "it", "is", "there", "church", "scene",
)  # fmt: skip
"""Words that say nothing here: all images are of churches."""


def word_states(prompt: str) -> list[int]:
    """Return what a prompt says of each of `WORDS`: that it is there, that it is not, or nothing.

    One season or time of day denies the others.

    >>> states = word_states("a green church by day with trees, without a cloud")
    >>> {word: state for word, state in zip(WORDS, states) if state != UNSAID}
    {'green': 1, 'autumn': 0, 'winter': 0, 'day': 1, 'dusk': 0, 'night': 0, 'cloud': 0, 'tree': 1}

    Raises:
        UnknownName: a word that the model does not know.
        BadValue: the prompt contradicts itself.
    """
    states: dict[str, int] = {}
    for each, denied in heard(prompt, UNHEARD):
        word, state = _known(each), ABSENT if denied else PRESENT
        if states.get(word, state) != state:
            raise BadValue(f"prompt {prompt!r} both says and denies {word}")
        states[word] = state
    for group in (SEASONS, TIMES):
        chosen = [word for word in group if states.get(word) == PRESENT]
        if len(chosen) > 1:
            raise BadValue(f"prompt {prompt!r} says {' and '.join(chosen)}; an image has one of them")
        states |= {word: ABSENT for word in group if chosen and word not in chosen}
    return [states.get(word, UNSAID) for word in WORDS]


def _known(each: str) -> str:
    """Return the word of the model; its plural is taken for it."""
    for word in (each, each.removesuffix("s"), each.removesuffix("es")):
        if word in WORDS:
            return word
    raise UnknownName("word of a prompt", each, WORDS)
