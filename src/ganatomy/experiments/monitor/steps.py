"""At which step of the training a checkpoint was kept, read from its name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganatomy.core.errors import BadValue
from ganatomy.core.registry import encoded
from ganatomy.models.generators import GENERATORS

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Checkpoint:
    """One moment of a training that was kept.

    Attributes:
        step: when that was.
        name: as a person gave it.
        generator: the name under which it is opened, as in `open_generator`.
    """

    step: int
    name: str
    generator: str


def plan_checkpoints(
    names: Sequence[str | Path], opening: str | None = None, steps: Sequence[int] | None = None
) -> list[Checkpoint]:
    """Return the checkpoints in the order of their steps.

    >>> [each.generator for each in plan_checkpoints(["run/9k.pth", "run/10k.pth"], "progan:{}?pixelnorm=no")]
    ['progan:run/9k.pth?pixelnorm=no', 'progan:run/10k.pth?pixelnorm=no']

    Args:
        names: files, or names of generators.
        opening: what opens a file, with ``{}`` in its place: ``progan:{}``. None: the names are those of generators.
        steps: of each; None to read them from the names.
    """
    if isinstance(names, str) or not names:
        raise BadValue(f"checkpoints={names!r}: give a list of at least one")
    texts = [str(name) for name in names]
    if opening is not None and "{}" not in opening:
        raise BadValue(f"{opening!r} has no place for the checkpoint; write {{}} there, as in 'progan:{{}}'")
    known = GENERATORS.names()
    for name in texts:
        if opening is None and name.partition(":")[0] not in known:
            raise BadValue(f"{name} does not say what opens it; give a pattern such as 'progan:{{}}'")
    found = read_steps(texts) if steps is None else list(steps)
    if len(found) != len(texts):
        raise BadValue(f"{len(texts)} checkpoints and {len(found)} steps; give one step for each")
    first: dict[int, str] = {}
    for name, step in zip(texts, found, strict=True):
        if step < 0:
            raise BadValue(f"step {step} of {name} is below 0")
        if step in first:
            raise BadValue(f"{first[step]} and {name} are both of step {step}; give the steps themselves")
        first[step] = name
    return [
        Checkpoint(s, name, opening.replace("{}", encoded(name)) if opening else name)
        for s, name in sorted(first.items())
    ]


def read_steps(names: Sequence[str]) -> list[int]:
    """Read the steps from the names: of the numbers in them, the last one that is not the same in all.

    >>> read_steps(["out/32px/step-10000.pth", "out/32px/step-9000.pth"])
    [10000, 9000]
    >>> read_steps(["epoch=1-step=200.ckpt", "epoch=3-step=400.ckpt"]), read_steps(["run/500/G.pth", "run/1000/G.pth"])
    ([200, 400], [500, 1000])
    """
    numbers = [_numbers(name) for name in names]
    for name, found in zip(names, numbers, strict=True):
        if not found:
            raise BadValue(f"no step can be read from {name}; give the steps themselves")
    places = min(map(len, numbers))
    varying = [i for i in range(1, places + 1) if len({found[-i] for found in numbers}) > 1]
    place = varying[0] if varying else 1
    return [found[-place] for found in numbers]


def _numbers(name: str) -> list[int]:
    path = Path(name.partition("?")[0])
    return [int(number) for number in _NUMBER.findall(str(path.with_suffix("")))]
