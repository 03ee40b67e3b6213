"""A study of a stranger names code: no command runs it, until its reader says that it may."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from made_dissections import WORDS, made_dissection
from mistakes import assert_mistake_line, mistake
from small_runs import small_commands, verbs

import ganatomy
from ganatomy.cli import main
from ganatomy.core import trust
from ganatomy.core.vocabulary import Concept
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.models.generators import GENERATORS, open_generator, repaired
from ganatomy.models.generators.repaired import RECORD, WEIGHTS
from ganatomy.models.segmenters import SEGMENTERS

EVIL = "from pathlib import Path\nPath({canary!r}).touch()\ndef build(**_):\n    Path({canary!r}).touch()\n"


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that the code which a study names would make."""
    path = tmp_path / "canary"
    (tmp_path / "evilcode.py").write_text(EVIL.format(canary=str(path)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "cache"))
    yield path
    monkeypatch.delitem(__import__("sys").modules, "evilcode", raising=False)


def stranger(directory: Path, **names: str) -> Path:
    """Return the study of a stranger, which names these models."""
    layers = {"layer1": ["tree", "door"], "layer2": ["tree"], "see": ["tree"]}
    record = made_dissection(directory, layers, (*WORDS, Concept("ball", "object"))) / "study.json"
    content = json.loads(record.read_text())
    content["spec"] |= names
    record.write_text(json.dumps(content))
    return directory


COMMANDS = {
    **{" ".join(command[:4]): command for command in small_commands("study")},
    "serve": ["serve", "study", "--port", "0"],
    "compare": ["compare", "study", "other", "--out", "compared", "--real", "scenes:church"],
}
"""Every command that opens what a study names."""
NO_MODELS = {"trust", "merge", "report", "list", "show"}
"""Commands of a study that open nothing; all but these take the names of models, or no study."""


NAMES = {
    "generator": "torch:evilcode:build?command=id",
    "segmenter": "torch:evilcode:build",
    "inside a basis": "basis:torch:evilcode:build?layer=a&directions=pca",
    "a classifier": "classifier:evilcode:build?images=scenes:church",
    "a repair that says it is trusted": "repaired:fixed?trust=yes",
    "a plug-in": "somebodys:thing",
}


def test_no_command_that_takes_a_study_is_left_out() -> None:
    takes = {verb for verb, each in verbs().items() if any(own.dest.startswith("director") for own in each._actions)}
    assert takes == {command[0] for command in COMMANDS.values()} | NO_MODELS, "extend COMMANDS of this file"


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_command_runs_what_a_study_names(
    command: list[str], canary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("study", "other"):
        stranger(Path(name), generator=NAMES["generator"])
    assert main(command) == 2
    message = capsys.readouterr().err
    assert not canary.exists(), message
    assert_mistake_line(message, "ganatomy trust", "evilcode:build")


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_however_code_is_named_it_is_not_run(name: str, canary: Path) -> None:
    Path("fixed").mkdir()
    record = {"generator": "torch:evilcode:build", "near": "", "fingerprint": "", "edits": {}, "reason": ""}
    (Path("fixed") / RECORD).write_text(json.dumps({"format": 1, "weights": None, **record}))
    for kind in ("generator", "segmenter"):
        with mistake("bad-value", kind, name, f"ganatomy trust {kind}"):
            open_source(stranger(Path(kind), **{kind: name}))
    assert not canary.exists()


def test_a_repair_runs_no_code_unasked(canary: Path) -> None:
    record = {"generator": "torch:evilcode:build", "near": "", "fingerprint": "", "edits": {}, "reason": ""}
    for name in (record["generator"], "somebodys:thing", "basis:somebodys:thing?layer=a"):
        (Path(RECORD)).write_text(json.dumps({"format": 1, "weights": None, **record, "generator": name}))
        with mistake("bad-value", "trust=yes"):
            open_generator("repaired:.")
    assert not canary.exists()


def repair(directory: str, generator: str, near: str = "", weights: bytes | None = None) -> Path:
    """Return the repaired generator of a stranger, which names these models."""
    place = Path(directory)
    place.mkdir()
    digest = None if weights is None else hashlib.sha256(weights).hexdigest()
    if weights is not None:
        (place / WEIGHTS).write_bytes(weights)
    names = {"generator": generator, "near": near or generator, "weights": digest}
    (place / RECORD).write_text(json.dumps({"format": 1, "fingerprint": "", "edits": {}, "reason": "", **names}))
    return place


ELSEWHERE = (
    "diffusers:somebody/model",
    "repaired:file:///somewhere/else",
    "progan:s3://bucket/church.pth",
    "progan:church.pth?weights=s3://bucket/church.pth",
    "basis:progan:church.pth?layer=a&images=s3://bucket/images",
)
"""Names that use the network, or copy from places that only a URL reaches."""


@pytest.mark.parametrize("name", ELSEWHERE)
def test_no_name_within_a_repair_is_opened_unasked(name: str, canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(repaired, "download", lambda *given, **_: opened.append(str(given)))
    monkeypatch.setattr(repaired, "open_generator", lambda *given, **_: opened.append(str(given)))
    repair("first", name, near="progan:gone.pth")
    repair("folded", name, weights=b"weights")
    repair("within", "repaired:folded", weights=b"weights")
    for place in ("first", "folded", "within"):
        with mistake("bad-value", name, "ganatomy trust"):
            repaired.open_repaired(place, device=torch.device("cpu"))
    assert not opened
    assert not (Path("cache") / "remote").exists()


def test_the_second_name_of_a_repair_is_not_opened_unasked(canary: Path) -> None:
    for i, name in enumerate(ELSEWHERE):
        with mistake("bad-value", name, "ganatomy trust"):
            open_generator(f"repaired:{repair(str(i), 'progan:gone.pth', near=name)}")


def test_code_two_repairs_deep_is_not_run(canary: Path) -> None:
    repair("inner", "torch:evilcode:build", weights=b"weights")
    repair("outer", "repaired:inner", weights=b"weights")
    for study in (None, stranger(Path("study"), generator="repaired:outer")):
        with mistake("bad-value", "torch:evilcode:build", "ganatomy trust"):
            open_generator("repaired:outer") if study is None else open_source(study)
    assert not canary.exists()


def test_reports_open_no_model(canary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = stranger(Path("study"), generator=NAMES["generator"], segmenter=NAMES["segmenter"])
    assert main(["report", str(study)]) == 2  # made by hand: it has no images
    ganatomy.open_dissection(study)
    other = stranger(Path("other"), generator=NAMES["generator"], segmenter=NAMES["segmenter"])
    main(["compare", str(study), str(other), "--names", "a,b", "--draws", "2", "--out", "compared"])
    assert "trust" not in capsys.readouterr().err  # no model was even asked for
    assert not canary.exists()


def test_who_trusts_a_study_says_so_once(canary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = stranger(Path("study"), generator="torch:evilcode:build")
    assert main(["trust", str(study), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trusted"] == ["torch:evilcode:build"]
    assert not canary.exists()  # it is only allowed
    assert main(["ablate", str(study), "--layer", "layer1", "--units", "0"]) == 2
    assert canary.exists()
    assert_mistake_line(capsys.readouterr().err, "NoneType")
    assert main(["trust", str(stranger(Path("plain")))]) == 0
    assert "only data" in capsys.readouterr().out


def test_other_code_of_the_same_name_is_other_code(canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ganatomy.trust(stranger(Path("study"), generator="torch:evilcode:build")) == ["torch:evilcode:build"]
    trust.require_trust(["torch:evilcode:build"], Path("study"))
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "evilcode.py").write_text("")
    monkeypatch.chdir(elsewhere)
    with mistake("bad-value", "torch:evilcode:build", "ganatomy trust study"):
        trust.require_trust(["torch:evilcode:build"], Path("study"))


@pytest.mark.slow
def test_what_is_dissected_here_needs_no_word(canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    name = "torch:nets_for_bad_input:Good?latent=4x1x1"
    result = ganatomy.dissect(name, segmenter="colors:", images=4, calibration=2, batch=2, out="own")
    trust.require_trust([name], result.study.directory)
    with mistake("bad-value", f"{name}&width=3", "ganatomy trust"):
        trust.require_trust([f"{name}&width=3"], result.study.directory)


def test_a_cache_that_cannot_be_written_to_keeps_nobody_from_dissecting(
    canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    monkeypatch.setenv("GANATOMY_CACHE", "/proc/nowhere")
    ganatomy.dissect(
        "torch:nets_for_bad_input:Good?latent=4x1x1", segmenter="colors:", images=4, calibration=2, batch=2, out="own"
    )
    with mistake("study-error", "GANATOMY_CACHE"):
        ganatomy.trust("own")


def test_models_of_the_network_are_not_fetched_for_a_stranger(canary: Path) -> None:
    second = f"grounded-sam:{canary.parent}?concepts=tree&sam=somebody/model"
    for name in ("hf:somebody/model", "parts:hf:somebody/model", "diffusers:somebody/model", second, f"parts:{second}"):
        with mistake("bad-value", name, "fetches", "ganatomy trust study"):
            trust.require_trust([name], Path("study"))
    both = f"grounded-sam:{canary.parent}?sam={canary.parent}"
    trust.require_trust(
        [f"hf:{canary.parent}", both, "progan:church.pth", "basis:bundled:church?layer=a"], Path("study")
    )


CODE = {"torch", "classifier"}


def test_every_built_in_family_but_these_reads_data() -> None:
    names = {*GENERATORS.names(), *SEGMENTERS.names()} - {"basis", "sae", "parts"}
    assert {name for name in names if trust.runs_code(f"{name}:x")} == CODE
    for around in ("basis", "sae", "parts"):
        assert {name for name in names if trust.runs_code(f"{around}:{name}:x")} == CODE
