"""What can go wrong through a user's doing, each reported in one line: what was given, what was expected, what to do.

::

    GanatomyError
    ├── UnknownName      a model, layer, concept, unit or option that does not exist (lists or suggests what does)
    ├── BadFile          cut off, of another format, or its tensors do not fit
    ├── BadModel         a module that raises, or returns something that is no image, feature map or label map
    ├── BadValue         an option outside its range; NaN or Inf where numbers are needed
    ├── EngineError      workers that cannot be had, or that die
    └── StudyError       a study directory that cannot be used
        ├── StudyMismatch    it was made with another Spec
        ├── StudyBusy        another process is writing to it
        └── PartsMissing     other processes are to count the rest of a step; no mistake, but the end for now
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

LONGEST = 1500
"""Letters of a message: what it quotes of a file may be of any length."""


class GanatomyError(Exception):
    """Any mistake that a user can correct; the command line prints it in one line and exits with status 2.

    Messages may quote files of strangers, so control characters are escaped.

    Attributes:
        code: what kind of mistake it is, for programs: ``bad-file``; wording may change, codes do not.
    """

    code: ClassVar[str] = "mistake"

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()

    def __init__(self, message: str = "") -> None:
        text = shown(message[: LONGEST + 1])
        super().__init__(text if len(text) <= LONGEST else f"{text[:LONGEST]} …")


def shown(text: str) -> str:
    r"""Return a text without letters that steer a terminal or turn the line: those are written as escapes.

    >>> print(shown("red \x1b[2Jlight, \u202ewarm"))
    red \x1b[2Jlight, \u202ewarm
    """
    return "".join(letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1] for letter in text)


def shortened(value: object, most: int = 80) -> str:
    """Return a value as it is written in Python, cut where it is long: a file may hold a name of any length."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]} …"


class UnknownName(GanatomyError):
    """A name that does not exist where it was looked up.

    Attributes:
        kind: of what.
        given: the name.
        known: those that exist.
        close: those of them that may have been meant; the most similar ones if none are given.
    """

    def __init__(self, kind: str, given: str, known: Iterable[str], close: Sequence[str] = ()) -> None:
        self.kind, self.given, self.known, self.close = kind, given, tuple(known), tuple(close)
        super().__init__(f"unknown {kind} {shortened(given)}; {self._hint()}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, self.given, self.known, self.close), self.__dict__

    def _hint(self) -> str:
        close = self.close or difflib.get_close_matches(self.given, self.known, n=3, cutoff=0.65)
        if close:
            return "did you mean " + " or ".join(close) + "?"
        if not self.known:
            return "there are none"
        shown = ", ".join(self.known[:12])
        return f"there are: {shown}" + (f" and {len(self.known) - 12} more" if len(self.known) > 12 else "")


class BadFile(GanatomyError):
    """A file that is not what it should be."""


class BadModel(GanatomyError):
    """A module that does not behave as a generator or segmenter must."""


class BadValue(GanatomyError):
    """An option or a number outside its range."""


class EngineError(GanatomyError):
    """Workers that cannot be had, or that die; what is finished is kept."""


class StudyError(GanatomyError):
    """A study directory that cannot be used."""


def not_a_dissection(kind: str, source: object) -> str:
    """Return what is wrong with the directory of another result, and of which dissection that is."""
    return f"holds a result of kind {kind}; give the dissection that it is of{f': {source}' if source else ''}"


class StudyMismatch(StudyError):
    """A study directory that was made with another Spec."""


class StudyBusy(StudyError):
    """A study directory that another process is writing to."""


class PartsMissing(StudyError):
    """A step whose other parts are still to be counted elsewhere: no mistake, but all that can be done for now.

    Attributes:
        study: directory of the study.
        step: its name.
        missing: numbers of the parts.
    """

    def __init__(self, message: str = "", study: str = "", step: str = "", missing: Iterable[int] = ()) -> None:
        self.study, self.step, self.missing = study, step, tuple(missing)
        super().__init__(message)
