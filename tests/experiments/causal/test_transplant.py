"""Real features of one image bring what they show to the same place of another, and nothing else."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from ganatomy.experiments.causal.capacity import Capacity, CapacitySpec, run_capacity
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.places import cell_counts
from ganatomy.experiments.causal.pool import PoolSpec, layer_pool
from ganatomy.experiments.causal.transplant import Donors, DonorSpec, find_donors
from ganatomy.experiments.run_options import RunOptions
from ganatomy.interventions import Intervention, place
from ganatomy.models.generators.planted import UNITS

LAYERS, CELLS, POOL = ("layer1", "layer2"), (1, 2), 40
BOX, LID = UNITS["layer1"].index("box"), UNITS["layer2"].index("lid")


def lending(source: DissectedModel, **options: Any) -> DonorSpec:
    return DonorSpec(**source.names(), layer="layer1", cells=CELLS, **{"donors": 16, **options})


def donors(source: DissectedModel, concept: str, **options: Any) -> dict[tuple[str, int], Donors]:
    pools = {layer: layer_pool(source, layer, POOL) for layer in LAYERS}
    return find_donors(source, lending(source, **options), pools, source.concept(concept))


def run(source: DissectedModel, concept: str, out: Path) -> Capacity:
    sets = (("layer1", "box", (BOX,)), ("layer2", "lid", (LID,)))
    spec = CapacitySpec(
        **source.names(), layer="layer1", concept=concept, sets=sets, cells=(1,), multiples=(1.0,), on=("sky",),
        images=32, pool=POOL,
    )  # fmt: skip
    return run_capacity(spec, source, out)


def test_a_ball_comes_with_its_features_whatever_k_could(source: DissectedModel, out: Path) -> None:
    """In one cell a constant is no ball: its outline is what its neighbours add."""
    table = run(source, "ball", out).table.set_index(["layer", "by"])
    for layer in LAYERS:
        assert table.gain[layer, "transplant"] > 0.9
        assert table.gain[layer, "transplant"] > table.gain[layer, "all"] + 0.2
        assert table.units[layer, "transplant"] == len(UNITS[layer])


def test_a_lid_comes_with_its_box_and_not_by_its_own_unit(source: DissectedModel, out: Path) -> None:
    """A lid shows only where a box is. No unit of the first layer draws lids: they are where boxes begin."""
    table = run(source, "lid", out).table.set_index(["layer", "by"])
    assert table.gain["layer2", "lid"] < 0.05, "a place that shows mostly sky may show some box"
    assert table.gain["layer2", "transplant"] > 0.9
    assert table.gain["layer1", "transplant"] > table.gain["layer1", "all"] + 0.2


def test_donors_are_the_images_of_the_pool_that_show_most_where_they_show_most(source: DissectedModel) -> None:
    concept, generator = source.concept("ball"), source.models.generator
    best = layer_pool(source, "layer1", POOL).best[:, concept]
    rows = best.argsort(descending=True, stable=True)[:5].tolist()
    z = torch.cat([generator.latents(range(PoolSpec.first + row, PoolSpec.first + row + 1), 0) for row in rows])
    seen = generator.observe(z, LAYERS)
    found = donors(dataclasses.replace(source, run=RunOptions(batch=2)), "ball", donors=5)
    assert len({len(each.place) for each in found.values()}) == 1
    for (layer, cell), own in found.items():
        r = seen.features[layer]
        counts = cell_counts(source.models.segmenter(seen.images), [concept], (r.shape[2], r.shape[3]), cell)[:, 1]
        for i, (row, column) in enumerate(own.place.tolist()):
            assert counts[i, row, column] == counts[i].max()
            top, left = own.corner[i].tolist()
            side = cell + 2
            assert torch.equal(own.patch[i].permute(2, 0, 1), r[i, :, top : top + side, left : left + side])
            assert (top, left) == (min(max(row - 1, 0), r.shape[2] - side), min(max(column - 1, 0), r.shape[3] - side))


def test_a_patch_lies_in_the_grid(source: DissectedModel) -> None:
    """Skies are at the top: there is no margin above them."""
    sky = donors(source, "sky")["layer1", 2]
    assert (sky.place[:, 0] == 0).any()
    assert sky.corner.min() == 0
    assert sky.corner.max() <= 8 - 4


def test_of_equal_places_it_is_one_in_the_midst(source: DissectedModel) -> None:
    """At its edge a margin of one would bring less of a thing."""
    boxes = donors(source, "sky")["layer2", 1]
    assert (boxes.place[:, 1] > 0).all()


def test_images_that_show_too_little_lend_nothing(source: DissectedModel) -> None:
    most = {key: len(each.place) for key, each in donors(source, "lid", least=0.01).items()}
    some = {key: len(each.place) for key, each in donors(source, "lid", least=0.6).items()}
    assert 0 < some["layer2", 1] <= most["layer2", 1]
    assert some["layer1", 2] == 0 < most["layer1", 2], "half of a place of two by two cells is below its lid"


def test_a_patch_of_k_is_where_the_transplant_is(source: DissectedModel, out: Path) -> None:
    """Read at the place, set around it, too."""
    found = run(source, "ball", out)
    settings = found.spec.settings()
    column = next(i for i, each in enumerate(settings) if (each.layer, each.by) == ("layer1", "patch"))
    lent = next(i for i, each in enumerate(settings) if (each.layer, each.by) == ("layer1", "transplant"))
    assert torch.equal(found.gains[:, column].isnan(), found.gains[:, lent].isnan())
    generator, shape, concept = source.models.generator, source.shape("layer1"), source.concept("ball")
    pools = {layer: layer_pool(source, layer, POOL) for layer in LAYERS}
    own = find_donors(source, found.spec, pools, concept)["layer1", 1]
    value = pools["layer1"].constant(concept)
    image = int((~found.gains[:, column].isnan()).nonzero()[0])
    z = generator.latents(found.spec.ids()[image : image + 1], 0)
    gains = []
    for (row, column_), (top, left) in zip(own.place.tolist(), own.corner.tolist(), strict=True):
        patch = Intervention.insert("layer1", shape, range(12), value, place(shape[1:], top, left, 3))
        labels = source.models.segmenter(generator.edited(z, [patch]))
        gains.append(float((labels == concept).any(1).float().view(8, 4, 8, 4).mean((1, 3))[row, column_]))
    assert float(found.gains[image, column]) in gains


@pytest.mark.parametrize("margin", [0, 1])
def test_a_patch_is_the_place_and_its_margin(source: DissectedModel, margin: int) -> None:
    own = donors(source, "ball", margin=margin)["layer2", 2]
    assert own.patch.shape[1:3] == (2 + 2 * margin,) * 2
    maps = own.patches(torch.arange(len(own.place)), (16, 16))
    blank, full = torch.zeros(len(own.place), 12, 16, 16), torch.ones_like(own.patch)
    put = own._replace(patch=full).put(blank, torch.arange(len(own.place)))
    assert torch.equal(put, maps[:, None].expand_as(put))


def test_only_donors_whose_place_is_free_are_taken_each_as_often() -> None:
    own = Donors(torch.tensor([[0, 0], [1, 2], [2, 1]]), torch.zeros(3, 2, dtype=torch.long), torch.zeros(3, 3, 3, 4))
    free = torch.ones(3000, 4, 4, dtype=torch.bool)
    free[:, 1, 2] = False
    free[5] = False
    taken = own.taken(free, range(3000), seed=0)
    assert taken[5] == -1
    assert torch.bincount(taken[taken >= 0], minlength=3).tolist()[1] == 0
    assert torch.bincount(taken[taken >= 0]).sort().values[1:].min() > 1400
    assert torch.equal(own.taken(free[40:60], range(40, 60), 0), taken[40:60])
    none = Donors(own.place[:0], own.corner[:0], own.patch[:0])
    assert none.taken(free[:2], range(2), 0).tolist() == [-1, -1]


def test_nothing_beside_the_patch_is_touched() -> None:
    patch = torch.arange(2 * 9 * 4, dtype=torch.float32).view(2, 3, 3, 4)
    own = Donors(torch.tensor([[0, 0], [2, 3]]), torch.tensor([[0, 0], [1, 2]]), patch)
    r = torch.full((2, 4, 4, 5), -1.0)
    put = own.put(r, torch.tensor([1, 0]))
    assert torch.equal(put[0, :, 1:4, 2:5], patch[1].permute(2, 0, 1))
    assert torch.equal(put[1, :, :3, :3], patch[0].permute(2, 0, 1))
    assert (put == -1).sum() == 2 * 4 * (20 - 9)
    assert (r == -1).all()
