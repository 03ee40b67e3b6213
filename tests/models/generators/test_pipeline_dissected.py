"""A pipeline from its folder to a dissection and the effect of its units."""

from pathlib import Path

import pytest
from diffusers_pipelines import save_pipeline

import ganatomy


@pytest.mark.slow
def test_a_pipeline_is_dissected_and_its_units_switched_off(tmp_path: Path) -> None:
    model = save_pipeline("StableDiffusionPipeline", tmp_path)
    options = f"prompts={tmp_path / 'prompts.txt'}&steps=4&step=2&guidance=5&half=cond&show=final"
    name = f"diffusers:{model}?{options}"
    study = ganatomy.dissect(
        name,
        segmenter="planted",
        layers=["up_blocks.0@2", "up_blocks.1@2", "mid_block~update@2"],
        images=24,
        calibration=12,
        levels=20,
        batch=12,
        out=tmp_path / "study",
    )
    assert set(study.units["layer"]) == {"up_blocks.0@2", "up_blocks.1@2", "mid_block~update@2"}
    concept = study.concepts["concept"][0]
    options = {"units": [0, 1], "images": 12, "random": 2}
    whole = ganatomy.ablate(study, "up_blocks.0", concept, at_steps="1..4", **options)
    assert len(whole.table)
    late = ganatomy.ablate(study, "up_blocks.0", concept, at_steps="4", **options)
    assert not whole.table.equals(late.table)
    added = ganatomy.ablate(study, "mid_block~update", concept, at_steps="1..4", **options)
    assert len(added.table)
