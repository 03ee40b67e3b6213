"""Scenes on disk are what `render` draws, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from mistakes import mistake
from PIL import Image

from ganatomy.core.vocabulary import read_vocabulary
from ganatomy.scenes import PLANES, VOCABULARY, render
from ganatomy.scenes.folder import write_scenes


def test_what_is_written_is_what_is_drawn(tmp_path: Path) -> None:
    write_scenes(tmp_path / "new" / "scenes", "church", range(5, 8), size=32, seed=2)
    folder, drawn = tmp_path / "new" / "scenes", render("church", range(5, 8), size=32, seed=2)
    assert read_vocabulary(folder / "vocabulary.json") == VOCABULARY
    for row, i in enumerate(range(5, 8)):
        image = np.asarray(Image.open(folder / "images" / f"{i:06d}.png"))
        assert np.array_equal(image.transpose(2, 0, 1), drawn.images[row])
        for plane, name in enumerate(PLANES):
            labels = np.asarray(Image.open(folder / "labels" / name / f"{i:06d}.png"))
            assert np.array_equal(labels, drawn.labels[row, plane])
    assert len(list(folder.rglob("*.png"))) == 12
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["scenes"]


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    class Impatient:
        def begin(self, label: str, total: int) -> None: ...

        def advance(self, pieces: int) -> None:
            raise KeyboardInterrupt

        def end(self) -> None: ...

    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "scenes", "church", range(2), size=16, progress=Impatient())
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with mistake("bad-value", tmp_path, "empty"):
        write_scenes(tmp_path, "church", range(1))
    with mistake("bad-value", 1):
        write_scenes(tmp_path / "scenes", "church", range(0))
