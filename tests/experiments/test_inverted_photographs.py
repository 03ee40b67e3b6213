"""What an inversion says of photographs, and what edits of them keep."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import ganatomy
from ganatomy.core.errors import BadFile
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.experiments.inversion.edit import changes_table, edited_whole
from ganatomy.experiments.inversion.found import FoundLatents, ModelImages
from ganatomy.experiments.inversion.tables import concepts_table, photographs_table
from ganatomy.models.inversion import inverted
from ganatomy.report.causal.edited_photographs import greatest_change

INVERTED = "ganatomy.experiments.inversion.photographs.inverted"
SHORT: dict[str, Any] = {"images": 16, "steps": 2, "latent_steps": 2}
WORDS = (NOTHING, Concept("sky", "object"), Concept("tree", "object"))


def test_tables_of_what_was_found() -> None:
    found = FoundLatents(1, (0, 1, 1), (3, 2, 2))
    photographs, images = torch.zeros(2, 3, 2, 2), torch.tensor([0.0, 0.2]).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    found.update(torch.zeros(2, 1), torch.zeros(2, 0, 1, 1), photographs, images, torch.tensor([1.0, 50.0]))
    drawn = ModelImages.of(torch.tensor([[0.0], [1.0], [2.0], [4.0]]))
    labels = torch.tensor([[[[1, 1], [2, 2]]], [[[1, 1], [1, 1]]]])
    again = torch.tensor([[[[1, 1], [2, 1]]], [[[1, 1], [1, 1]]]])
    table = photographs_table([Path("a.png"), Path("b/a.png")], drawn, found, labels, again)
    assert list(table.photograph) == ["a", "a-2"]
    assert table.error.tolist() == pytest.approx([0, 0.1])
    assert table.psnr[1] == pytest.approx(20)
    assert table.kept.tolist() == [0.75, 1.0]
    assert table.place.tolist()[1] == "far outside"
    concepts = concepts_table(WORDS, labels, again).set_index("concept")
    assert concepts.kept.to_dict() == {"sky": 1.0, "tree": 0.5}
    assert concepts.share.to_dict() == {"sky": 0.75, "tree": 0.25}
    assert concepts.photographs.to_dict() == {"sky": 2, "tree": 1}
    assert np.isnan(concepts.kept_error["tree"])


def test_changes_have_errors_over_photographs() -> None:
    before, after = torch.tensor([[4, 4, 0], [4, 2, 2]]), torch.tensor([[4, 2, 2], [4, 2, 2]])
    table = changes_table(WORDS, before, after).set_index("concept")
    assert table.change.to_dict() == {"sky": -0.25, "tree": 0.25}
    assert table.change_error["sky"] == pytest.approx(0.25)


def test_the_answer_is_of_a_change_beyond_its_error() -> None:
    table = pd.DataFrame({"concept": ["sky", "tree"], "change": [-0.2, 0.05], "change_error": [0.4, 0.01]})
    assert greatest_change(table) == "tree changes most beyond its error: +5.0 ± 1.0 % of the pixels."
    assert greatest_change(table[:1]).startswith("No effect")
    assert greatest_change(table[:0]).startswith("The segmenter sees no concept")


def test_a_change_is_enlarged_into_the_middle_of_a_photograph_and_the_rest_keeps_its_bytes() -> None:
    photograph = np.random.default_rng(0).integers(50, 200, (32, 80, 3), dtype=np.uint8)
    change = torch.zeros(1, 3, 8, 8)
    change[..., :2, :2] = 0.5
    edited = edited_whole(photograph, change)
    assert (edited[0:4, 24:28] > photograph[0:4, 24:28]).all()
    assert (edited[:, :24] == photograph[:, :24]).all()
    assert (edited[16:] == photograph[16:]).all()


def save_photographs(directory: Path, count: int) -> Path:
    directory.mkdir()
    for i in range(count):
        Image.new("RGB", (40, 30), (40 * i, 90, 200)).save(directory / f"{i}.png")
    return directory


@pytest.mark.slow
def test_an_interrupted_inversion_goes_on_after_the_last_shard(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_photographs(here / "photographs", 3)
    rows = list[int]()

    def stopping(last: int) -> Callable[..., Any]:
        def found(inverter: Any, images: torch.Tensor, start: torch.Tensor) -> Any:
            if len(rows) == last:
                raise KeyboardInterrupt
            rows.append(len(images))
            return inverted(inverter, images, start)

        return found

    for last in (1, 2):
        monkeypatch.setattr(INVERTED, stopping(last))
        with pytest.raises(KeyboardInterrupt):
            ganatomy.invert("study", image=folder, shard=1, **SHORT)
    monkeypatch.setattr(INVERTED, stopping(9))
    found = ganatomy.invert("study", image=folder, shard=1, **SHORT)
    assert rows == [1, 1, 1], "each was inverted once"
    assert list(found.table.photograph) == ["0", "1", "2"]
    whole = ganatomy.invert("study", image=folder, out=here / "whole", **SHORT)
    assert np.allclose(found.table.error, whole.table.error, atol=1e-4)


def test_a_file_that_is_no_image_is_refused_before_any_is_inverted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_photographs(here / "photographs", 1)
    (folder / "z.png").write_text("no image")
    monkeypatch.setattr(INVERTED, None)
    with pytest.raises(BadFile, match=r"z\.png: not a whole image"):
        ganatomy.invert("study", image=folder, shard=1, **SHORT)


def test_how_far_outside_a_photograph_is() -> None:
    table = pd.DataFrame({"photograph": ["a", "b"], "distance": [2.25, 0.5], "place": ["far outside", "inside"]})
    warnings = object.__new__(ganatomy.Inversion)
    object.__setattr__(warnings, "table", table)
    assert warnings._warnings() == [
        "a is far outside of what the model draws, 2.2 times as far from its images as they are from each other; "
        "edits may do anything there."
    ]
