"""What bad input gets: one line on stderr that names what matters, exit code 2, and nothing written over (SPEC 10).

Every case goes through the command line, as a user would meet it.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from mistakes import assert_mistake_line

from ganatomy.cli import main
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.models.generators.progan import progan_network
from ganatomy.models.weights import State
from ganatomy.study import Study

NETS = Path(__file__).with_name("nets_for_bad_input.py")
GOOD = ["torch:nets_for_bad_input:Good?latent=4", "--segmenter", "colors", "--images", "8", "--batch", "4"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory with the modules of `NETS` in it."""
    shutil.copy(NETS, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dissect(generator: str, *more: str) -> list[str]:
    return ["dissect", generator, "--segmenter", "colors", "--images", "8", "--batch", "4", "--out", "study", *more]


def network() -> State:
    torch.manual_seed(0)
    return progan_network(8, [8, 8, 4, 4]).state_dict()


Refused = Callable[..., None]


@pytest.mark.parametrize(
    ("argv", "fact"),
    [
        (["disect"], "dissect"),
        (["scenes", "rendr"], "render"),
        (["demo", "--imagse", "3"], "--images"),
        (["demo", "--images=many"], "argument --images"),
        (["compare", "x"], "--out"),
        (["models", "a", "b"], "'b'"),
        (["models", "chruch"], "church"),
        (["report", "nowhere"], "nowhere"),
        (["scenes", "render", "--category", "chruch", "--out", "o"], "church"),
        (["scenes", "render", "--size", "65", "--out", "o"], "size 65"),
        (["scenes", "render", "--count", "0", "--out", "o"], "1"),
        (dissect("bundeld:church"), "bundled"),
        (dissect("bundled:chruch"), "church"),
        (dissect("torch:nets_for_bad_input:Goood"), "Good"),
        (dissect("torch:nets_for_bad_imput:Good"), "nets_for_bad_input"),
        (dissect("torch:nets_for_bad_input:Good?latnet=4"), "'latnet'"),
        (dissect(*GOOD[:1], "--layers", "frist"), "first"),
        (dissect(*GOOD[:1], "--segmenter", "colours"), "colors"),
        (dissect(*GOOD[:1], "--segmenter", "bundled:scene"), "scenes"),
        (dissect(*GOOD[:1], "--threshold", "piar"), "pair"),
        (dissect(*GOOD[:1], "--threshold", "quantile:2"), "quantile:2"),
        (dissect(*GOOD[:1], "--validation", "corss"), "cross"),
        (dissect(*GOOD[:1], "--images", "0"), "images=0"),
        (dissect(*GOOD[:1], "--images", "-3"), "images=-3"),
        (dissect(*GOOD[:1], "--batch", "0"), "batch=0"),
        (dissect(*GOOD[:1], "--batch", "3"), "batch=3"),
        (dissect(*GOOD[:1], "--resolution", "0"), "resolution=0"),
        (dissect(*GOOD[:1], "--device", "cuad"), "'cuad'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_names_and_numbers(refused: Refused, argv: list[str], fact: str) -> None:
    refused(argv, fact)
    assert not Path("study").exists()
    assert not Path("o").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(refused: Refused) -> None:
    refused(dissect(GOOD[0], "--device", "cuda"), "cuda")


def write_state(path: Path, state: State) -> None:
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


NET = "net.safetensors"


def test_the_whole_file_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    """The cases below fail for what is wrong with each, not because nothing could be opened."""
    write_state(Path(NET), network())
    assert main([*dissect(f"progan:{NET}"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"][0]["layer"] == "layer1"


def test_a_file_that_is_not_there(refused: Refused) -> None:
    refused(dissect(f"progan:{NET}"), NET)


def wrong_shape(state: State) -> list[str]:
    state["layer3.conv.weight"] = torch.zeros(4, 7, 3, 3)
    return ["layer3.conv.weight", "[4, 7, 3, 3]", "[4, 8, 3, 3]"]


def nan(state: State) -> list[str]:
    state["layer4.conv.weight"][0, 0, 0, 0] = torch.nan
    return ["layer4.conv.weight", "NaN"]


def another_model(state: State) -> list[str]:
    state.clear()
    state["encoder.weight"] = torch.zeros(3, 3)
    return ["Progressive GAN"]


@pytest.mark.parametrize("spoil", [wrong_shape, nan, another_model])
def test_tensors_that_do_not_fit(refused: Refused, spoil: Callable[[State], list[str]]) -> None:
    state = dict(network())
    facts = spoil(state)
    write_state(Path(NET), state)
    refused(dissect(f"progan:{NET}"), NET, *facts)


def test_nan_activations_are_traced(refused: Refused) -> None:
    name = "torch:nets_for_bad_input:NanOnce?latent=4"
    refused(dissect(name, "--images", "16", "--json"), "first", "unit 2", 21)


def test_a_layer_that_is_not_spatial(refused: Refused) -> None:
    refused(dissect(GOOD[0], "--layers", "flat"), "flat")


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("Raises", "RuntimeError: no such luck"),
        ("NoImage", "NoImage"),
        ("none", "NoneType"),
        ("raises", "OSError: cannot build"),
        ("leaves", "SystemExit: 3"),
    ],
)
def test_a_module_that_misbehaves(refused: Refused, name: str, fact: str) -> None:
    refused(dissect(f"torch:nets_for_bad_input:{name}" + ("?latent=4" if name[0].isupper() else "")), fact)


def test_a_module_that_prints_does_not_spoil_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*dissect("torch:nets_for_bad_input:Loud?latent=4"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["spec"]["images"] == 8
    assert "drawing" in err


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        ([["nothing", "nothing"], ["left", "object"]], "label 2"),
        ([["left", "object"], ["right", "object"]], '["nothing", "nothing"]'),
        ([["nothing", "nothing"], ["left", "object"], ["left", "object"]], "left"),
        ({"left": 1}, "words.json"),
        (None, "words.json"),
    ],
)
def test_a_vocabulary_that_does_not_fit(refused: Refused, words: object, fact: str) -> None:
    if words is not None:
        Path("words.json").write_text(json.dumps(words), encoding="utf-8")
    segmenter = "torch:nets_for_bad_input:halves?vocabulary=words.json"
    refused(dissect(GOOD[0], "--segmenter", segmenter), fact)


def test_a_file_in_the_way(refused: Refused) -> None:
    Path("study").write_text("mine", encoding="utf-8")
    refused(dissect(GOOD[0]), "study")
    refused(["scenes", "render", "--count", "1", "--out", "study"], "study")
    assert Path("study").read_text(encoding="utf-8") == "mine"
    refused(["dissect", *GOOD, "--out", "study/deeper"], "study")
    refused(["scenes", "render", "--count", "1", "--out", "study/deeper"], "study")


def test_a_directory_of_something_else(refused: Refused) -> None:
    Path("study").mkdir()
    Path("study/thesis.txt").write_text("mine", encoding="utf-8")
    refused(dissect(GOOD[0]), "thesis.txt")
    refused(["scenes", "render", "--count", "1", "--out", "study"], "study")
    assert [p.name for p in Path("study").iterdir()] == ["thesis.txt"]
    refused(["report", "study"], "study")


def test_a_directory_that_cannot_be_written(refused: Refused) -> None:
    folder = Path("/proc/self/no-such-place")  # even root cannot write there
    if not folder.parent.is_dir():
        pytest.skip("no /proc")
    refused(["dissect", *GOOD, "--out", str(folder)], folder)
    refused(["scenes", "render", "--count", "1", "--out", str(folder)], folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished study."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(NETS, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["dissect", *GOOD, "--out", "study", "--json"]) == 0
    return folder / "study"


@pytest.fixture
def study(finished: Path, here: Path) -> Path:
    """A copy of the finished study, with every file's content before the test."""
    return Path(shutil.copytree(finished, here / "study"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (["--images", "9"], "images was 8, now 9"),
        (["--seed", "1"], "seed was 0, now 1"),
        (["--threshold", "unit"], "threshold was 'pair', now 'unit'"),
        (["--layers", "first"], "now ['first']"),
        (["--segmenter", "parts:colors"], "segmenter was 'colors', now 'parts:colors'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_study_of_another_spec(refused: Refused, study: Path, change: list[str], fact: str) -> None:
    before = contents(study)
    refused(["dissect", *GOOD, "--out", "study", *change], fact)
    assert contents(study) == before


def test_a_study_of_other_weights(refused: Refused) -> None:
    write_state(Path("net.safetensors"), network())
    assert main(dissect("progan:net.safetensors")) == 0
    write_state(Path("net.safetensors"), {name: tensor + 1 for name, tensor in network().items()})
    before = contents(Path("study"))
    refused(dissect("progan:net.safetensors"), "generator")
    assert contents(Path("study")) == before


def test_a_study_that_another_process_writes(refused: Refused) -> None:
    with Study.create(Path("study"), DissectSpec("planted"), {}):
        refused(dissect(GOOD[0]), f"process {os.getpid()}")


@pytest.mark.parametrize("damage", ["study.json", "steps", "tables"])
def test_a_damaged_study(refused: Refused, study: Path, damage: str) -> None:
    target = study / damage
    victim = target if target.is_file() else max(target.iterdir(), key=lambda p: p.stat().st_size)
    os.truncate(victim, victim.stat().st_size // 2)
    refused(["report", "study"], victim.name)


def test_an_unfinished_study(refused: Refused, study: Path) -> None:
    record = json.loads((study / "study.json").read_text(encoding="utf-8"))
    (study / "study.json").write_text(json.dumps(record | {"finished": False}), encoding="utf-8")
    refused(["report", "study"], "unfinished")


@pytest.mark.slow
def test_a_real_process_says_one_line_and_exits_with_2() -> None:
    command = [sys.executable, "-m", "ganatomy", *dissect("bundled:chruch")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert_mistake_line(done.stderr, "church")
