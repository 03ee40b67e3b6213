"""Values of options from files and ``--set``, and help that lists every option with its default."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mistakes import mistake

from ganatomy.api import experiments as api
from ganatomy.cli import main
from ganatomy.cli.arguments import build, parse
from ganatomy.cli.parser import EVERY, OUTPUT, commands
from ganatomy.experiments.option_groups import MEASURED, RUN, SAMPLE

FILE = """
images = 30
seed = 4
pool = 16          # of no dissection
format = "json"

[dissect]
images = 20
layers = ["layer2", "layer3"]
dry-run = true

[ablate]
at = [1, 2]
layer = "layer2"
estimate = true
quiet = true

[scenes.render]
count = 3
out = "drawn"

[models.fetch]
list = true
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text(FILE)


def given(words: str) -> dict[str, Any]:
    return vars(parse(words.split()))


def test_what_is_typed_wins_over_set_over_the_file_over_the_default() -> None:
    found = given("dissect planted: --config run.toml")
    assert (found["images"], found["seed"], found["layers"]) == (20, 4, ("layer2", "layer3"))
    assert (found["format"], found["dry_run"], found["quiet"]) == ("json", True, False)
    assert "pool" not in found
    assert given("dissect planted: --config run.toml --set images=12")["images"] == 12
    assert given("dissect --images 8 planted: --set images=12 --config=run.toml")["images"] == 8
    assert given("dissect planted: --set=images=12 --set images=13")["images"] == 13
    assert "images" not in given("dissect planted:")


def test_every_kind_of_option_has_a_value_in_a_file() -> None:
    found = given("ablate study --config run.toml")
    assert (found["at"], found["layers"], found["estimate"], found["images"]) == ((1, 2), ("layer2",), True, 30)
    found = given("ablate study --config run.toml --layers layer3 --no-estimate --set quiet=false --set format=csv")
    assert (found["layers"], found["estimate"], found["quiet"], found["format"]) == (("layer3",), False, False, "csv")
    assert given("ablate study --set json=true --set top_units=3")["format"] == "json"
    found = given("scenes render --config run.toml")
    assert (found["count"], found["out"]) == (3, Path("drawn")), "an option that must be given is in the file"
    assert given("models fetch --config run.toml")["list"] is True
    assert given("setting study --concept tree --set values=k:1,place:2")["values"] == (("k", 1.0), ("place", 2.0))


def test_a_name_may_be_of_an_option_and_of_a_command() -> None:
    Path("both.toml").write_text('layers = ["layer2"]\n')
    assert "layers" not in given("layers planted: --config both.toml")
    assert given("dissect planted: --config both.toml")["layers"] == ("layer2",)


def test_later_files_win() -> None:
    Path("more.toml").write_text("images = 7\n[setting]\nvalues = [['k', 1], ['place', 2]]\n")
    assert given("dissect planted: --config run.toml --config more.toml")["images"] == 7
    assert given("setting study --concept tree --config more.toml")["values"] == (("k", 1.0), ("place", 2.0))


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("[dissect]\nimagse = 3", "images"),
        ("imagse = 3", "images"),
        ("[dissect]\npool = 3", "'pool'"),
        ("[disect]\nimages = 3", "dissect"),
        ("images = 'many'", "'many'"),
        ("images = [1, 2]", "'1,2'"),
        ("images = true", "'true'"),
        ("quiet = 1", "quiet=1"),
        ("format = 'xml'", "table, csv, json"),
        ("memory = 'much'", "'much'"),
        ("images = ", "TOML"),
        ("[dissect.images]\nx = 1", "argument --images"),
    ],
)
def test_a_mistake_in_a_file_is_one_line(content: str, fact: str, refused: Callable[..., None]) -> None:
    Path("bad.toml").write_text(content)
    refused(["dissect", "planted:", "--config", "bad.toml", "--out", "none"], "bad.toml", fact)
    assert not Path("none").exists()


@pytest.mark.parametrize(
    ("words", "code", "fact"),
    [
        ("--config no.toml", "bad-file", "no.toml"),
        ("--set images", "bad-value", "images=200"),
        ("--set image=3", "unknown-name", "images"),
        ("--set images=x", "bad-value", "'x'"),
        ("--set config=other.toml", "unknown-name", "--set 'config'"),
        ("--config", "bad-value", "argument --config"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(words: str, code: str, fact: str) -> None:
    with mistake(code, fact):
        parse(["dissect", "planted:", *words.split()])


def test_a_command_runs_with_what_is_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenes", "render", "--config", "run.toml", "--size", "16"]) == 0
    assert capsys.readouterr().out == "3 scenes in drawn\n"


def test_the_options_of_a_spec_stand_under_the_titles_that_it_gives_them() -> None:
    for verb in ("dissect", "ablate", "ace", "quality", "monitor"):
        (parser,) = (own for prog, own in commands(build()).items() if prog == f"ganatomy {verb}")
        homes = {
            name: str(g.title) for g in parser._action_groups for a in g._group_actions for name in a.option_strings
        }
        assert homes["--images"] == homes["--seed"] == SAMPLE
        assert homes["--batch"] == homes["--shard-size"] == homes["--engine"] == RUN
        assert homes["--out"] == homes["--format"] == homes["--quiet"] == OUTPUT
        assert homes["--help"] == homes["--set"] == EVERY
        measured = {name for name, title in homes.items() if title == MEASURED}
        assert len(measured) > 1 or verb == "quality"
        text = parser.format_help()
        places = [text.index(f"\n{title}:") for title in (MEASURED, SAMPLE, RUN, OUTPUT, EVERY)]
        assert places == sorted(places)
    assert set(api.OPTION_GROUPS.values()) == {SAMPLE, RUN}


def test_help_tells_every_default() -> None:
    silent = {
        f"{prog} {action.option_strings[0]}"
        for prog, parser in commands(build()).items()
        for action in parser._actions
        if action.option_strings and not action.required and action.dest != "help"
        if not re.search(r"\)$|None|not given|if none|[Ee]mpty for|; all|that they share", str(action.help))
    }
    assert silent == {f"ganatomy {verb} --layers" for verb in ("ablate", "insert", "context", "trace")}, "must be given"
