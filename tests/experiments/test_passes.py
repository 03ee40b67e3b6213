"""Where memory is short, layers are counted in several passes and merged from file to file: to the same bits."""

from pathlib import Path

import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy.core.devices import held_memory
from ganatomy.core.tensor_files import Archive
from ganatomy.experiments import shards
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.forecast import expected_concepts, forecast, forecasts
from ganatomy.experiments.model_pair import ModelPair

OPTIONS = {"segmenter": "planted", "images": 31, "levels": 20, "calibration": 10, "resolution": 16}


@pytest.mark.slow
@pytest.mark.parametrize("validation", ["separate", "cross"])
def test_little_memory_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validation: str) -> None:
    plain = ganatomy.dissect("planted:", **OPTIONS, shard=8, validation=validation, out=tmp_path / "plain")
    passes = []
    count = shards._Passes.count

    def counted(self: shards._Passes, *args: object, **options: object) -> object:
        passes.append(len(args[1]))  # type: ignore[arg-type]
        return count(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(shards._Passes, "count", counted)
    monkeypatch.setattr("ganatomy.study.sharded.IN_MEMORY", 1000)
    monkeypatch.setattr("ganatomy.experiments.shards.IN_MEMORY", 1000)
    short = ganatomy.dissect("planted:", **OPTIONS, shard=8, validation=validation, out=tmp_path / "short", memory=1)
    assert set(passes) == {1, 2, 3}, "three layers, then those that are left"
    for file in sorted((plain.study.directory / "steps").iterdir()):
        one, other = Archive(file), Archive(short.study.directory / "steps" / file.name)
        assert list(one) == list(other), file.name
        assert all(torch.equal(one[name], other[name]) for name in one), file.name


def test_the_validation_table_goes_once_it_is_read(tmp_path: Path) -> None:
    found = ganatomy.dissect("planted:", **OPTIONS, out=tmp_path / "s")
    steps = {file.name for file in (found.study.directory / "steps").iterdir()}
    assert steps == {f"{name}.npz" for name in ("levels", "chosen", "evaluation", "scores", "top", "strips")}


def spec_and_models(**options: object) -> tuple[DissectSpec, ModelPair]:
    spec = DissectSpec("planted:", **{**OPTIONS, **options})  # type: ignore[arg-type]
    return spec, ModelPair(spec.generator, spec.segmenter, "cpu")


def test_what_cannot_fit_is_refused_with_what_fits() -> None:
    spec, models = spec_and_models()
    with mistake("bad-value", "GB", "0.0", "--memory"):
        forecast(spec, models, 1)


def test_less_memory_takes_more_passes_until_it_does_not_fit() -> None:
    spec, models = spec_and_models(levels=100)
    roomy = forecast(spec, models, held_memory() + (1 << 30))
    assert roomy.passes == 1
    assert roomy.seconds > 0
    assert roomy.memory_bytes > held_memory() / 2


def test_options_that_save_much_are_told() -> None:
    spec, models = spec_and_models(resolution=None)
    found = forecasts(spec, models)
    assert list(found)[:2] == ["", "--validation cross"]
    assert found["--validation cross"].images == found[""].images // 2
    assert list(forecasts(*spec_and_models(validation="cross"))) == [""]


def test_concepts_that_a_few_images_do_not_show_are_expected() -> None:
    g = torch.Generator().manual_seed(0)
    seen = torch.zeros(24, 1, 8, 8, dtype=torch.long)
    for image in seen:
        own = torch.randint(1, 200, (5,), generator=g)
        image[0] = own.repeat_interleave(13)[:64].view(8, 8)
    spec = DissectSpec("planted:", images=1000)
    occurring, in_shard, scored = expected_concepts(seen, spec, 1729, 256)
    assert len(seen.unique()) < in_shard <= occurring
    assert 199 < occurring < 4 * 199, "between 199, and as many new ones in each further image"
    assert scored <= occurring
    assert max(expected_concepts(seen, spec, 200, 256)) <= 200
