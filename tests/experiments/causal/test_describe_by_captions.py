"""Descriptions whose words are those of captions: of planted units they are the planted things, and these go."""

import pytest

import ganatomy
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
