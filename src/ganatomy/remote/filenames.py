"""What the name of a file at a URL says: whether it is of a study, and for how long it is needed."""

import re

from ganatomy.remote.paths import is_plain
from ganatomy.tensor_files import SUFFIX

DEEP = 3
"""Files of a study lie so many names deep."""


def belongs(name: str) -> bool:
    """Whether that is the name of a file of a study, which a stranger cannot use to reach beyond it."""
    parts = name.split("/")
    return len(parts) <= DEEP and all(map(is_plain, parts))


def is_unfinished(name: str) -> bool:
    """Whether shards are still being counted into that file."""
    return name.endswith(f".partial{SUFFIX}")


def step_of(name: str) -> str | None:
    """Return the step that makes a file superfluous once it is finished; None for any other file.

    >>> step_of("steps/sum.part-003-of-016.npz"), step_of("steps/sum.partial.npz"), step_of("steps/sum.npz")
    ('steps/sum.npz', 'steps/sum.npz', None)
    """
    found = re.fullmatch(rf"(.+?)\.part(?:-[^/]+|ial){re.escape(SUFFIX)}", name)
    return found and f"{found[1]}{SUFFIX}"
