"""What each block is matched to at each step, from pairs that are made by hand."""

import pandas as pd

from ganatomy.experiments.emergence import emergence_table

ROWS = [
    ("up1@1", 0, "tree", 0.1, False),
    ("up1@3", 0, "tree", 0.4, True),
    ("up1@3", 1, "tree", 0.5, True),
    ("up1@3", 1, "sky", 0.6, False),
    ("up2@3", 0, "sky", 0.7, True),
]


def test_each_concept_has_a_row_at_each_step_of_its_block() -> None:
    pairs = pd.DataFrame(ROWS, columns=["layer", "unit", "concept", "iou", "matched"])
    pairs = pairs.assign(category="object", chance=0.05, control=0.01)
    table = emergence_table(dict.fromkeys(["up1@1", "up2@3", "up1@3"]), pairs)
    assert table.block.tolist() == ["up1", "up1"], "up2 has one step, and sky is matched in no other block"
    assert table.concept.tolist() == ["tree", "tree"]
    assert table.step.tolist() == [1, 3]
    assert table.units.tolist() == [0, 2]
    assert table.iou.tolist() == [0.1, 0.5]
    assert table.matched.tolist() == [False, True]
    assert emergence_table({"layer4": None}, pairs).empty
