"""Words of the field: what a name or a sentence once said otherwise does not come back."""

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GONE = {r"pictures?": "image"}
"""What is no longer said, and what is said instead."""
NAMES = frozenset(
    """
    picture pictures Executor tick Silent Wanted Untouched Always BeforeAfter Described LeftOut Perfect GivenLabels
    Machine Foreign Entries House Guard Turn Mood Draws Hold Claim Copy Stamp Wire Verdict Verdicts Reading Chosen
    Counted Compared Looking Look Frame Shown PictureSet Words Given Known Lending Tried Task Both Shares Waves
    Doubling JudgedAlone home_device give_back settle settled StatedBar door lent house guard judge
    told said asked wanted usual looks look mend StudyResult TensorStep warnings_of
    """.split()  # noqa: SIM905
)
"""Identifiers that only their authors understood."""
CODE = re.compile(
    r"``[^`]*``|`[^`]*`|\{[^{}]*\}|```.*?```"
    r"|[\w-]*[-_./\"']pictures?\b|\bpictures?[-_(=\"'/\[]|\bpictures?\.\w",
    re.DOTALL,
)
"""Names in a sentence, which are code and not words."""


def sentences(path: Path) -> list[str]:
    """Return what a person reads: docstrings, comments, messages; of a page all but code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return [re.sub(r"```.*?```", "", text, flags=re.DOTALL)]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [t.string for t in tokens if t.type == tokenize.COMMENT or (t.type == tokenize.STRING and " " in t.string)]


@pytest.mark.parametrize("folder", ["src/ganatomy", "docs"])
def test_words_that_are_gone_do_not_come_back(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}: say {instead}"
        for path in sorted((ROOT / folder).rglob("*.py" if folder.startswith("src") else "*.md"))
        for sentence in sentences(path)
        for line in re.sub(CODE, "", sentence).splitlines()
        for word, instead in GONE.items()
        # a line of a docstring that names an attribute is code, too
        if re.search(rf"\b(?:{word})\b", line, re.IGNORECASE) and not re.match(r"\s*(?:\w+, )*\w+:", line)
    ]
    assert not found, "\n".join(found)


def test_identifiers_that_are_gone_do_not_come_back() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}"
        for path in (ROOT / "src/ganatomy").rglob("*.py")
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
        if token.type == tokenize.NAME and token.string in NAMES
    }
    assert not found, "\n".join(sorted(found))
