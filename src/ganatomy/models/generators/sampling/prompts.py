"""Prompts of a text-to-image model: listed, read from a file, or made from templates with slots."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganatomy.core.errors import BadFile, BadValue, UnknownName
from ganatomy.core.files import read_text

MOST = 100_000
"""Prompts that there may be; their numbers are exact in float32."""
MAX_BYTES = 1 << 24
NO_SLOTS: Mapping[str, Sequence[str]] = {}


def read_prompts(text: str, slots: Mapping[str, Sequence[str]] = NO_SLOTS) -> list[str]:
    """Return the prompts that an option lists, or those of a file with one on each line; templates are filled in.

    In a file, empty lines and those that begin with # are left out. A template has slots, ``{winter|autumn}`` or the
    name of one; it stands for every combination of what the slots hold, the last one changing first. Image i gets
    prompt i modulo their number, so a sample has each equally often, but for the last round.

    >>> read_prompts("a church; a {green|winter} church by {time}", {"time": ["day", "night"]})[1:4]
    ['a green church by day', 'a green church by night', 'a winter church by day']

    Args:
        text: a file, or prompts separated by semicolons; one empty prompt, if there is nothing.
        slots: what the named slots of a template may hold.

    Raises:
        BadFile: there is no such file, or no prompt in it.
        BadValue: a template has half a slot, or there are too many prompts.
        UnknownName: there is no such slot.
    """
    lines = _lines(text)
    found: list[str] = []
    for line in lines:
        found += _filled(line, slots)
        if len(found) > MOST:
            raise BadValue(f"prompts={text}: these are more than {MOST:,} prompts; give fewer values to the slots")
    return found


def _lines(text: str) -> list[str]:
    path = Path(text)
    if _is_file(path):
        try:
            lines = [line.strip() for line in read_text(path, MAX_BYTES).splitlines()]
        except (OSError, ValueError) as error:
            raise BadFile(f"{path}: not a file of prompts, one on each line ({error})") from error
        if found := [line for line in lines if line and not line.startswith("#")]:
            return found
        raise BadFile(f"{path}: holds no prompts; write one on each line")
    if re.fullmatch(r"\S+\.txt|\S*/\S*", text):
        raise BadFile(f"prompts={text}: no such file")
    return [part for each in text.split(";") if (part := each.strip())] or [""]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a path
        return False


def _filled(template: str, slots: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the prompts of a template."""
    parts = re.split(r"\{([^{}]*)\}", template)
    if any("{" in part or "}" in part for part in parts[::2]):
        raise BadValue(f"prompt {template!r} has a brace without its other one; write {{winter|autumn}}")
    values = [_values(slot, slots) for slot in parts[1::2]]
    if math.prod(map(len, values)) > MOST:
        raise BadValue(f"prompt {template!r} stands for more than {MOST:,} prompts; give fewer values to its slots")
    return ["".join(_interleaved(parts[::2], chosen)) for chosen in itertools.product(*values)]


def _values(slot: str, slots: Mapping[str, Sequence[str]]) -> Sequence[str]:
    if "|" in slot:
        return [each.strip() for each in slot.split("|")]
    if slot not in slots:
        raise UnknownName("slot of a prompt", slot, slots)
    return slots[slot]


def _interleaved(texts: Sequence[str], chosen: Sequence[str]) -> list[str]:
    return [texts[0], *(each for pair in zip(chosen, texts[1:], strict=True) for each in pair)]
