"""Descriptions whose words are those of captions: of planted units they are the planted things, and these go."""

from pathlib import Path

import pytest

import ganatomy
from ganatomy.core.tensor_types import Images
from ganatomy.experiments.causal.describer import Describer
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.models.generators.planted import UNITS

SMALL = ("tree", "ball", "box", "lid")


@pytest.mark.parametrize("words", [None, ["ball", "tree", "dragon"]])
def test_captions_describe_what_units_draw(
    words: list[str] | None, source: DissectedModel, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("captions") / "found"
    given = {"describer": "torch:planted_words:Sayer", "images": 100, "top": 8, "out": out}
    found = ganatomy.describe(source.dissection, "layer2", words=words, **given)
    table = found.table.assign(role=UNITS["layer2"]).set_index("role")
    known = [role for role in table.index if role in SMALL and (words is None or role in words)]
    assert known
    for role in known:
        rows = table.loc[[role]]
        if role in ("box", "lid"):  # a lid lies on a box: captions say both or neither
            assert set(rows.description) <= {"box", "lid"}
            continue
        assert set(rows.description) == {role}
        assert set(rows.ablated) == {"goes"}
    for role in [role for role in table.index if role.startswith("copy:")]:
        name = role.removeprefix("copy:")
        if name not in ("box", "lid") and (words is None or name in words):
            assert table.description[role] == role.removeprefix("copy:")
            assert table.ablated[role] == "stays"
    idle = [role for role in table.index if role.partition(":")[0] in ("noise", "on", "dead", "top")]
    assert table.description[idle].isna().all()
    if words is None:
        assert not {"a", "and", "of"} & set(found.best_words.word)


@pytest.mark.parametrize("words", [None, ["ball", "dragon"]])
def test_each_crop_is_captioned_once(
    words: list[str] | None, source: DissectedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, write = [], Describer.captions

    def counted(self: Describer, images: Images) -> list[str]:
        counts.append(len(images))
        return write(self, images)

    monkeypatch.setattr(Describer, "captions", counted)
    units = [UNITS["layer2"].index(role) for role in ("ball", "dead", "tree")]
    found = ganatomy.describe(
        source.dissection,
        "layer2",
        units=units,
        describer="torch:planted_words:Sayer",
        words=words,
        images=20,
        top=4,
        random=3,
        out=tmp_path / "found",
    )
    assert found.table.images.tolist() == [4, 0, 4]
    assert sum(counts) == 20 * 9 + 8 * (1 + 1 + 3), "random images in 9 crops; with the unit, without, 3 random ones"
