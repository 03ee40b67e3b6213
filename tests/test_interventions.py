"""An edit does what Eqn 3-5 say, two make one, and a file gives back the same edit or one line that says why not."""

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mistakes import mistake
from torch import Tensor

from ganatomy.core.errors import BadFile
from ganatomy.interventions import (
    Intervention,
    blend,
    edits_from_json,
    edits_json,
    everywhere,
    place,
    read_edits,
    write_edits,
)

SHAPE = (5, 3, 4)
LAYERS = {"layer1": (4, 2, 2), "layer2": SHAPE}
FINGERPRINT = "0123456789abcdef" * 4


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features(batch: int = 2, seed: int = 9) -> Tensor:
    return torch.randn(batch, *SHAPE, generator=source(seed))


def random_edit(seed: int, maps: int = 1) -> Intervention:
    numbers = source(seed)
    alpha = (1.4 * torch.rand(5, generator=numbers) - 0.2).clamp(0, 1)
    where = (1.4 * torch.rand(maps, 3, 4, generator=numbers) - 0.2).clamp(0, 1)
    return Intervention("layer2", alpha, 3 * torch.randn(5, generator=numbers), where)


def reference(e: Intervention, r: Tensor) -> Tensor:
    a = torch.einsum("u,phw->puhw", e.alpha, e.where).double()
    return (1 - a) * r.double() + a * e.value.double().view(1, -1, 1, 1)


@pytest.mark.parametrize("maps", [1, 2])
def test_an_edit_is_its_formula(maps: int) -> None:
    r = features()
    for seed in range(20):
        e = random_edit(seed, maps)
        torch.testing.assert_close(e(r).double(), reference(e, r), rtol=1e-6, atol=1e-6)


def test_untouched_units_and_places_keep_their_value_and_wholly_taken_ones_are_k() -> None:
    r = 1e4 * features()
    value = torch.tensor([0.1, 1 / 3, -7.7, 1e-8, 0.0])
    where = torch.zeros(1, 3, 4)
    where[0, 1, 2:], where[0, 2, 0] = 1, 0.5
    edited = Intervention("layer2", torch.tensor([1.0, 0.0, 1.0, 0.7, 1.0]), value, where)(r)
    assert torch.equal(edited[:, 1], r[:, 1])
    assert torch.equal(edited[:, :, 0], r[:, :, 0])
    assert torch.equal(edited[:, 2, 1, 2:], value[2].expand(2, 2))
    assert torch.equal(edited[:, 0, 1, 2:], value[0].expand(2, 2))
    assert not bool((edited[:, 3, 1, 2:] == r[:, 3, 1, 2:]).any())


def test_ablation_sets_to_zero_and_insertion_to_the_constant() -> None:
    r = features()
    value = torch.arange(5.0)
    off = Intervention.ablate("layer2", SHAPE, [1, 4])(r)
    on = Intervention.insert("layer2", SHAPE, [1, 4], value, place((3, 4), 1, 2))(r)
    weak = Intervention.ablate("layer2", SHAPE, [3], strength=0.25)(r)
    expected = r.clone()
    expected[:, [1, 4]] = 0
    assert torch.equal(off, expected)
    expected = r.clone()
    expected[:, [1, 4], 1, 2] = value[[1, 4]]
    assert torch.equal(on, expected)
    torch.testing.assert_close(weak[:, 3], 0.75 * r[:, 3])
    assert torch.equal(Intervention.ablate("layer2", SHAPE, [])(r), r)


def test_what_is_no_number_is_not_hidden() -> None:
    r = features()
    r[0, 1], r[1, 2] = float("nan"), float("inf")
    edited = Intervention.ablate("layer2", SHAPE, range(5))(r)
    assert torch.equal(edited.isfinite(), r.isfinite())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_two_in_order_are_one(first: int, second: int) -> None:
    """a = 1 - (1 - a₂)(1 - a₁), a·k = k₁ a₁ (1 - a₂) + k₂ a₂ (SPEC 4)."""
    r = features().double()
    e, f = random_edit(first), random_edit(second)
    a1, a2 = (torch.einsum("u,phw->puhw", x.alpha, x.where).double() for x in (e, f))
    k1, k2 = (x.value.double().view(1, -1, 1, 1) for x in (e, f))
    a, ak = 1 - (1 - a2) * (1 - a1), k1 * a1 * (1 - a2) + k2 * a2
    torch.testing.assert_close(e.then(f)(r), (1 - a) * r + ak, rtol=1e-6, atol=1e-6)
    assert torch.equal(e.then(f)(r), f(e(r)))


def same(a: Intervention, b: Intervention) -> bool:
    """Whether two edits are the same to the bit."""
    pairs = itertools.zip_longest(a.strokes(), b.strokes())
    return all(
        x is not None and y is not None and x.layer == y.layer
        and all(torch.equal(p, q) for p, q in ((x.alpha, y.alpha), (x.value, y.value), (x.where, y.where)))
        for x, y in pairs
    )  # fmt: skip


def test_a_chain_is_made_of_its_strokes() -> None:
    a, b, c = (random_edit(seed) for seed in range(3))
    nested = dataclasses.replace(c, before=(a.then(b),))
    for chain in (a.then(b).then(c), a.then(b.then(c)), nested):
        strokes = chain.strokes()
        assert [s.before for s in strokes] == [(), (), ()]
        assert all(same(s, given) for s, given in zip(strokes, (a, b, c), strict=True))
        assert torch.equal(chain(features()), c(b(a(features()))))
    assert a.strokes() == [a]


def test_a_long_painting_session() -> None:
    """As many strokes as nobody paints: no recursion."""
    stroke = Intervention.ablate("layer1", LAYERS["layer1"], [0], strength=0.001)
    chain = dataclasses.replace(stroke, before=(stroke,) * 1099)
    r = torch.ones(1, 4, 2, 2)
    assert float(chain(r)[0, 0, 0, 0]) == pytest.approx(0.999**1100, rel=1e-4)
    (again,) = edits_from_json(edits_json([chain], FINGERPRINT), LAYERS, FINGERPRINT)
    assert torch.equal(again(r), chain(r))


def test_gradients_are_exact_even_where_nothing_is_taken() -> None:
    """An optimised alpha may stand at 0 or 1 and must be able to leave."""
    r = features().double().requires_grad_()
    value = torch.randn(5, generator=source(1), dtype=torch.float64).requires_grad_()
    weight = torch.randn(r.shape, generator=source(2), dtype=torch.float64)
    where = torch.rand(2, 3, 4, generator=source(3), dtype=torch.float64)
    alpha = torch.tensor([0.0, 1.0, 0.3, 0.5, 0.9], dtype=torch.float64).requires_grad_()
    (Intervention("layer2", alpha, value, where)(r) * weight).sum().backward()
    a = (alpha[:, None, None] * where[:, None]).detach()
    k = value.detach()[:, None, None]
    assert r.grad is not None
    assert alpha.grad is not None
    assert value.grad is not None
    torch.testing.assert_close(r.grad, (1 - a) * weight)
    torch.testing.assert_close(value.grad, (a * weight).sum((0, 2, 3)))
    torch.testing.assert_close(alpha.grad, ((k - r.detach()) * where[:, None] * weight).sum((0, 2, 3)))


def test_the_bare_formula_takes_a_alone_and_reads_no_number() -> None:
    """On a GPU, reading a number waits for everything before it; the meta device has none to read."""
    r = features()
    a = torch.rand(1, 5, 1, 1, generator=source(1))
    k = torch.randn(5, generator=source(2))
    torch.testing.assert_close(blend(r, a, k), (1 - a) * r + a * k.view(1, 5, 1, 1))
    assert blend(r.to("meta"), a.to("meta"), k.to("meta")).shape == r.shape
    with pytest.raises(RuntimeError):
        Intervention("layer2", a.view(5).to("meta"), k.to("meta"), everywhere((3, 4)).to("meta"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_type_is_that_of_the_features(dtype: torch.dtype) -> None:
    edit = random_edit(0).then(random_edit(1))
    r = features().to(dtype)
    edited = edit(r)
    assert edited.dtype == dtype
    torch.testing.assert_close(edited.float(), edit(r.float()), rtol=0.03, atol=0.03)


def test_the_device_and_the_order_in_memory_are_those_of_the_features() -> None:
    edit = random_edit(0)
    assert edit(features().to("meta")).device.type == "meta"
    object.__setattr__(edit, "where", edit.where.to("meta"))  # a mask that was made there, units that were not
    assert edit(features().to("meta")).device.type == "meta"
    r = features().contiguous(memory_format=torch.channels_last)  # other layouts cost the next convolution its speed
    assert random_edit(0)(r).is_contiguous(memory_format=torch.channels_last)


def test_a_map_for_each_image() -> None:
    r = features(batch=3)
    where = torch.cat([place((3, 4), 0, 0), torch.zeros(1, 3, 4), everywhere((3, 4))])
    edited = Intervention.ablate("layer2", SHAPE, [2], where)(r)
    expected = r.clone()
    expected[0, 2, 0, 0], expected[2, 2] = 0, 0
    assert torch.equal(edited, expected)
    both = Intervention.ablate("layer2", SHAPE, [0]).then(Intervention.ablate("layer2", SHAPE, [2], where))
    expected[:, 0] = 0
    assert torch.equal(both(r), expected)


def test_places() -> None:
    assert place((3, 4), 1, 2).nonzero().tolist() == [[0, 1, 2]]
    assert place((3, 4), 1, 2, 2).nonzero()[:, 1:].tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]
    assert place((3, 4), 0, 0, 1, 4).sum(2).tolist() == [[4, 0, 0]]
    assert torch.equal(place((3, 4), 0, 0, 3, 4), everywhere((3, 4)))
    for row, column, height, width in [(3, 0, 1, 1), (0, 4, 1, 1), (-1, 0, 1, 1), (0, -1, 1, 1), (2, 0, 2, 1),
                                       (0, 3, 1, 2), (0, 0, 0, 1), (0, 0, 1, 0)]:  # fmt: skip
        with mistake("bad-value", f"row {row}, column {column}", f"{height} × {width}", "3 × 4"):
            place((3, 4), row, column, height, width)


def with_field(**changes: Any) -> Callable[[], object]:
    return lambda: dataclasses.replace(random_edit(0), **changes)


NAN = float("nan")
BAD = [
    (with_field(alpha=torch.full((5,), 1.01)), "alpha of an edit of layer2"),
    (with_field(alpha=torch.full((5,), -0.01)), "alpha of an edit of layer2"),
    (with_field(alpha=torch.full((5,), NAN)), "alpha of an edit of layer2"),
    (with_field(where=torch.full((1, 3, 4), NAN)), "where of an edit of layer2"),
    (with_field(where=torch.full((1, 3, 4), 2.0)), "where of an edit of layer2"),
    (with_field(value=torch.full((5,), NAN)), "values of an edit of layer2"),
    (with_field(value=torch.full((5,), float("inf"))), "values of an edit of layer2"),
    (lambda: random_edit(0).then(Intervention.ablate("layer1", SHAPE, [0])), "layer1 [5, 3, 4]"),
    (lambda: random_edit(0).then(Intervention.ablate("layer2", (5, 4, 4), [0])), "layer2 [5, 4, 4]"),
    (lambda: random_edit(0, 2).then(random_edit(1, 3)), "2 and 3 images"),
    (lambda: random_edit(0, 2).then(random_edit(1)).then(random_edit(2, 3)), "2 and 3 images"),
    (lambda: Intervention.ablate("layer2", SHAPE, [0], strength=1.5), "alpha of an edit of layer2"),
    (lambda: Intervention.ablate("layer2", SHAPE, [0], torch.ones(1, 3, 3)), "[3, 3], that of layer2 is [3, 4]"),
    (lambda: random_edit(0)(torch.zeros(1, 4, 3, 4)), "[1, 4, 3, 4]"),
    (lambda: random_edit(0)(torch.zeros(1, 5, 3, 5)), "[1, 5, 3, 5]"),
    (lambda: random_edit(0, 2)(features(batch=3)), "[3, 5, 3, 4]"),
    (lambda: random_edit(0, 2)(features(batch=1)), "[1, 5, 3, 4]"),
    (lambda: random_edit(0, 2).then(random_edit(1))(features(batch=3)), "[2, 5, 3, 4]"),
]


@pytest.mark.parametrize(("make", "fact"), BAD)
def test_what_cannot_be_meant_is_refused(make: Callable[[], object], fact: str) -> None:
    with mistake("bad-value", fact):
        make()


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": torch.zeros(4)},
        {"alpha": torch.ones(5, 1), "value": torch.ones(5, 1)},
        {"alpha": torch.tensor(1.0), "value": torch.tensor(1.0)},
        {"where": torch.ones(3, 4)},
    ],
)
def test_wrong_shapes_are_refused_without_the_checks_of_the_test_run(wrong: dict[str, Tensor]) -> None:
    edit = random_edit(0)
    for field, value in wrong.items():
        object.__setattr__(edit, field, value)
    with mistake("bad-value", f"{field} {list(value.shape)}", "[units]"):
        edit.__post_init__()


@pytest.mark.parametrize("unit", [5, -1])
def test_a_unit_beyond_the_layer_is_refused(unit: int) -> None:
    for make in (
        lambda: Intervention.ablate("layer2", SHAPE, [0, unit]),
        lambda: Intervention.insert("layer2", SHAPE, [unit], torch.zeros(5)),
    ):
        with mistake("unknown-name", f"layer2/{unit}", "layer2/0 … layer2/4"):
            make()


def some_edits() -> list[Intervention]:
    """Two layers, several strokes, one layer twice, a map for each image, numbers that decimals do not hit."""
    value = torch.tensor([1 / 3, -1e-40, 3e38, 0.1])
    low = Intervention.insert("layer1", (4, 2, 2), [3, 0, 2], value, torch.rand(2, 2, 2), 1 / 3)
    return [random_edit(0).then(random_edit(1, 2)).then(random_edit(2)), low, random_edit(3), low.then(low)]


def test_a_file_gives_the_same_edits(tmp_path: Path) -> None:
    edits = some_edits()
    path = tmp_path / "new" / "edits.json"
    write_edits(path, edits, FINGERPRINT)
    read = read_edits(path, LAYERS, FINGERPRINT)
    assert [e.layer for e in read] == ["layer2", "layer1", "layer2", "layer1"]
    for own, given_ in zip(read, edits, strict=True):
        for s, t in zip(own.strokes(), given_.strokes(), strict=True):
            assert s.alpha.dtype == s.value.dtype == s.where.dtype == torch.float32
            assert torch.equal(s.alpha, t.alpha)
            assert torch.equal(s.where, t.where)
            assert torch.equal(s.value, t.value * (t.alpha > 0))
        r = torch.randn(2, *given_.shape, generator=source(5))
        assert torch.equal(own(r), given_(r))
    assert edits_json(read, FINGERPRINT) == path.read_text(encoding="utf-8")
    assert edits_from_json(edits_json([], FINGERPRINT), LAYERS, FINGERPRINT) == []


def test_an_edit_that_was_learnt_in_double_precision_acts_the_same_after_reading() -> None:
    alpha = torch.rand(5, generator=source(0), dtype=torch.float64).requires_grad_()
    edit = Intervention("layer2", alpha, torch.randn(5, generator=source(1), dtype=torch.float64), everywhere((3, 4)))
    (read,) = edits_from_json(edits_json([edit], FINGERPRINT), LAYERS, FINGERPRINT)
    assert torch.equal(read(features()), edit(features()).detach())


def good() -> dict[str, Any]:
    """What a small file holds."""
    return {
        "format": 1,
        "generator": FINGERPRINT,
        "edits": [
            {
                "layer": "layer1",
                "strokes": [{"units": [1, 3], "alpha": [1, 0.5], "value": [0, -2.5], "where": [[[0, 1], [0.5, 1]]]}],
            }
        ],
    }


Keys = tuple[str | int, ...]


def changed(keys: Keys, value: Any) -> Any:
    """A good file with one entry replaced."""
    content = good()
    inner: Any = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return content


def refusal(text: str) -> str:
    """The one line that a bad file gets."""
    with mistake("bad-file", "here.json") as caught:
        edits_from_json(text, LAYERS, FINGERPRINT, "here.json")
    message = str(caught.value)
    assert len(message) < 400
    return message


EDIT: Keys = ("edits", 0)
STROKE: Keys = (*EDIT, "strokes", 0)
DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]

WRONG: list[tuple[Keys, Any, str]] = [
    (("format",), 2, "format 2"),
    (("format",), "1", "'format'"),
    (("generator",), "f" * 64, "'ffffffffffff'…"),
    (("generator",), 5, "no 'generator'"),
    (("edits",), {}, "no 'edits'"),
    (EDIT, [], "no 'layer'"),
    ((*EDIT, "layer"), "layer9", "layer9"),
    ((*EDIT, "layer"), 1, "no 'layer'"),
    ((*EDIT, "layer"), "layer2", "where of an edit of layer2 must be maps of 3 rows"),
    ((*EDIT, "strokes"), [], "layer1 without strokes"),
    (STROKE, [], "no 'units'"),
    ((*STROKE, "units"), [1, 4], "layer1/4"),
    ((*STROKE, "units"), [-1, 3], "layer1/-1"),
    ((*STROKE, "units"), [1.0, 3], "[1.0, 3]"),
    ((*STROKE, "units"), [True, False], "[True, False]"),
    ((*STROKE, "units"), [3, 3], "[3, 3]"),
    ((*STROKE, "units"), [1], "list of 1 numbers"),
    ((*STROKE, "alpha"), [1], "alpha is [1]"),
    ((*STROKE, "alpha"), [1, 1.5], "alpha holds 1.5"),
    ((*STROKE, "alpha"), [1, -0.5], "alpha holds -0.5"),
    ((*STROKE, "alpha"), [1, True], "alpha holds True"),
    ((*STROKE, "alpha"), [1, "1"], "alpha holds '1'"),
    ((*STROKE, "alpha"), [1, NAN], "NaN"),
    ((*STROKE, "value"), [1, -float("inf")], "-Infinity"),
    ((*STROKE, "value"), [1, 1e39], "value holds 1e+39"),
    ((*STROKE, "value"), [1, 10**400], "value holds 100000000000000000..."),
    ((*STROKE, "where"), [], "where of an edit of layer1"),
    ((*STROKE, "where"), [[[1, 1]]], "2 rows"),
    ((*STROKE, "where"), [[1, 1], [1, 1]], "row of where is 1"),
    ((*STROKE, "where"), [[[1, 1], [1, 1, 1]]], "list of 2 numbers"),
    ((*STROKE, "where"), [[[1, 1], [1, 2]]], "row of where holds 2"),
    ((*STROKE, "where"), DEEP, "2 rows"),
    ((*STROKE, "where"), [[DEEP, DEEP]], "row of where"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "value", "fact"), WRONG)
def test_a_wrong_entry_is_refused(keys: Keys, value: Any, fact: str) -> None:
    with mistake("bad-file", fact):
        edits_from_json(json.dumps(changed(keys, value)), LAYERS, FINGERPRINT)
    refusal(json.dumps(changed(keys, value)))


@pytest.mark.parametrize(
    "keys",
    [("format",), ("generator",), ("edits",), *((*EDIT, k) for k in ("layer", "strokes")),
     *((*STROKE, k) for k in ("units", "alpha", "value", "where"))],
)  # fmt: skip
def test_a_missing_entry_is_refused(keys: Keys) -> None:
    content = good()
    inner: Any = content
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    assert f"no '{keys[-1]}'" in refusal(json.dumps(content))


@pytest.mark.parametrize(
    "text",
    ["", "{", "nonsense", "null", "3", '"text"', "[]", "{}", "[" * 100_000, '{"a":' * 100_000, "NaN", "\ufeff{}",
     json.dumps(good())[:-9], json.dumps(good()) + "x", "9" * 5000, "\0"],
    ids=lambda text: repr(text[:12]),
)  # fmt: skip
def test_what_is_no_json_object_is_refused(text: str) -> None:
    refusal(text)


def test_strokes_for_different_numbers_of_images_are_refused() -> None:
    stroke = good()["edits"][0]["strokes"][0]
    maps = [[1, 1], [1, 1]]
    content = changed((*EDIT, "strokes"), [{**stroke, "where": [maps] * 2}, {**stroke, "where": [maps] * 3}])
    assert "2 and 3 images" in refusal(json.dumps(content))


def paths(value: Any, keys: Keys = ()) -> list[Keys]:
    """The way to every entry of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [own for key, each in inner for own in ((*keys, key), *paths(each, (*keys, key)))]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(paths(good())), JUNK)
def test_no_entry_breaks_the_reader(keys: Keys, value: Any) -> None:
    """Read, or refused in one line; never anything else."""
    text = json.dumps(changed(keys, value))
    try:
        edits = edits_from_json(text, LAYERS, FINGERPRINT)
    except BadFile as error:
        assert "\n" not in str(error)  # noqa: PT017  both ends are right
    else:
        for edit in edits:
            edit(torch.zeros(len(edit.where), *edit.shape))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "image.png"
    binary.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    for path, fact in ((tmp_path / "none.json", "no such file"), (tmp_path, "Is a directory"), (binary, "text")):
        with mistake("bad-file", path, fact):
            read_edits(path, LAYERS, FINGERPRINT)


def test_units_can_be_set_to_a_value_at_each_place() -> None:
    r, value = torch.randn(2, 3, 2, 4), torch.randn(3, 2, 4)
    edit = Intervention.insert("layer1", (3, 2, 4), [0, 2], value, place((2, 4), 0, 1, 2, 2))
    edited = edit(r)
    assert torch.equal(edited[:, [0, 2], :, 1:3], value[[0, 2], :, 1:3].expand(2, -1, -1, -1))
    assert torch.equal(edited[:, 1], r[:, 1])
    assert torch.equal(edited[:, :, :, [0, 3]], r[:, :, :, [0, 3]])
    (again,) = edits_from_json(edits_json([edit], "f"), {"layer1": (3, 2, 4)}, "f")
    assert torch.equal(again(r), edited)
    assert torch.equal(again.value[[0, 2]], value[[0, 2]])


@pytest.mark.parametrize("value", [[[[1.0, 2.0]]], [[[1.0, 2.0], [3.0]]], [[1.0, 2.0]], [[[1.0, 2.0], [3.0, "x"]]]])
def test_maps_of_values_that_do_not_fit_are_refused(value: object) -> None:
    stroke = {"units": [0], "alpha": [1.0], "value": value, "where": [[[1.0, 1.0], [1.0, 1.0]]]}
    text = json.dumps({"format": 1, "generator": "f", "edits": [{"layer": "layer1", "strokes": [stroke]}]})
    with mistake("bad-file", "edits", "value"):
        edits_from_json(text, {"layer1": (3, 2, 2)}, "f")


def test_a_clone_stamps_features_where_they_arrive_and_keeps_the_rest() -> None:
    features = torch.arange(24.0).view(2, 3, 4)
    where = torch.full((1, 3, 4), 0.5)
    stamp = Intervention.clone("layer", features, where, shift=(-1, 2), strength=0.5)
    r = torch.full((1, 2, 3, 4), 100.0)
    edited = stamp(r)[0]
    assert torch.allclose(edited[:, :2, 2:], 75 + 0.25 * features[:, 1:, :2])
    assert bool((edited[:, 2] == 100).all())
    assert bool((edited[:, :, :2] == 100).all())
    again = edits_from_json(edits_json([stamp], "f"), {"layer": (2, 3, 4)}, "f")
    assert torch.equal(again[0](r)[0], edited)


def test_a_clone_from_beyond_the_grid_is_no_change() -> None:
    stamp = Intervention.clone("layer", torch.ones(2, 3, 4), torch.ones(1, 3, 4), shift=(9, -9))
    r = torch.randn(1, 2, 3, 4)
    assert torch.equal(stamp(r), r)


def test_a_clone_for_another_grid_is_refused() -> None:
    with mistake("bad-value", [1, 4, 4]):
        Intervention.clone("layer", torch.ones(2, 3, 4), torch.ones(1, 4, 4))


@pytest.mark.parametrize("value", [torch.linspace(-1, 1, 6), torch.randn(6, 4, 5)])
def test_an_edit_keeps_how_features_lie_in_memory(value: torch.Tensor) -> None:
    edit = Intervention("layer1", torch.rand(6), value, torch.rand(1, 4, 5))
    r = torch.randn(3, 6, 4, 5)
    beside = r.contiguous(memory_format=torch.channels_last)
    assert torch.equal(edit(beside), edit(r))
    assert edit(beside).is_contiguous(memory_format=torch.channels_last)
    assert edit(r).is_contiguous()
