"""Code of the pages: names of Python are defined and exist, commands can be read by the parser."""

import ast
import inspect
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

from ganatomy.cli.arguments import parse
from ganatomy.core.errors import GanatomyError

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path for folder in (".", "docs", "docs/how-to", "examples", "benchmarks") for path in (ROOT / folder).glob("*.md")
)
OPERATORS = frozenset("();|&<>")


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(rf"^ *```(?:{'|'.join(languages)})\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.S | re.M)
    return [textwrap.dedent(block) for block in found]


def named(pages: list[Path], *languages: str) -> list[object]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages if blocks(page, *languages)]


def commands(block: str) -> Iterator[tuple[list[str], str]]:
    """Return what is typed after ``ganatomy``, and the next line, which is what a console answers."""
    lines = block.replace("\\\n", " ").splitlines()
    prompt = "$ " if any(line.startswith("$ ") for line in lines) else ""
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith(prompt) or "ganatomy " not in line:
            continue
        lexer = shlex.shlex(line.removeprefix(prompt), posix=True, punctuation_chars="".join(OPERATORS))
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= OPERATORS:
                if "ganatomy" in command:
                    yield command[command.index("ganatomy") + 1 :], after
                command = []
            else:
                command.append(word)


@pytest.mark.parametrize("page", named(PAGES, "sh", "console"))
def test_commands_can_be_read(page: Path) -> None:
    for block in blocks(page, "sh", "console"):
        for words, after in commands(block):
            assert refusal(words) in ("", after), " ".join(words)


def refusal(words: list[str]) -> str:
    try:
        parse(words)
    except GanatomyError as error:
        return f"ganatomy: {error}"
    return ""


@pytest.mark.parametrize("page", named(PAGES, "python"))
def test_names_of_python_are_defined(page: Path) -> None:
    """By an import, or by an earlier block of the page."""
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--stdin-filename", "page.py", "-"]
    source = "\n".join(blocks(page, "python"))
    done = subprocess.run(ruff, input=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", named(PAGES, "python"))
def test_names_of_this_package_exist(page: Path) -> None:
    """What is imported from it, what follows ``ganatomy.``, and keywords of its functions."""
    for node in ast.walk(ast.parse("\n".join(blocks(page, "python")))):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "ganatomy":
            for alias in node.names:
                resolve_name(f"{node.module}.{alias.name}")
        dotted = ast.unparse(node.func if isinstance(node, ast.Call) else node)
        if isinstance(node, ast.Attribute | ast.Call) and re.fullmatch(r"ganatomy(\.\w+)+", dotted):
            found = resolve_name(dotted)
            if isinstance(node, ast.Call):
                keywords = {each.arg: None for each in node.keywords if each.arg}
                inspect.signature(found).bind_partial(*node.args, **keywords)


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nganatomy disect x\n```\n```python\nimport ganatomy\nganatomy.dissect(z, imags=3)\n```\n")
    with pytest.raises(AssertionError, match="disect"):
        test_commands_can_be_read(page)
    with pytest.raises(AssertionError, match="Undefined name `z`"):
        test_names_of_python_are_defined(page)
    with pytest.raises(TypeError, match="imags"):
        test_names_of_this_package_exist(page)
