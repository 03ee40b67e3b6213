"""``dtype=auto``: taken where it saves time and changes few labels, told, and never decided twice."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy.core import devices
from ganatomy.core.devices import has_bfloat16
from ganatomy.core.errors import BadModel
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Images, Labels
from ganatomy.experiments import dtype as module
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.dtype import LIMIT, DtypeChoice, begin, choose_dtype
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.generators import open_generator
from ganatomy.models.segmenters import SEGMENTERS, open_segmenter
from ganatomy.models.segmenters.planted import PlantedSegmenter
from ganatomy.study import Part, is_study

A = TypeVar("A")
AUTO = "made:x?dtype=auto"
SMALL: dict[str, Any] = {"images": 30, "levels": 20, "calibration": 10, "resolution": 16}
CPU = torch.device("cpu")


class Made:
    """A family of segmenters of which a test says what bfloat16 changes, and what it costs beside one second."""

    def __init__(self) -> None:
        self.changed, self.cost, self.now = 1 / 1024, 0.5, 0.0  # of 32 by 32 pixels one
        self.opened: list[str] = []
        self.fails = False

    def open(self, argument: str, /, *, device: torch.device, dtype: str = "float32") -> "MadeSegmenter":
        assert argument == "x"
        self.opened.append(dtype)
        return MadeSegmenter(device, dtype, self)


class MadeSegmenter(PlantedSegmenter):
    def __init__(self, device: torch.device, dtype: str, family: Made) -> None:
        super().__init__(device)
        self.fingerprint = fingerprint({}, self.fingerprint, dtype)
        self._half, self._family = dtype == "bfloat16", family

    def __call__(self, images: Images) -> Labels:
        self._family.now += len(images) * (self._family.cost if self._half else 1.0)
        labels = super().__call__(images).clone()
        if self._half:
            if self._family.fails:
                raise BadModel("NaN in bfloat16")
            part = labels[:, 1].flatten(1)  # a view
            few = round(self._family.changed * part.shape[1])
            part[:, :few] = (part[:, :few] + 1) % len(self.vocabulary)
        return labels


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    family = Made()
    monkeypatch.setitem(SEGMENTERS._openers, "made", family.open)
    monkeypatch.setattr(module, "_clock", lambda device: family.now)
    monkeypatch.setattr(module, "has_bfloat16", lambda device: True)
    return family


@pytest.fixture
def old_machine(made: Made, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Go on with another processor."""

    def move() -> None:
        made.opened.clear()
        monkeypatch.setattr(module, "has_bfloat16", lambda device: False)

    return move


def asked(segmenter: str = AUTO, **options: Any) -> tuple[DissectSpec, ModelPair]:
    return DissectSpec("planted:", segmenter, **SMALL | options), ModelPair("planted:", segmenter, "cpu")


def dissect(segmenter: str = AUTO, **options: Any) -> Dissection:
    return ganatomy.dissect("planted:", segmenter=segmenter, **SMALL | options)


# ---------------------------------------------------------------- what is taken


@pytest.mark.parametrize(
    ("changed", "cost", "taken"),
    [
        (1 / 1024, 0.5, "bfloat16"),
        (5 / 1024, 0.1, "bfloat16"),
        (6 / 1024, 0.1, "float32"),
        (1 / 1024, 0.89, "bfloat16"),
        (1 / 1024, 0.91, "float32"),
        (1 / 1024, 3.0, "float32"),
    ],
)
def test_it_must_change_few_labels_and_save_time(
    made: Made, tmp_path: Path, changed: float, cost: float, taken: str
) -> None:
    made.changed, made.cost = changed, cost
    spec, models, told = choose_dtype(*asked(), tmp_path / "s")
    assert spec.segmenter == models.segmenter_given == f"made:x?dtype={taken}"
    assert told is not None
    assert {name: told[name] for name in ("taken", "images", "limit")} == {
        "taken": taken,
        "images": 24,
        "limit": LIMIT,
    }
    assert told["changed"] == {"object": 0.0, "part": pytest.approx(changed, abs=1e-4), "material": 0.0}
    assert told["seconds"] == {"float32": 1.0, "bfloat16": pytest.approx(cost)}
    message = (
        f"in bfloat16 {told['changed']['part']:.2%} of the pixels of 24 images change their part label (limit 0.5%)"
    )
    assert message in told["reason"]
    assert f"an image takes {1000 * cost:.1f} ms, in float32 1000.0 ms" in told["reason"]
    assert made.opened == ["float32", "bfloat16"]


def test_a_processor_without_it_measures_nothing(made: Made, old_machine: Callable[[], None], tmp_path: Path) -> None:
    old_machine()
    choice = choose_dtype(*asked(), tmp_path / "s")
    assert choice.message == "dtype=auto takes float32: cpu has no bfloat16 in hardware"
    assert (choice.spec.segmenter, made.opened, made.now) == ("made:x?dtype=float32", ["float32"], 0)


def test_what_fails_in_bfloat16_is_not_taken(made: Made, tmp_path: Path) -> None:
    made.fails = True
    assert (
        choose_dtype(*asked(), tmp_path / "s").message
        == "dtype=auto takes float32: in bfloat16 it fails: NaN in bfloat16"
    )


def test_the_subject_is_opened_once(made: Made, tmp_path: Path) -> None:
    spec, models = asked()
    assert choose_dtype(spec, models, tmp_path / "s").models.subject is models.subject
    assert made.opened


def test_as_few_images_as_there_are(made: Made, tmp_path: Path) -> None:
    choice = choose_dtype(*asked(images=10), tmp_path / "s")
    assert "of 10 images" in choice.message
    assert made.opened


def test_bundled_labels_change_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_bfloat16", lambda device: True)
    spec = DissectSpec("bundled:church", "parts:bundled:scenes?dtype=auto", images=24)
    told = choose_dtype(spec, ModelPair(spec.generator, spec.segmenter, "cpu"), tmp_path / "s").dtype
    assert told is not None
    assert list(told["changed"]) == ["object", "part", "material", "top/bottom", "left/right"]
    assert all(0 < share < LIMIT / 2 for share in told["changed"].values())


# ---------------------------------------------------------------- who is not asked


def test_no_other_segmenter_is_touched(made: Made, tmp_path: Path) -> None:
    for name in ("made:x", "made:x?dtype=bfloat16", "planted"):
        spec, models = asked(name)
        assert choose_dtype(spec, models, tmp_path / "s") == DtypeChoice(spec, models)
    assert not made.opened
    generator, segmenter = open_generator("planted:"), open_segmenter("planted")
    found = ganatomy.dissect(generator, segmenter=segmenter, **SMALL)
    assert "dtype" not in found.facts


def test_a_segmenter_without_number_formats_has_no_such_option(tmp_path: Path) -> None:
    with mistake("unknown-name", "colors", "dtype"):
        dissect("colors?dtype=auto", out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("opening", [open_segmenter, open_generator])
def test_elsewhere_nobody_measures(opening: Callable[[str], object]) -> None:
    name = {open_segmenter: "bundled:scenes", open_generator: "bundled:church"}[opening]
    with mistake("bad-value", "dtype=auto", "float32", "bfloat16"):
        opening(f"{name}?dtype=auto")


# ---------------------------------------------------------------- it is decided once


def elsewhere(work: Callable[[range], A], shards: Sequence[range]) -> Iterator[tuple[int, A]]:
    """Send the work away as bytes, as to a worker."""
    sent = pickle.dumps(work)
    assert b"dtype=auto" not in sent
    return ((1, pickle.loads(sent)(shard)) for shard in shards)  # noqa: S301


def test_another_machine_goes_on_in_the_format_that_was_taken(
    made: Made, old_machine: Callable[[], None], tmp_path: Path
) -> None:
    expected = dissect("made:x?dtype=bfloat16")

    def stop(work: Callable[[range], A], shards: Sequence[range]) -> Iterator[tuple[int, A]]:
        yield 1, work(shards[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dissect(out=tmp_path / "s", engine=stop, shard=8)
    old_machine()
    found = dissect(out=tmp_path / "s", engine=elsewhere, shard=8)
    assert set(made.opened) == {"bfloat16"}
    assert found.spec.segmenter == "made:x?dtype=bfloat16"
    assert found.facts["inputs"] == expected.facts["inputs"]
    assert found.facts["dtype"]["changed"]["part"] == pytest.approx(0.001, abs=1e-4)
    assert found.units.equals(expected.units)
    made.opened.clear()
    assert dissect(out=tmp_path / "s", shard=8).facts == found.facts  # finished: found at once
    assert set(made.opened) == {"bfloat16"}


def test_and_not_in_another_though_this_one_has_bfloat16(
    made: Made, old_machine: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_machine()
    dissect(out=tmp_path / "s")
    monkeypatch.setattr(module, "has_bfloat16", lambda device: True)
    choice = choose_dtype(*asked(), tmp_path / "s")
    assert choice.message == "dtype=auto takes float32: the study was begun in it"
    assert set(made.opened) == {"float32"}


@pytest.mark.parametrize("name", ["made:x", "made:x?dtype=bfloat16"])
def test_a_study_that_was_begun_without_auto_goes_on_as_it_was(made: Made, tmp_path: Path, name: str) -> None:
    made.changed = 0.5 if "bfloat16" in name else 0.0  # what would now be measured says otherwise
    dissect(name, out=tmp_path / "s")
    assert dissect(out=tmp_path / "s").spec.segmenter == name


def test_another_study_is_refused_as_ever(made: Made, tmp_path: Path) -> None:
    dissect("planted", out=tmp_path / "s")
    with mistake("study-mismatch", "segmenter", "planted", "made:x"):
        dissect(out=tmp_path / "s")
    dissect(out=tmp_path / "t")
    with mistake("study-mismatch", "seed was 0, now 1"):
        dissect(out=tmp_path / "t", seed=1)
    assert made.opened


def test_of_parts_that_begin_at_once_the_first_decides(
    made: Made, old_machine: Callable[[], None], tmp_path: Path
) -> None:
    one = choose_dtype(*asked(), tmp_path / "s")
    old_machine()
    two = choose_dtype(*asked(), tmp_path / "s")
    assert one.spec.segmenter != two.spec.segmenter
    study, kept = begin(one, tmp_path / "s", Part.read("1/2"))
    with study:
        assert kept == one
        other, followed = begin(two, tmp_path / "s", Part.read("2/2"))
        with other:
            assert followed.spec == one.spec == DissectSpec(**other.spec_json)
            assert followed.models.segmenter.fingerprint == other.facts["inputs"]["segmenter"]
            assert other.facts["dtype"] == one.dtype
    assert is_study(tmp_path / "s")


# ---------------------------------------------------------------- which devices have it


@pytest.mark.parametrize(
    ("known", "has"),
    [
        ({}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"bf16": True, "neon": True}, True),
        ({"avx512_bf16": False, "avx512_f": True, "amx_tile": True}, False),
    ],
)
def test_a_processor_is_asked(monkeypatch: pytest.MonkeyPatch, known: dict[str, bool], has: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert has_bfloat16(CPU) is has


@pytest.mark.parametrize("own", [None, "_is_amx_tile_supported", "_is_avx512_bf16_supported"])
def test_by_older_versions_of_torch_too(monkeypatch: pytest.MonkeyPatch, own: str | None) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    if own:
        monkeypatch.setattr(torch.cpu, own, lambda: True, raising=False)
    assert has_bfloat16(CPU) is bool(own)


def test_and_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", None)
    for capability, has in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, own=capability: own)
        assert devices.has_bfloat16(torch.device("cuda", 0)) is has
    assert not devices.has_bfloat16(torch.device("meta"))
