"""Prompts of a text-to-image model: listed, read from a file, or made from templates with slots."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ganatomy.core.errors import BadFile, BadValue, UnknownName
from ganatomy.core.files import read_text

MOST = 100_000
"""Prompts that there may be; their numbers are exact in float32."""
MAX_BYTES, LONGEST = 1 << 24, 10_000
"""Bytes of a file of prompts, and letters of a prompt; text encoders read some 77 tokens."""
NO_SLOTS: Mapping[str, Sequence[str]] = {}
ARTICLES = ("a", "an", "the")
DENIES_ALL, DENIES_ONE, ENDS = ("without",), ("no", "not", "nor"), ("with", "but")
"""What denies all words until one that ends it, and what denies the next word."""
ARTICLE = re.compile(r"\b([Aa])n?( +)$")
SILENT, CONSONANT = (
    ("hour", "honest", "heir", "honour", "honor"),
    ("uni", "use", "usu", "uti", "eu", "ewe", "one", "once"),
)
"""Beginnings of words that sound unlike their first letter: as a vowel, and as a consonant."""


class Prompt(str):
    """A prompt, and what its slots hold.

    Attributes:
        slots: by name; a slot without one is named by its values, ``winter|autumn``. Empty, where it has none.
    """

    slots: Mapping[str, str]

    def __new__(cls, text: str, slots: Mapping[str, str] = {}) -> "Prompt":
        """Make it of its text."""
        made = super().__new__(cls, text)
        made.slots = slots
        return made


def slots_of(prompt: str) -> Mapping[str, str]:
    """Return what the slots of a prompt hold, by name; of one without template, nothing."""
    return prompt.slots if isinstance(prompt, Prompt) else {}


def read_prompts(text: str, slots: Mapping[str, Sequence[str]] = NO_SLOTS) -> list[Prompt]:
    """Return the prompts that an option lists, or those of a file with one on each line; templates are filled in.

    In a file, empty lines and those that begin with # are left out. A template has slots, ``{winter|autumn}`` or the
    name of one; it stands for every combination of what the slots hold, the last one changing first. An article before
    a slot fits what fills it. Image i gets prompt i modulo their number, so a sample has each equally often, but for
    the last round.

    >>> read_prompts("a church; a {green|autumn} church by {time}", {"time": ["day", "night"]})[1:4]
    ['a green church by day', 'a green church by night', 'an autumn church by day']

    Args:
        text: a file, or prompts separated by semicolons; one empty prompt, if there is nothing.
        slots: what the named slots of a template may hold.

    Raises:
        BadFile: there is no such file, or no prompt in it.
        BadValue: a template has half a slot or an empty one, a prompt is too long, or there are too many.
        UnknownName: there is no such slot.
    """
    lines = _lines(text)
    found: list[Prompt] = []
    for line in lines:
        found += _filled(line, slots)
        if len(found) > MOST:
            raise BadValue(f"prompts={text}: these are more than {MOST:,} prompts; give fewer values to the slots")
    return found


def pair_order(prompts: Sequence[str]) -> list[int]:
    """Return the numbers of the prompts of a sample in pairs, in the order of its images, which then begins again.

    Prompts 0 and 1 are a pair, 2 and 3 the next one. Of four images in a row, the first and the third are a pair of
    images, and the second and the fourth: neighbours are none, as the control of a dissection exchanges them.

    >>> pair_order(["a tree", "a door"]), pair_order(["a sun", "a moon", "one tree", "two trees", "day", "night"])[:8]
    Traceback (most recent call last):
    ganatomy.core.errors.BadValue: pairs=yes: prompts 3 and 4, 'one tree' and 'two trees', differ in more than a word
    >>> pair_order(["a tree", "a door"]), pair_order(["a sun", "a moon", "a tree", "an oak"])
    ([0, 0, 1, 1], [0, 2, 1, 3])

    Raises:
        BadValue: their number is odd, or the prompts of a pair differ in no word, or in more than one.
    """
    if len(prompts) % 2:
        raise BadValue(f"pairs=yes: give an even number of prompts, each pair one word apart; these are {len(prompts)}")
    for i in range(0, len(prompts), 2):
        removed, added = word_change(prompts[i], prompts[i + 1])
        if removed == added or max(len(removed.split()), len(added.split())) > _words_of_slot(*prompts[i : i + 2]):
            how = "in no word" if removed == added else "in more than a word"
            raise BadValue(
                f"pairs=yes: prompts {i + 1} and {i + 2}, {prompts[i]!r} and {prompts[i + 1]!r}, differ {how}"
            )
    pairs = len(prompts) // 2
    order = []
    for image in range(len(prompts) * (1 + pairs % 2)):
        order.append(2 * (noise_in_pairs(image) % pairs) + image % 4 // 2)
    return order


def noise_in_pairs(image: int) -> int:
    """Return the number of the noise of an image, of a sample in pairs: images 0 and 2, 1 and 3, 4 and 6 share one."""
    return image // 4 * 2 + image % 2


def word_change(one: str, other: str) -> tuple[str, str]:
    """Return what one prompt says in the place of what the other says, articles apart; empty where they agree.

    >>> word_change("a green church", "an autumn church"), word_change("a church", "a snowy church")
    (('green', 'autumn'), ('', 'snowy'))
    """
    first, second = ([word for word in each.split() if word.lower() not in ("a", "an")] for each in (one, other))
    while first and second and first[0] == second[0]:
        first, second = first[1:], second[1:]
    while first and second and first[-1] == second[-1]:
        first, second = first[:-1], second[:-1]
    return " ".join(first), " ".join(second)


def _words_of_slot(one: str, other: str) -> int:
    """Return how many words a pair may differ in: one, or what the only slot that differs holds."""
    first, second = slots_of(one), slots_of(other)
    changed = [name for name in first if first[name] != second.get(name)]
    if first.keys() != second.keys() or len(changed) != 1:
        return 1
    return max(len(slots[changed[0]].split()) for slots in (first, second)) or 1


def heard(prompt: str, unheard: Sequence[str] = ARTICLES) -> Iterator[tuple[str, bool]]:
    """Yield the words of a prompt, and whether each is denied: *without* denies all until *with* or *but*.

    >>> list(heard("a church without a cloud, no sun, with trees"))
    [('church', False), ('cloud', True), ('sun', True), ('trees', False)]

    Args:
        prompt: what is read.
        unheard: words that say nothing.
    """
    denied, once = False, False
    for word in re.findall(r"[^\W\d_]+", prompt.lower()):
        if word in DENIES_ALL or word in ENDS:
            denied, once = word in DENIES_ALL, False
        elif word in DENIES_ONE:
            once = True
        elif word not in unheard:
            yield word, denied or once
            once = False


def mentioned(prompt: str, names: Mapping[tuple[str, ...], Sequence[int]]) -> set[int]:
    """Return which of some names a prompt says, and does not deny; a plural is taken for its singular.

    >>> sorted(mentioned("trees, a fish pond, no cloud", {("tree",): [1], ("cloud",): [2], ("fish", "pond"): [3]}))
    [1, 3]

    Args:
        prompt: what is read.
        names: their numbers, by words in small letters.
    """
    words = list(heard(prompt))
    longest = max(map(len, names), default=0)
    found: set[int] = set()
    for first in range(len(words)):
        for last in range(first + 1, min(first + longest, len(words)) + 1):
            *others, final = (word for word, _ in words[first:last])
            for end in (final, final.removesuffix("s"), final.removesuffix("es")):
                if not words[first][1]:
                    found.update(names.get((*others, end), ()))
    return found


def _lines(text: str) -> list[str]:
    path = Path(text)
    if _is_file(path):
        try:
            content = read_text(path, MAX_BYTES)
            if "\0" in content:
                raise ValueError("it is binary")
        except (OSError, ValueError) as error:
            raise BadFile(f"{path}: not a file of prompts, one on each line ({error})") from error
        lines = [line.strip() for line in content.splitlines()]
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise BadFile(f"{path}: holds no prompts; write one on each line")
        if longest := next((line for line in found if len(line) > LONGEST), None):
            raise BadFile(
                f"{path}: a line of {len(longest):,} letters, {longest[:40]!r}…, is no prompt; {LONGEST:,} do"
            )
        return found
    if re.fullmatch(r"\S+\.txt|\S*/\S*", text):
        raise BadFile(f"prompts={text}: no such file")
    return [part for each in text.split(";") if (part := each.strip())] or [""]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a path
        return False


def _filled(template: str, slots: Mapping[str, Sequence[str]]) -> list[Prompt]:
    """Return the prompts of a template."""
    parts = re.split(r"\{([^{}]*)\}", template)
    if any("{" in part or "}" in part for part in parts[::2]):
        raise BadValue(f"prompt {template!r} has a brace without its other one; write {{winter|autumn}}")
    values = [_values(slot, slots, template) for slot in parts[1::2]]
    if math.prod(map(len, values)) > MOST:
        raise BadValue(f"prompt {template!r} stands for more than {MOST:,} prompts; give fewer values to its slots")
    names: list[str] = []
    for slot in parts[1::2]:
        again = names.count(slot) + sum(name.startswith(f"{slot} (") for name in names)
        names.append(f"{slot} ({again + 1})" if again else slot)
    return [
        Prompt(_interleaved(parts[::2], chosen), dict(zip(names, chosen, strict=True)))
        for chosen in itertools.product(*values)
    ]


def _values(slot: str, slots: Mapping[str, Sequence[str]], template: str) -> Sequence[str]:
    values = [each.strip() for each in slot.split("|")]
    if not any(values):
        raise BadValue(f"prompt {template!r} has a slot without values; write {{winter|autumn}}")
    if len(set(values)) < len(values):
        raise BadValue(f"prompt {template!r}: {{{slot}}} has a value twice; give each once")
    if "|" in slot:
        return values
    if slot not in slots:
        raise UnknownName("slot of a prompt", slot, slots)
    return slots[slot]


def _interleaved(texts: Sequence[str], chosen: Sequence[str]) -> str:
    """Return the text, an article before a slot as the next word needs it."""
    filled = texts[-1]
    for text, value in reversed(list(zip(texts[:-1], chosen, strict=True))):
        filled = value + (filled if value else filled.lstrip() if text.endswith(" ") else filled)
        filled = ARTICLE.sub(rf"\1{_n(filled)}\2", text) + filled
    return filled


def _n(following: str) -> str:
    """Return "n" where the article before these words is "an"."""
    word = following.lstrip().lower()
    return "n" * (word.startswith(SILENT) or (word[:1] in set("aeiou") and not word.startswith(CONSONANT)))
