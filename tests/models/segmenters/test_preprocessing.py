"""Preprocessing of images: numbers that no file may have, and what the library does where there is no file."""

import json
from pathlib import Path
from typing import Any

import pytest
from mistakes import mistake

from ganatomy.models.segmenters.preprocessing import read_preprocessing

transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize(
    "entries",
    [
        {"size": 8193},
        {"size_divisor": 8193},
        {"rescale_factor": "x"},
        {"resample": []},
        {"image_std": [1, 1, 10**400]},
        {"image_mean": [0, 0, float("nan")]},
    ],
)
def test_numbers_that_no_preprocessing_has(entries: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(entries))
    with mistake("bad-file", "preprocessor_config.json"):
        read_preprocessing(tmp_path, {"model_type": "segformer"})


def test_a_processor_without_an_image_processor(tmp_path: Path) -> None:
    (tmp_path / "processor_config.json").write_text('{"image_processor": 5}')
    with mistake("bad-file", "processor_config.json", "image_processor"):
        read_preprocessing(tmp_path, {"model_type": "segformer"})


@pytest.mark.parametrize(("family", "kind"), [("vit", "ViT"), ("swin", "ViT"), ("swinv2", "ViT"), ("deit", "DeiT")])
def test_encoders_without_a_file_are_read_as_by_the_library(family: str, kind: str, tmp_path: Path) -> None:
    own = getattr(transformers, f"{kind}ImageProcessorPil")()
    made = read_preprocessing(tmp_path, {"model_type": family})
    assert (made.mean, made.std) == (tuple(own.image_mean), tuple(own.image_std))
    assert made.filter == {2: "bilinear", 3: "bicubic"}[int(own.resample)]
