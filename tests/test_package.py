"""The package as a whole: what it exports, what importing it does, what the wheel holds, what the docs mention."""

import argparse
import functools
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import ganatomy
from ganatomy.cli.arguments import build
from ganatomy.models.generators import GENERATORS
from ganatomy.models.segmenters import SEGMENTERS

ROOT = Path(__file__).parents[1]
HEAVY = ["torch", "numpy", "pandas", "pyarrow", "numba", "PIL", "rich", "jinja2", "safetensors", "importlib.metadata"]


def python(code: str, *options: str) -> str:
    """Run code in a fresh interpreter; return what it printed, stderr included."""
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_importing_loads_nothing_heavy_and_prints_nothing() -> None:
    assert python(f"import sys, ganatomy; assert not set({HEAVY}) & set(sys.modules), sorted(sys.modules)") == ""


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys, ganatomy.cli.arguments as a; a.build(); assert not set({HEAVY}) & set(sys.modules)"
    assert python(code) == ""


@pytest.mark.slow
def test_importing_every_module_changes_no_global_state() -> None:
    code = """
import importlib, locale, logging, signal, sys, warnings
from pathlib import Path
import PIL.Image, numpy, numba, pandas, pyarrow, rich, safetensors, torch, jaxtyping
import ganatomy

def state():
    return {
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "seeds": (torch.initial_seed(), str(numpy.random.get_state())),
        "cudnn": torch.backends.cudnn.benchmark,
        "numpy": numpy.geterr(),
        "warnings": list(warnings.filters),
        "hooks": (sys.excepthook, sys.displayhook),
        "logging": logging.getLogger().handlers,
        "locale": locale.getlocale(),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "pandas": pandas.get_option("display.max_rows"),
        "pillow": PIL.Image.MAX_IMAGE_PIXELS,
    }

before = state()
root = Path(ganatomy.__path__[0])
files = [file for file in root.rglob("*.py") if file.name != "__main__.py"]
modules = [".".join(file.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__") for file in files]
for module in sorted(modules, key=lambda name: (name.startswith("ganatomy.web"), name)):
    if module == "ganatomy.web":  # the rest of the package is here by now
        assert not {"matplotlib", "ray", "transformers", "diffusers", "starlette", "IPython"} & set(sys.modules)
    importlib.import_module(module)
after = state()
assert not (changed := [name for name in before if before[name] != after[name]]), changed
"""
    assert python(code) == ""


def test_every_public_name_can_be_fetched_and_is_documented() -> None:
    for name in ganatomy.__all__:
        assert getattr(ganatomy, name).__doc__, name
        assert name in dir(ganatomy), name
        assert re.search(rf"\bganatomy\.{name}\b", guide()), name


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'ganatomy' has no attribute 'disect'"):
        ganatomy.disect  # noqa: B018


@functools.cache
def guide() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Every command that does something, with its parser."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        return {parser.prog: parser}
    return {name: p for child in inner[0].choices.values() for name, p in commands(child).items()}


def test_every_command_and_option_is_documented() -> None:
    for command, parser in commands(build()).items():
        assert command in guide(), command
        for option in parser._option_string_actions:
            assert option in ("-h", "--help") or option in guide(), option


def test_every_registered_name_is_documented() -> None:
    names = GENERATORS.names() + SEGMENTERS.names()
    missing = [name for name in names if not re.search(rf"`{name}[:`?]", guide())]
    assert not missing, "not in docs/generators.md or docs/segmenters.md"


def test_links_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\((?!https?:|\{)([^)#]+)", (ROOT / page).read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), (page, target)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build_it = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build_it, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_what_it_needs_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {entry.filename: entry.file_size for entry in archive.infolist()}
    package = ROOT / "src" / "ganatomy"
    expected = {
        f"ganatomy/{p.relative_to(package)}" for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert {name for name in files if name.startswith("ganatomy/")} == expected
    assert "ganatomy/py.typed" in files
    assert wheel.stat().st_size <= 40e6
    for name, size in files.items():
        if name.endswith(".safetensors"):
            assert size <= 12e6, name
            assert name.replace(".safetensors", ".json") in files


@pytest.mark.slow
def test_the_wheel_works_elsewhere(wheel: Path, tmp_path: Path) -> None:
    """Installed without the repository; its dependencies are those of this interpreter, as there is no network."""
    venv.create(tmp_path / "venv", with_pip=False)
    bin_ = tmp_path / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(bin_ / "python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [bin_ / "ganatomy", "layers", "bundled:church", "--json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)
    where = subprocess.run([bin_ / "python", "-c", "import ganatomy; print(ganatomy.__file__)"], cwd=tmp_path,
                           env=environment, capture_output=True, text=True, check=True)  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(site)
