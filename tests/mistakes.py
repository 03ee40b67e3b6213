"""A user's mistake, checked by its code and by the facts in its message; the wording may change."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ganatomy.core.errors import GanatomyError

LINE = "ganatomy: "


@contextmanager
def mistake(code: str, *facts: object) -> Iterator[pytest.ExceptionInfo[GanatomyError]]:
    """Expect a mistake with this code, whose message is one line and has the facts: names, numbers, paths, options.

    >>> from ganatomy.core.errors import BadValue
    >>> with mistake("bad-value", "images", 0):
    ...     raise BadValue("images=0 is below 1")
    """
    with pytest.raises(GanatomyError) as caught:
        yield caught
    assert caught.value.code == code, f"{caught.value.code}, not {code}: {caught.value}"
    assert "\n" not in str(caught.value), caught.value
    assert_facts(str(caught.value), *facts)


def assert_mistake_line(stderr: str, *facts: object) -> None:
    """Check that the command line printed one line, and that it has the facts; codes are not printed."""
    assert stderr.startswith(LINE), stderr
    assert stderr.count("\n") == 1, stderr
    assert_facts(stderr.removeprefix(LINE), *facts)


def assert_facts(message: str, *facts: object) -> None:
    """Check that each fact is there as a whole: not as a part of a longer word or number."""
    missing = [fact for fact in map(str, facts) if not re.search(_whole(fact), message)]
    assert not missing, f"{missing} not in: {message}"


def _whole(fact: str) -> str:
    first, last = fact[:1], fact[-1:]
    before = r"(?<!\w)(?<!\d\.)" if first.isdigit() else r"(?<!\w)" if first.isalpha() else ""
    after = r"(?!\w|\.\d)" if last.isdigit() else r"(?!\w)" if last.isalpha() else ""
    return before + re.escape(fact) + after
