"""SECURITY.md promises what a test shows: the page of promises names one for each, and here are those of the limits."""

import ast
import json
import re
import shutil
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from made_dissections import made_dissection
from mistakes import mistake

import ganatomy
from ganatomy.core import trust
from ganatomy.core.vocabulary import read_vocabulary
from ganatomy.datasets import CropSpec, open_images
from ganatomy.interventions import read_edits
from ganatomy.models.weights.hub import check_numbers
from ganatomy.report.page import policy

ROOT = Path(__file__).parents[2]
PROMISING = (
    "Who gives what, and what can go wrong at worst",
    "Code that a study names",
    "The web app",
    "How this is tested",
)
"""Sections of SECURITY.md; the others say whom to write to, what is trusted, and what is not promised."""


def rows(text: str) -> list[list[str]]:
    """Return the cells of tables, without their heads."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [row for row in found if set("".join(row)) - set("-: ")]


def promises() -> set[str]:
    """Return what SECURITY.md promises: the first cells of its table, and every line of the sections that promise."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    first, *sections = re.split(r"^## ", text, flags=re.M)
    found = {line for line in first.splitlines()[2:] if line}
    for section in sections:
        title, _, rest = section.partition("\n")
        if title in PROMISING:
            found |= {row[0] for row in rows(rest)[1:]}
            found |= {line.removeprefix("- ") for line in rest.splitlines() if line and not line.startswith("|")}
    return found


def test_every_promise_names_its_tests_and_they_exist() -> None:
    page = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    shown = {row[0]: row[1] for row in rows(page) if row[0] != "promise"}
    assert promises() - shown.keys() == set(), "not on the page"
    assert shown.keys() - promises() == set(), "promised no more"
    for promise, tests in shown.items():
        named = re.findall(r"`([\w/.]+)(?:::(\w+))?`", tests)
        assert named or tests.startswith("advice"), promise
        for path, function in named:
            content = (ROOT / path).read_text(encoding="utf-8")
            assert not function or f"\ndef {function}(" in content, f"{path} has no {function}"


def test_torch_reads_pickles_in_one_package_and_as_weights_only() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert path.parent.name == "weights", path
                assert "weights_only=True" in ast.unparse(node)


def png_of(width: int, height: int) -> bytes:
    """Return a PNG whose head says that it is so large."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = [head, b"IDAT" + zlib.compress(bytes(100)), b"IEND"]
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_images_of_too_many_pixels_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of(14_000, 13_000))
    with mistake("bad-file", "a.png", "pixels"):
        open_images(str(tmp_path)).images([0], CropSpec(16))


def test_files_of_too_many_bytes_in_a_zip_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive, archive.open("a.png", "w") as file:
        for _ in range(257):
            file.write(bytes(1 << 20))
    with mistake("bad-file", "a.png", "too large"):
        open_images(str(path)).images([0], CropSpec(16))


@pytest.mark.parametrize(
    ("read", "most"), [(read_vocabulary, 16), (partial(read_edits, layers={}, fingerprint=""), 64)]
)
def test_texts_are_read_up_to_a_size(read: Any, most: int, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" + " " * (most << 20) + "]")
    with mistake("bad-file", "a.json", f"of at most {most << 20}"):
        read(path)


def test_configs_of_larger_models_than_there_are_are_refused() -> None:
    check_numbers({"a": [{"b": 1 << 24}]}, "config.json")
    with mistake("bad-file", "config.json", (1 << 24) + 1):
        check_numbers({"a": [{"b": (1 << 24) + 1}]}, "config.json")


def test_a_page_runs_its_own_script_and_fetches_nothing() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in policy("let own = 1").split(";"))
    assert rules["default-src"] == "'none'"
    assert all(re.fullmatch(r"'sha256-[\w+/=]+'", source) for source in rules["script-src"].split())
    assert "connect-src" not in rules
    assert set(rules.get("img-src", "data:").split()) <= {"data:", "blob:"}


def test_what_was_agreed_to_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "cache"))
    trust.record_trust(["torch:mycode:build"])
    trust.require_trust(["torch:mycode:build"], tmp_path)
    shutil.rmtree(tmp_path / "cache" / "trusted")
    with mistake("bad-value", "torch:mycode:build"):
        trust.require_trust(["torch:mycode:build"], tmp_path)


@pytest.mark.slow
def test_models_that_are_handed_over_need_no_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    study = made_dissection(tmp_path / "study", {"layer1": ["tree", "door"]})
    record = study / "study.json"
    content = json.loads(record.read_text())
    content["spec"]["generator"] = "torch:mycode:build"
    record.write_text(json.dumps(content))
    own = ganatomy.open_generator("planted:")
    with mistake("bad-value", "torch:mycode:build"):
        ganatomy.ablate(study, layer="layer1", units=[0], images=8)
    with pytest.raises(ganatomy.GanatomyError) as caught:  # the made study is of other weights: that far it came
        ganatomy.ablate(study, layer="layer1", units=[0], images=8, generator=own)
    assert "trust" not in str(caught.value)
