"""``ganatomy sae``: what it prints, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = ("sae", "study", "--layer", "layer2", "--features", "16", "--sparsity", "2", "--images", "8", "--out", "out")

pytestmark = pytest.mark.usefixtures("here")


def test_a_training_says_how_long_it_takes_and_what_it_reached(answer: Callable[..., str]) -> None:
    text = answer(*COMMAND)
    assert "16 features of layer2 of planted:, 8 images, about " in text
    assert "on images that were held out: variance explained " in text
    card = json.loads(Path("out/sae.json").read_text())
    assert card["activation"] == "topk:2"
    assert card["kind"] == "sae"
    shown = f"variance explained {card['scores']['variance explained']:.1%}, L0 {card['scores']['L0']:.1f}"
    assert shown in text
    again = answer(*COMMAND)
    assert "about" not in again
    assert shown in again
    assert json.loads(answer(*COMMAND, "--json")) == {"directory": "out", **card}
    assert answer(*COMMAND, "--format", "csv").splitlines()[0] == "directory,variance explained,L0,dead share"


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        (("--layer", "layer9"), "unknown layer 'layer9'"),
        (("--features", "0"), "features=0 is too few"),
        (("--sparsity", "0"), "sparsity=0 is too few"),
        (("--sparsity", "17"), "give 1 to 16"),
        (("--images", "-1"), "images=-1 is too few"),
        (("--save-every", "-1"), "give seconds, 0 or more"),
        (("--out", "study"), "study holds something else"),
        (("--out", "s3://bucket/x"), "is a URL"),
    ],
)
def test_mistakes_are_one_line(given: tuple[str, str], fact: str, refused: Callable[..., None]) -> None:
    refused([*COMMAND, *given], fact)


def test_another_model_or_study_is_named(refused: Callable[..., None]) -> None:
    refused(["sae", "stdy", *COMMAND[2:]], "stdy holds no study", "did you mean study?")
    refused(["sae", "bundled:chrch", *COMMAND[2:]], "church")
    refused(["sae", "plantd:", *COMMAND[2:]], "planted")


def test_the_directory_of_another_training_stays(answer: Callable[..., str], refused: Callable[..., None]) -> None:
    answer(*COMMAND)
    before = Path("out/sae.safetensors").read_bytes()
    refused([*COMMAND, "--seed", "5"], "out holds another training, of seed 0 and not 5")
    Path("out/sae.json").write_text("{")
    refused(COMMAND, "sae.json", "damaged")
    assert Path("out/sae.safetensors").read_bytes() == before
