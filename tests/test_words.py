"""Words of the field: names and words that were replaced do not come back, in any language of the project."""

import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("src/ganatomy", "recipes", "benchmarks", "fuzz", "examples")
GONE = {"picture": "image", "told": "reported, printed, described"}
"""Words that stand in no text, and what to write instead."""
NAMES = frozenset(
    """
    picture pictures Executor tick Silent Wanted Untouched Always BeforeAfter Described LeftOut Perfect GivenLabels
    Machine Foreign Entries House Guard Turn Mood Draws Hold Claim Copy Stamp Wire Verdict Verdicts Reading Chosen
    Counted Compared Looking Look Frame Shown PictureSet Words Given Known Lending Tried Task Both Shares Waves
    Doubling JudgedAlone home_device give_back settle settled StatedBar door lent house guard guarded judging
    told said asked wanted usual looks look mend StudyResult TensorStep warnings_of Easel easel Odd lay
    """.split()  # noqa: SIM905
)
"""Identifiers that only their authors understood."""
KEPT = {("src/ganatomy/models/generators/words/conditions.py", "said"), ("benchmarks/report_size.py", "look")}
"""A name in a checkpoint; a method of the tests' browser."""
SKIPPED = re.compile(r"/\*.*?\*/|//[^\n]*|'[^'\n]*'|\"[^\"\n]*\"", re.DOTALL)
"""Comments and strings of a script; what template strings hold is read as code."""
SCRIPTS, PAGES = {".js"}, {".html", ".css"}


def files(folder: str, *suffixes: str) -> Iterator[Path]:
    found = (ROOT / folder).rglob("*") if (ROOT / folder).is_dir() else [ROOT / folder]
    return (path for path in sorted(found) if path.suffix in suffixes and "_build" not in path.parts)


def cells(path: Path, kind: str = "") -> str:
    """Return the sources of a notebook's cells, without what they printed."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in found if cell["cell_type"] == (kind or cell["cell_type"]))


def text_of(path: Path) -> str:
    return cells(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")


def gone(text: str) -> list[str]:
    """Return the lines with a word that is gone, also as a part of a name; the first line, 0, is the path."""
    return [
        f"{i}: {line.strip()[:100]}: write {instead}"
        for i, line in enumerate(text.splitlines())
        for word, instead in GONE.items()
        if re.search(
            rf"(?<![a-z]){word}s?(?![a-z])|{word.title()}s?(?![a-z])", line.replace('h("picture"', "")
        )  # a tag
    ]


def identifiers(path: Path) -> set[str]:
    """Return the names that a file defines or uses; of scripts and pages also their parts."""
    text = path.read_text(encoding="utf-8") if path.suffix != ".ipynb" else cells(path, "code")
    if path.suffix in (".py", ".ipynb"):
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        return {token.string for token in tokens if token.type == tokenize.NAME}
    if path.suffix in SCRIPTS:
        whole = set(re.findall(r"[A-Za-z_$][\w$]*", SKIPPED.sub(" ", text)))
    elif path.suffix == ".css":
        whole = set(re.findall(r"[.#]([A-Za-z][\w-]*)", text))
    else:
        whole = {name for value in re.findall(r"\b(?:id|class|name)=\"([^\"]*)\"", text) for name in value.split()}
    return whole | {part.lower() for name in whole for part in re.findall(r"[A-Z]?[a-z]+", name)}


@pytest.mark.parametrize("folder", [*CODE, "docs", "README.md", "SECURITY.md", "CONTRIBUTING.md", "Makefile"])
def test_words_that_are_gone_do_not_come_back(folder: str) -> None:
    paths = files(folder, ".py", ".md", ".js", ".html", ".css", ".json", "")
    own = [(path.relative_to(ROOT).as_posix(), path) for path in paths if path.is_file()]
    found = [f"{place}:{line}" for place, path in own for line in gone(f"{place}\n{text_of(path)}")]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", CODE)
def test_identifiers_that_are_gone_do_not_come_back(folder: str) -> None:
    places = [(path.relative_to(ROOT).as_posix(), path) for path in files(folder, ".py", *SCRIPTS, *PAGES)]
    found = [
        f"{place}: {name}"
        for place, path in places
        for name in sorted(identifiers(path) & NAMES)
        if (place, name) not in KEPT
    ]
    assert not found, "\n".join(found)


def test_notebooks_have_none_of_them() -> None:
    paths = list(files("docs", ".ipynb"))
    assert paths
    found = [f"{path.name}: {each}" for path in paths for each in [*gone(cells(path)), *identifiers(path) & NAMES]]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "told = 1"),
        ("a.js", "const x = `${easel.width}`; // fine"),
        ("a.js", "function showTold() {}"),
        ("a.html", '<p id="said" class="x">'),
        ("a.css", ".x-told { margin: 0 }"),
    ],
)
def test_each_language_is_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert identifiers(tmp_path / name) & NAMES


@pytest.mark.parametrize("text", ["A picture.", "is told here", "pictureNumber", "lastPicture", "many_pictures"])
def test_words_are_found_in_names_too(text: str) -> None:
    assert gone(text)
    assert not gone("an image of untold depicture")
