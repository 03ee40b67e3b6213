"""Dissection finds what was planted; in one pass, in any pieces, after any interruption, to the same bits."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn

import ganatomy
from ganatomy.core.tensor_files import Archive
from ganatomy.core.tensor_types import Images, Labels, Latents
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.experiments.dissect import facts, run
from ganatomy.experiments.dissect_spec import DissectRun, DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.forecast import forecast
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.generators import Edit, Observation, as_generator
from ganatomy.models.generators.planted import UNITS, PlantedGenerator
from ganatomy.models.segmenters.planted import PlantedSegmenter
from ganatomy.study import Study

A = TypeVar("A")
CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"segmenter": "planted", "images": 30, "levels": 20, "calibration": 10, "resolution": 16}
TABLES = ("units", "concepts", "pairs", "by_layer")


def small(**options: Any) -> Dissection:
    return ganatomy.dissect(options.pop("generator", "planted:"), **SMALL | options)


@pytest.fixture(scope="module")
def reference() -> Dissection:
    return small()


def assert_same(found: Dissection, expected: Dissection) -> None:
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name))
    assert steps(found).keys() == steps(expected).keys()
    for name, tensor in steps(found).items():
        assert torch.equal(tensor, steps(expected)[name]), name


def steps(found: Dissection) -> dict[str, Tensor]:
    files = (found.study.directory / "steps").glob("*.npz")
    return {f"{file.stem} {key}": tensor for file in files for key, tensor in Archive(file).items()}


# ---------------------------------------------------------------- what is found


def matched(found: Dissection) -> dict[tuple[str, int], str]:
    rows = found.units[found.units.matched]
    return {(row.layer, row.unit): row.label for row in rows.itertuples()}


TRUTH = {unit: concept for unit, concept in PlantedGenerator(CPU).truth.items() if concept}


def test_it_finds_exactly_what_was_planted(planted: Dissection) -> None:
    assert matched(planted) == TRUTH
    assert planted.units.iou[planted.units.matched].min() > 0.7
    assert planted.by_layer.matched.tolist() == [6, 7, 8]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"validation": "cross"}, {"threshold": "unit"}, {"threshold": "max-iou"}, {"seed": 3}]
)
def test_it_does_so_by_other_rules_and_on_other_samples(options: dict[str, Any]) -> None:
    assert matched(ganatomy.dissect("planted:", segmenter="planted", images=120, resolution=16, **options)) == TRUTH


def test_distractors_do_not_beat_their_control(planted: Dissection) -> None:
    """The units that are bright at the top overlap the sky, in any image alike: IoU 0.35, and so does the control."""
    tops = [(layer, unit) for layer, roles in UNITS.items() for unit, role in enumerate(roles) if role == "top"]
    for layer, unit in tops:
        best = planted.candidates(layer, unit).iloc[0]
        assert (best.concept, best.matched) == ("sky", False)
        assert best.iou > 1.5 * best.chance
        assert abs(best.iou - best.control) < 0.02
        row = planted.units[(planted.units.layer == layer) & (planted.units.unit == unit)].iloc[0]
        assert (row.interpretable, row.matched, row.isna()["label"]) == (True, False, True)


def test_the_rule_is_stated_with_its_rate_of_false_labels(planted: Dissection) -> None:
    rule = planted.facts["matched_rule"]
    assert rule.startswith("IoU > 0.05 and accuracy > 0.75 (interpretable)")
    assert "2 times its chance level" in rule
    assert all(name in rule for name in planted.facts["raised"])
    assert "; 0.0% of the units would be matched" in rule
    assert planted.facts["false_labels"] == 0


def test_what_was_used_is_kept(planted: Dissection) -> None:
    assert planted.facts["inputs"] == {
        "generator": PlantedGenerator(CPU).fingerprint,
        "segmenter": PlantedSegmenter(CPU).fingerprint,
    }
    assert planted.facts["versions"]["torch"] == torch.__version__
    assert planted.facts["machine"]["device"] == "cpu"


# ---------------------------------------------------------------- pieces


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"shard": 2}, {"shard": 14}, {"shard": 1000}, {"batch": 2}, {"batch": 30}])
def test_any_sharding_and_batching_gives_the_same_bits(reference: Dissection, options: dict[str, Any]) -> None:
    assert_same(small(**options), reference)


@pytest.mark.slow
@pytest.mark.parametrize("images", [5, 15])
def test_odd_samples_shard_alike(images: int) -> None:
    for validation in ("separate", "cross"):
        options = {"images": images, "validation": validation}
        assert_same(small(**options, shard=2, batch=2), small(**options))


def test_fewer_layers_give_the_rows_of_all_layers(reference: Dissection) -> None:
    found = small(layers=("layer3", "layer1"))
    assert list(found.layers) == ["layer1", "layer3"], "in forward order, however they are asked"
    every = steps(reference)
    for name, tensor in steps(found).items():
        if name.startswith(("validation", "evaluation")):
            assert torch.equal(tensor, every[name]), name
    expected = reference.units[reference.units.layer != "layer2"].reset_index(drop=True)
    # the noise of the control is measured over the units at hand, so `matched` may differ
    pd.testing.assert_frame_equal(found.units.drop(columns="matched"), expected.drop(columns="matched"))


def test_another_seed_draws_other_images(reference: Dissection) -> None:
    found = small(seed=1)
    assert not (found.units.iou == reference.units.iou)[found.units.label.notna()].any()
    assert (found.top("layer1", 0).images != reference.top("layer1", 0).images).any()


def test_a_lower_resolution_compares_fewer_pixels() -> None:
    full, half = small(resolution=None), small()
    assert full.top("layer1", 0).masks.shape[1:] == (32, 32)
    assert half.top("layer1", 0).masks.shape[1:] == (16, 16)
    assert half.top("layer1", 0).images.shape[1:] == (32, 32, 3)
    assert (full.concepts.share - half.concepts.share).abs().max() < 0.01
    assert (full.concepts.share - half.concepts.share).abs().max() > 0


def test_the_randomness_of_others_is_left_alone() -> None:
    before = torch.get_rng_state()
    small(layers=["layer1"])
    assert torch.equal(torch.get_rng_state(), before)


class Watched:
    """The planted generator, counting what it draws."""

    device = CPU

    def __init__(self) -> None:
        self._inner = PlantedGenerator(CPU)
        self.layers = self._inner.layers
        self.fingerprint = self._inner.fingerprint
        self.drawn = 0

    def latents(self, ids: range, seed: int) -> Latents:
        return self._inner.latents(ids, seed)

    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        self.drawn += len(z)
        return self._inner.observe(z, layers, edits)

    def render(self, r: Tensor, layer: str, z: Latents) -> Images:
        raise NotImplementedError

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        raise NotImplementedError


def test_all_layers_take_one_pass() -> None:
    generator = Watched()
    found = small(generator=generator, top=2)
    shown = {
        int(i)
        for layer, unit in zip(found.units.layer, found.units.unit, strict=True)
        for i in found.top(layer, unit).ids
    }
    assert generator.drawn == 10 + 2 * 30 + len(shown), "calibration, both halves, and the top images once more"


def test_a_finished_study_draws_nothing(tmp_path: Path) -> None:
    first = small(generator=Watched(), out=tmp_path / "s")
    again = Watched()
    assert_same(small(generator=again, out=tmp_path / "s"), first)
    assert again.drawn == 0


# ---------------------------------------------------------------- engines and interruptions


def elsewhere(work: Callable[[range], A], shards: Sequence[range]) -> Iterator[tuple[int, A]]:
    """Send the work away as bytes, have the last shard done first, and hand the results on in order."""
    sent = pickle.dumps(work)
    done = {shard: pickle.loads(sent)(shard) for shard in reversed(shards)}  # noqa: S301
    return ((1, done[shard]) for shard in shards)


def test_another_engine_gives_the_same_bits(reference: Dissection, tmp_path: Path) -> None:
    spec = DissectSpec("planted:", **SMALL)
    models = ModelPair("planted:", "planted", "cpu")
    with Study.create(tmp_path / "s", spec, facts(spec, models), elsewhere, run=DissectRun(shard=8)) as study:
        assert_same(run(spec, study, models), reference)


class Interrupting:
    """Presses Ctrl-C after so many advances, and notes what it was told."""

    def __init__(self, after: int) -> None:
        self._left = after
        self.told: list[tuple[str, int]] = []

    def begin(self, label: str, total: int) -> None:
        self.told.append((label, total))

    def advance(self, pieces: int) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt

    def end(self) -> None:
        self.told.append(("end", 0))


def test_ctrl_c_after_any_step_loses_nothing(reference: Dissection, tmp_path: Path) -> None:
    def dissect(after: int) -> tuple[Dissection, list[tuple[str, int]]]:
        progress = Interrupting(after)
        return small(shard=16, out=tmp_path / "s", progress=progress), progress.told

    # the levels; then two shards of each half, those that are there told again; then the strips
    for after in (1, 2, 2, 3, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            dissect(after)
    assert not (tmp_path / "s" / "steps" / "validation.npz").exists(), "it has chosen levels, and is needed no more"
    found, told = dissect(-1)
    assert told == [("strips", 28), ("end", 0)]
    assert_same(found, reference)


# ---------------------------------------------------------------- estimates


def test_the_estimate_is_an_upper_bound_of_what_is_written(planted: Dissection) -> None:
    spec = planted.spec
    cost = forecast(spec, ModelPair(spec.generator, spec.segmenter, "cpu"))
    assert cost.images == 240
    assert 0 < cost.seconds < 600
    written = sum(file.stat().st_size for file in planted.study.directory.rglob("*") if file.is_file())
    assert 0.4 * cost.disk_bytes < written < 1.5 * cost.disk_bytes


# ---------------------------------------------------------------- other people's models


class Stripes(nn.Module):
    """Images of 12 × 20 pixels: a white bar whose width the latent says. Unit 0 is the bar, unit 1 its negative."""

    def __init__(self, dtype: torch.dtype = torch.float32, bad: float = torch.inf) -> None:
        super().__init__()
        self.hidden = nn.Identity()
        self._dtype, self._bad = dtype, bad

    def forward(self, z: Tensor) -> Tensor:
        place = torch.arange(20) / 20
        bar = (place < torch.sigmoid(z)).float()[:, None, None].expand(-1, 1, 12, -1)
        r = torch.cat([bar, 1 - bar, 0 * bar], 1)
        r[:, 2][z[:, 0] > self._bad] = torch.nan
        r = self.hidden(r.to(self._dtype))
        return (2 * r[:, :1] - 1).float()


class Bars:
    """Tells white from black, in one plane of bytes."""

    vocabulary = (NOTHING, Concept("bar", "object"), Concept("ground", "object"))
    planes = ("object",)
    fingerprint = "bars"
    device = CPU

    def __init__(self, dtype: torch.dtype = torch.uint8) -> None:
        self._dtype = dtype

    def __call__(self, images: Images) -> Labels:
        return torch.where(images[:, :1] > 0, 1, 2).to(self._dtype)


def stripes(module: Stripes, segmenter: Any = None, **options: Any) -> Dissection:
    generator = as_generator(module, latent=[1], bounds=(-1, 1))
    return ganatomy.dissect(generator, segmenter=segmenter or Bars(), images=20, levels=9, **options)


def test_images_need_not_be_square_nor_labels_wide() -> None:
    found = stripes(Stripes())
    assert found.units.label.tolist()[:2] == ["bar", "ground"]
    assert found.units.iou.tolist()[:2] == [1, 1]
    assert found.units.matched.tolist() == [True, True, False]
    assert found.top("hidden", 0).masks.shape == (10, 12, 20)
    assert stripes(Stripes(), resolution=6).top("hidden", 0).masks.shape == (10, 6, 10)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_of_any_float_type(dtype: torch.dtype) -> None:
    pd.testing.assert_frame_equal(stripes(Stripes(dtype)).units, stripes(Stripes()).units)


def test_nan_activations_stop_the_run_by_layer_unit_and_latent() -> None:
    generator = as_generator(Stripes(), latent=[1], bounds=(-1, 1))
    z = generator.latents(range(40), 0)[:, 0]
    worst = int(z[20:].argmax()) + 20 if z[20:].max() > z[:20].max() else int(z[:20].argmax())
    with mistake("bad-model", "layer hidden, unit 2", "NaN", f"latent id {worst}"):
        stripes(Stripes(bad=float(z.max()) - 1e-6))


def test_nan_images_stop_the_run() -> None:
    class Blank(Watched):
        def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
            seen = super().observe(z, layers, edits)
            seen.images[-1, 1] = torch.inf
            return seen

    with mistake("bad-model", "channel 1", "NaN", "latent id 39"):
        small(generator=Blank())


def test_a_layer_that_is_not_there(tmp_path: Path) -> None:
    with mistake("unknown-name", "layer9", "layer"):
        small(layers=["layer1", "layer9"], out=tmp_path / "s")
    assert not (tmp_path / "s").exists(), "nothing is made before the question is understood"
