"""Without an address of the repository nothing is said of it; with one, links of package and pages lead there."""

import email
import json
import re
import runpy
import shutil
import subprocess
import sys
from email.message import Message
from pathlib import Path

import pytest
from hatchling.build import prepare_metadata_for_build_wheel

ROOT = Path(__file__).parents[1]
BUILD = runpy.run_path(str(ROOT / "hatch_build.py"))
with_address = BUILD["with_address"]
NOTEBOOKS = [ROOT / "docs" / f"{name}.ipynb" for name in ("tutorial", "own_generator", "autoencoder")]
ADDRESS = "https://github.com/somebody/ganatomy"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *NOTEBOOKS]


def checkout(folder: Path, address: str) -> None:
    """Copy what the build reads, with this setting."""
    for name in ("README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, folder)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project, found = re.subn(r'^repository = ".*?"', f'repository = "{address}"', project, flags=re.MULTILINE)
    assert found == 1
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")


def metadata(folder: Path, address: str) -> Message:
    """Return what the wheel of such a checkout says of itself."""
    checkout(folder, address)
    name = prepare_metadata_for_build_wheel(str(folder))
    return email.message_from_bytes((folder / name / "METADATA").read_bytes())


def test_without_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = metadata(tmp_path, "")
    assert said.get_all("Project-URL") is None
    text = said.get_payload()
    assert text.startswith("# ganatomy")
    assert "](docs/install.md)" in text
    assert not re.search(r"<!--|git\+|colab|\{repository|None", text)


def test_with_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = metadata(tmp_path, ADDRESS + "/")
    urls = dict(str(line).split(", ") for line in said.get_all("Project-URL", []))
    assert urls["Repository"] == ADDRESS
    assert urls["Issues"] == f"{ADDRESS}/issues"
    text = said.get_payload()
    targets = re.findall(r"\]\(([^)\s]*)\)", text)
    assert len(targets) > 15
    assert all(target.startswith("https://") for target in targets), targets
    for kind, path in re.findall(rf"{ADDRESS}/(blob|raw)/main/([^)\s#]+)", text):
        assert (ROOT / path).is_file(), path
        assert (kind == "raw") == path.endswith((".png", ".svg")), path
    assert f'pip install "ganatomy @ git+{ADDRESS}"' in text
    assert "colab.research.google.com/github/somebody/ganatomy/blob/main/docs/tutorial.ipynb" in text
    assert f"]({ADDRESS}/issues)" in text


def test_colab_opens_notebooks_of_one_place_only() -> None:
    text = "<!-- with an address: [Colab]({colab}/x) -->\n<!-- with an address: {repository} -->\n"
    assert with_address(text, "https://git.example.org/a/b") == "https://git.example.org/a/b\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_pages_say_nothing_without_an_address_and_all_with_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"<!-- with an|\{repository\}|\{colab\}", with_address(text, ADDRESS))
    assert not re.search(r"<!-- with an|\{repository\}|\{colab\}|git\+https", with_address(text, ""))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_install_from_the_address(notebook: Path) -> None:
    """Colab has the file alone, so the address stands in it."""
    line = f'SOURCE = "{BUILD["notebook_source"](BUILD["address"](ROOT))}"'
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert line in "".join(cells[1]["source"]), f"{notebook.name}: write {line}"
    assert BUILD["notebook_source"](ADDRESS).endswith(f"@ git+{ADDRESS}")


@pytest.mark.slow
@pytest.mark.parametrize("address", ["", ADDRESS])
def test_pages_of_the_guide(tmp_path: Path, address: str) -> None:
    checkout(tmp_path, address)
    (tmp_path / "docs").mkdir()
    for page in ("conf.py", "faq.md", "hardware.md", "tutorial.ipynb"):
        shutil.copy(ROOT / "docs" / page, tmp_path / "docs")
    shutil.copytree(ROOT / "docs" / "static", tmp_path / "docs" / "static")
    (tmp_path / "docs" / "index.md").write_text("# Guide\n\n```{toctree}\nfaq\nhardware\ntutorial\n```\n")
    build = [sys.executable, "-m", "sphinx", "--quiet", "-b", "html", tmp_path / "docs", tmp_path / "html"]
    subprocess.run(build, check=True, capture_output=True)
    pages = {
        page: (tmp_path / "html" / f"{page}.html").read_text(encoding="utf-8")
        for page in ("faq", "hardware", "tutorial")
    }
    assert (f'href="{ADDRESS}/issues"' in pages["faq"]) == bool(address)
    assert ("colab.research.google.com/github/somebody" in pages["tutorial"]) == bool(address)
    assert "with an address" not in "".join(pages.values())
    assert "<math" in pages["hardware"]  # formulas, too, come from no other place
    assert not re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)="https?:[^>]*""", "".join(pages.values()))


def test_an_address_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"repository = 'git@host:a/b' of \[tool.ganatomy\] is no https:// address"):
        metadata(tmp_path, "git@host:a/b")
