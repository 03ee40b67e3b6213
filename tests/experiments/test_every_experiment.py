"""What every experiment owes: one entry gives a function, a command and a study, and they agree."""

import dataclasses
import inspect
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mistakes import mistake
from small_runs import SMALL, small_command, small_run, study_of, verbs

import ganatomy
from ganatomy.api import experiments as api
from ganatomy.cli import main
from ganatomy.cli.experiments import flag_of
from ganatomy.experiments.base import EXPERIMENTS, NAMED, experiment
from ganatomy.study import spec_digest

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))

import api_signatures

EVERY = pytest.mark.parametrize("name", EXPERIMENTS)
PLACED = ("layer", "concept")
"""Options that may be given by their place."""
TIMES = ("history", "alpha-")
"""Files of ACE that say how long it took, begin with these; nothing else may differ."""


@pytest.fixture(autouse=True)
def _place(small_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_place)


@EVERY
@pytest.mark.slow
def test_the_function_and_the_command_give_the_same_tables(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = small_run(name)
    assert isinstance(found, experiment(name).result)
    assert main([*small_command(name), "--out", f"{name}-command", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    again = experiment(name).result.open(Path(f"{name}-command"))
    assert spec_digest(found.spec) == spec_digest(again.spec)
    for field in dataclasses.fields(found):
        table = getattr(found, field.name)
        if isinstance(table, pd.DataFrame) and field.name != "history":  # of ACE: it has times
            pd.testing.assert_frame_equal(table, getattr(again, field.name))
            assert field.name == "places" or len(output[field.name]) == len(table)
    assert Path(output["report"]).stat().st_size > 5000
    assert repr(found).startswith(f"<{type(found).__name__} of ")
    assert "?\n" in found.summary(), "its question, and the answer"
    assert "<h3>" in found._repr_html_()
    assert isinstance(found.table, pd.DataFrame)
    assert len(pd.read_csv(io.StringIO(found.to_csv()))) == len(found.table)
    assert type(ganatomy.open(found.study.directory)) is type(found)


@EVERY
@pytest.mark.slow
def test_a_plot_shows_its_main_chart(name: str) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    found, (figure, ax) = small_run(name), pyplot.subplots()
    assert found.plot(ax=ax) is ax
    assert ax.get_title() == found.chart().title
    assert ax.get_lines() or ax.patches
    pyplot.close(figure)


@EVERY
@pytest.mark.slow
def test_it_is_a_method_of_the_dissection(name: str) -> None:
    """Found, and not run again: it is the same question."""
    whole, options = small_run(name), dict(SMALL[name])
    places = [options.pop(each) for each in ("layer", "layers", "concept") if each in options]
    own = getattr(ganatomy.open_dissection(study_of(name)), name)(*places, out=whole.study.directory, **options)
    assert own.spec == whole.spec


@EVERY
@pytest.mark.slow
def test_a_finished_study_is_found_and_nothing_is_drawn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small_run(name)
    monkeypatch.setattr("ganatomy.study.count_all", None)  # which counts shards
    small_run(name)
    again = small_run(name, batch=2, shard=7)
    assert again.study.run_json["batch"] != 2, "it keeps the batch that it was begun with"


@EVERY
@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bits_and_needs_no_model_to_be_read(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = iter([False, True])

    def halting(work: Any, shards: Any) -> Any:
        for shard in shards:
            if next(stops, False):
                raise InterruptedError
            yield 1, work(shard)

    whole, stopped = small_run(name), Path(f"{name}-stopped")
    with pytest.raises(InterruptedError):
        small_run(name, out=stopped, engine=halting)
    small_run(name, out=stopped)
    paths = whole.study.directory.glob("*/*.*")
    files = [path.relative_to(whole.study.directory) for path in paths if not path.name.startswith(TIMES)]
    assert files
    for file in files:
        assert (stopped / file).read_bytes() == (whole.study.directory / file).read_bytes(), file
    monkeypatch.setattr("ganatomy.experiments.model_pair.open_subject", None)
    opened = experiment(name).result.open(stopped)
    assert opened.spec == whole.spec
    pd.testing.assert_frame_equal(opened.table, whole.table)


@EVERY
def test_another_study_is_refused(name: str) -> None:
    with mistake("bad-file", Path("studies/generator"), "study"):
        experiment(name).result.open(Path("studies/generator"))


@EVERY
def test_an_unknown_option_is_one_line(name: str, refused: Callable[..., None]) -> None:
    option = "images" if "images" in inspect.signature(getattr(api, name)).parameters else "inverted"
    wrong = option[:2] + option[3:]
    with mistake("unknown-name", wrong, option):
        small_run(name, out="none", **{wrong: 3})
    refused([*small_command(name), "--out", "none", f"--{wrong}", "3"], f"--{wrong}", f"--{option}")
    assert not Path("none").exists()


@EVERY
@pytest.mark.parametrize(("option", "value"), [("images", "12"), ("seed", 1.5), ("batch", [4])])
def test_a_value_of_another_type_is_one_line(name: str, option: str, value: Any) -> None:
    known = option in inspect.signature(getattr(api, name)).parameters
    with mistake("bad-value" if known else "unknown-name", option):
        small_run(name, **{option: value})


@EVERY
def test_every_field_of_the_spec_is_reachable_and_documented(name: str) -> None:
    entry, function = experiment(name), getattr(api, name)
    options = {option.name: option for option in entry.options()}
    fields = {field.name for field in dataclasses.fields(entry.spec)}
    assert fields <= options.keys() | entry.filled | NAMED
    assert entry.filled <= fields, "what is filled is a field"
    parameters = inspect.signature(function).parameters
    text = " ".join(verbs()[entry.verb].format_help().split())
    for option in options.values():
        assert option.text, option.name
        assert f"{option.name}" in (function.__doc__ or "")
        placed = option.name in PLACED or (option.name == "layers" and "layer" not in options)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if placed else inspect.Parameter.KEYWORD_ONLY
        assert parameters[option.name].kind is kind
        assert flag_of(option.name) in text, f"ganatomy {entry.verb} has no {flag_of(option.name)}"


def test_what_is_generated_is_as_it_would_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])  # whose style the formatter takes
    for path, write in api_signatures.WRITTEN.items():
        assert path.read_text(encoding="utf-8") == write(), "run recipes/api_signatures.py"


@EVERY
def test_every_field_of_the_spec_changes_the_digest(name: str) -> None:
    kind = experiment(name).spec
    names = [field.name for field in dataclasses.fields(kind)]

    def digest(changed: str) -> str:
        spec = object.__new__(kind)  # no field is checked
        for each in names:
            object.__setattr__(spec, each, [each, each == changed])
        return spec_digest(spec)

    assert len({digest(each) for each in ("", *names)}) == 1 + len(names)
