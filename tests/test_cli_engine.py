"""Every command that measures takes an engine, and counts with it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_runs import small_commands, verbs

from ganatomy.cli import main
from ganatomy.engines import local, registry

MEASURES_NOTHING = {
    "layers": "one image",
    "calibrate": "some images, once",
    "serve": "single images",
    "sae": "it learns",
}
"""Commands that have a device, and nothing to share out."""


@pytest.mark.parametrize("name", verbs())
def test_every_command_that_measures_takes_an_engine(name: str) -> None:
    options = verbs()[name]._option_string_actions
    registry = {"--engine", "--workers", "--devices", "--gpus-per-worker", "--shard", "--wait"}
    assert (registry <= options.keys()) == ("--device" in options and name not in MEASURES_NOTHING)
    assert registry <= options.keys() or not registry & options.keys()


class Asked(Exception):
    """Somebody asked the engine to count."""


def stops(work: Callable[[range], Any], shards: Sequence[range]) -> Iterator[tuple[int, Any]]:
    raise Asked


OTHERS = {
    "demo": "--images 8",
    "dissect": "planted: --segmenter planted: --images 8",
    "monitor": "planted: --segmenter planted: --images 8 --steps 1",
    "compare": "studies/generator --real scenes:church",
    "judge": "sae:planted:?layer=layer2&file=sae.safetensors --segmenter planted: --images 8",
    "repair": "studies/generator --layer layer2 --worst 1 --real scenes:church --textures 0",
}
"""Commands of no experiment, and one that first runs another."""
EVERY = [*small_commands(), *([verb, *rest.split()] for verb, rest in OTHERS.items())]


def test_no_command_is_left_out() -> None:
    counting = {name for name, verb in verbs().items() if "--engine" in verb._option_string_actions}
    assert {command[0] for command in EVERY} == counting, "extend OTHERS of this file"


@pytest.mark.parametrize(
    "command",
    [pytest.param(own, marks=[pytest.mark.slow] if own[0] == "compare" else [], id=" ".join(own)) for own in EVERY],
)
def test_every_command_counts_with_the_engine_that_is_asked_for(
    command: list[str], small_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_place)
    asked: dict[str, Any] = {}
    opened = contextlib.nullcontext(stops)
    monkeypatch.setattr(registry, "open_engine", lambda name, **options: asked.update(options, name=name) or opened)
    with pytest.raises(Asked):
        main([*command, "--out", str(tmp_path / "new"), "--json", "--engine", "ray", "--workers", "3"])
    assert (asked["name"], asked["workers"], asked["device"]) == ("ray", 3, "cpu")


def test_larger_shards_of_a_dissection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[range] = []

    def notes(work: Callable[[range], Any], shards: Sequence[range]) -> Iterator[tuple[int, Any]]:
        seen.extend(shards)
        return local(work, shards)

    monkeypatch.setattr(registry, "open_engine", lambda *_, **options: contextlib.nullcontext(notes))
    command = ["dissect", "planted:", "--segmenter", "planted:", "--images", "12", "--batch", "4", "--json"]
    assert main([*command, "--out", str(tmp_path / "study"), "--shard-size", "8"]) == 0
    assert [len(shard) for shard in seen[1:5]] == [8, 4, 8, 4]


def test_a_contradiction_is_one_line(refused: Callable[..., None]) -> None:
    for options, fact in (
        (["--device", "cuda", "--devices", "cpu,cpu"], "devices cpu,cpu"),
        (["--engine", "proceses"], "processes"),
        (["--workers", "two"], "argument --workers"),
        (["--gpus-per-worker", "1"], "gpus_per_worker"),
    ):
        refused(["dissect", "planted:", "--out", "nowhere", *options], fact)
        assert not Path("nowhere").exists()
