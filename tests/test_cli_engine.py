"""Every command that measures takes an engine, and counts with it."""

import argparse
import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from toy_classifier import toy_spec, write_images

import ganatomy
from ganatomy.cli import main
from ganatomy.cli.arguments import build
from ganatomy.engines import local, registry
from ganatomy.interventions import write_edits

MEASURES_NOTHING = {"layers": "one image", "calibrate": "some images, once", "serve": "single images"}
"""Commands that have a device, and nothing to share out."""


def verbs() -> dict[str, argparse.ArgumentParser]:
    actions = build()._subparsers._group_actions  # type: ignore[union-attr]
    return dict(actions[0].choices.items())  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize("name", verbs())
def test_every_command_that_measures_takes_an_engine(name: str) -> None:
    options = verbs()[name]._option_string_actions
    registry = {"--engine", "--workers", "--devices", "--gpus-per-worker", "--shard", "--wait"}
    assert (registry <= options.keys()) == ("--device" in options and name not in MEASURES_NOTHING)
    assert registry <= options.keys() or not registry & options.keys()


class Asked(Exception):
    """Somebody asked the engine to count."""


class Stops:
    """An engine that only says that it was asked."""

    def __call__(self, work: Callable[[range], Any], shards: Sequence[range]) -> Iterator[tuple[int, Any]]:
        raise Asked

    def __enter__(self) -> "Stops":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A study of a generator, one of a classifier, and an edit."""
    home = tmp_path_factory.mktemp("engine")
    made = {name: home / name for name in ("study", "classified")}
    images = write_images(home / "toys", 60)
    ganatomy.dissect("planted:", segmenter="planted:", images=40, layers=["layer2"], out=made["study"])
    ganatomy.dissect(toy_spec(images), segmenter=f"labels:{images}", images=30, out=made["classified"])
    generator = ganatomy.open_generator("planted:")
    edit = ganatomy.Intervention.ablate("layer2", generator.layers["layer2"], [1])
    write_edits(home / "edit.json", [edit], generator.fingerprint)
    return {"edit": str(home / "edit.json"), **{name: str(place) for name, place in made.items()}}


COMMANDS = {
    "demo": "--images 8 --out {new}",
    "dissect": "planted: --segmenter planted: --images 8 --out {new}",
    "monitor": "planted: --segmenter planted: --images 8 --steps 1 --out {new}",
    "compare": "{study} --real scenes:church --out {new}",
    "ablate": "{study} --layer layer2 --units 1",
    "insert": "{study} --layer layer2 --units 1 --concept ball",
    "trace": "{study} --layer layer2 --units 1 --concept ball",
    "apply": "{study} --edit {edit}",
    "ace": "{study} --layer layer2 --concept ball --top 2",
    "capacity": "{study} --layers layer2 --concept ball --tops 1",
    "setting": "{study} --layers layer2 --concept ball",
    "accuracy": "{classified} --layer see --units 1 --images 60",
    "artifacts": "{study} --layer layer2 --real scenes:church",
    "quality": "{study} --real scenes:church --textures 0",
    "repair": "{study} --layer layer2 --units 1 --real scenes:church --textures 0",
}
OTHER_WAYS = (
    "ablate {study} --layer layer2 --each",
    "insert {study} --layer layer2 --units 1 --concept ball --at each",
    "accuracy {classified} --layer see --each --images 60",
    "repair {study} --layer layer2 --worst 1 --real scenes:church --textures 0",
)


def test_no_command_is_left_out() -> None:
    assert COMMANDS.keys() == {name for name, verb in verbs().items() if "--engine" in verb._option_string_actions}


@pytest.mark.parametrize("command", [*(f"{name} {rest}" for name, rest in COMMANDS.items()), *OTHER_WAYS])
def test_every_command_counts_with_the_engine_that_is_asked_for(
    command: str, places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(registry, "open_engine", lambda name, **options: asked.update(options, name=name) or Stops())
    with pytest.raises(Asked):
        main([*command.format(**places, new=tmp_path / "new").split(), "--json", "--engine", "ray", "--workers", "3"])
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


def test_contradictions_are_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    for options, told in (
        (["--device", "cuda", "--devices", "cpu,cpu"], "CPU and GPU round differently; leave the device out"),
        (["--engine", "proceses"], "unknown engine 'proceses'; did you mean processes?"),
        (["--workers", "two"], "argument --workers: invalid int value"),
        (["--gpus-per-worker", "1"], "gpus_per_worker is for Ray"),
    ):
        assert main(["dissect", "planted:", "--out", "nowhere", *options]) == 2
        assert told in capsys.readouterr().err
        assert not Path("nowhere").exists()
