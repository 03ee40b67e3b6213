"""``ganatomy judge``: what it prints, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

SAE = "sae:planted:?layer=layer2&file=roles.safetensors"
COMMAND = ("judge", SAE, "--segmenter", "planted", "--images", "24", "--edited", "4", "--draws", "4", "--out", "out")

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(autouse=True)
def _roles(here: None) -> None:
    save_file({"W_enc": torch.eye(12), "W_dec": torch.eye(12), "k": torch.tensor(4)}, "roles.safetensors")


@pytest.mark.slow
def test_it_says_of_each_measure_whether_it_separates(answer: Callable[..., str]) -> None:
    text = answer(*COMMAND)
    lines = text.splitlines()
    for name in ("autoencoder", "units", "rotation", "principal", "untrained"):
        assert any(line.startswith(name) for line in lines)
    assert any(line.startswith("variance explained: ") for line in lines)
    assert str(Path("out/judge.html")) in text
    found = json.loads(answer(*COMMAND, "--json"))
    assert found["spec"]["autoencoder"] == SAE
    assert {row["dictionary"] for row in found["measures"]} >= {"autoencoder", "untrained"}
    assert all("separate" in row["sentence"] or "cannot" in row["sentence"] for row in found["separations"])
    assert answer(*COMMAND, "--format", "csv").splitlines()[0].startswith("measure,title,dictionary,value,error")


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        (("--images", "3"), "images=3 is too few"),
        (("--out", "study"), "is a study"),
        (("--segmenter", "plantd:"), "planted"),
        (("--draws", "1"), "draws=1 is too few"),
        (("--grammar", "chruch"), "church"),
    ],
)
def test_mistakes_are_one_line(given: tuple[str, str], fact: str, refused: Callable[..., None]) -> None:
    refused([*COMMAND, *given], fact)


def test_what_is_no_autoencoder_is_refused(refused: Callable[..., None]) -> None:
    refused(["judge", "planted:", *COMMAND[2:]], "give an autoencoder")
    refused(["judge", SAE.replace("layer2", "layer9"), *COMMAND[2:]], "unknown layer")
    refused(["judge", SAE.replace("roles", "rules"), *COMMAND[2:]], "rules.safetensors")
