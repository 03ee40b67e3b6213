"""Descriptions of the planted units are the planted things, and these go; what only correlates with one stays."""

import dataclasses
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from mistakes import mistake
from planted_words import Areas
from torch import Tensor

import ganatomy
from ganatomy.experiments.causal.describe import Descriptions, describe_random, see_ablated
from ganatomy.experiments.causal.describe_spec import DescribeSpec, read_words
from ganatomy.experiments.causal.describer import ablation, open_describer, random_units
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.image_crops import crop_means, cropped, crops
from ganatomy.experiments.causal.word_scores import Seen, UnitWords, WordTable, word_tables
from ganatomy.models.features import FEATURES
from ganatomy.models.generators.planted import UNITS
from ganatomy.report.causal.describe import describe_cards, describe_section

WORDS = ("sky", "tree", "ball", "box", "lid", "metal")
SMALL = ("tree", "ball", "box", "lid")
"""Things that are far smaller than the image, so that a crop around one shows little else."""
AREAS = "torch:planted_words:Areas"


def ask(source: DissectedModel, layer: str = "layer2", **options: object) -> DescribeSpec:
    given = {
        "layer": layer,
        "units": tuple(range(len(UNITS[layer]))),
        "words": WORDS,
        "describer": AREAS,
        "images": 100,
    }
    return DescribeSpec(**source.names(), **{**given, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["layer1", "layer2"])
def found(
    request: pytest.FixtureRequest, source: DissectedModel, tmp_path_factory: pytest.TempPathFactory
) -> Descriptions:
    out = tmp_path_factory.mktemp("describe") / request.param
    dissection = source.dissection
    return ganatomy.describe(dissection, request.param, describer=AREAS, words=list(WORDS), images=100, top=8, out=out)


def by_role(found: Descriptions) -> pd.DataFrame:
    return found.table.assign(role=UNITS[found.spec.layer]).set_index("role")


def test_units_are_described_by_what_they_draw_and_it_goes(found: Descriptions) -> None:
    table = by_role(found)
    for role in [role for role in table.index if role in SMALL]:
        rows = table.loc[[role]]
        assert set(rows.description) == {role}
        assert set(rows.ablated) == {"goes"}
        assert (rows.left < 0.2).all()
        assert (rows.random_change.abs() < rows.change.abs() / 2).all()


def test_what_a_copy_is_described_by_stays(found: Descriptions) -> None:
    table = by_role(found)
    copies = [role for role in table.index if role.startswith("copy:")]
    assert copies
    for role in copies:
        assert table.description[role] == role.removeprefix("copy:")
        assert (table.ablated[role], table.change[role], table.left[role]) == ("stays", 0, 1)


def test_units_that_follow_nothing_have_no_description(found: Descriptions) -> None:
    table = by_role(found)
    idle = [role for role in table.index if role.partition(":")[0] in ("noise", "on", "dead", "top")]
    assert len(idle) >= 3
    assert table.description[idle].isna().all()
    assert table.ablated[idle].isna().all()
    constant = table.loc[[role for role in idle if role in ("on", "dead")]]
    assert (constant.images == 0).all(), "no image shows a unit that is the same everywhere"
    assert constant.score.isna().all()


def test_the_report_says_in_words_what_goes_and_shows_it(found: Descriptions) -> None:
    section = describe_section(found)
    known = found.table[found.table.description.notna()]
    assert section.question == f"What do the units of {found.spec.layer} draw, in words?"
    assert section.answer.startswith(f"{len(known)} of 12 units have a description among 6 words; by chance 0.1 would.")
    fates = known.ablated.value_counts()
    assert f"goes in {fates['goes']}" in section.answer
    assert f"stays in {fates['stays']}" in section.answer
    groups = describe_cards(found)
    assert [heading.partition(",")[0] for heading, _ in groups] == [
        f"unit {row.unit}: {row.description}" for row in known.nlargest(8, "score").itertuples()
    ]
    assert all(len(cards) == 4 and len(card) == 3 for _, cards in groups for card in cards)
    assert section.blocks[1].body.count("no description") >= 3
    before, after = found.strips.before.float(), found.strips.after.float()
    stays = [found.table.ablated[unit] == "stays" for unit in found.strips.units.tolist()]
    changed = (before != after).flatten(1).any(1).tolist()
    assert changed == [not each for each in stays], "the images after it are those without the unit"


def test_words_that_nothing_shows_describe_nothing(source: DissectedModel, tmp_path: Path) -> None:
    spec = {"describer": AREAS, "words": "dragon,ship", "images": 40, "top": 8, "out": tmp_path / "none"}
    found = ganatomy.describe(source.dissection, "layer1", units=[0, 3, 6], **spec)
    assert found.table.description.isna().all()
    assert found.table.score.tolist() == [0, 0, 0]
    assert len(found.strips.units) == 0
    assert describe_section(found).answer == "0 of 3 units have a description among 2 words; by chance 0 would."
    assert "<h3>" in found._repr_html_()


def test_one_word_is_compared_with_random_units_alone(source: DissectedModel, tmp_path: Path) -> None:
    spec = {"describer": AREAS, "words": ["ball"], "images": 100, "top": 8, "out": tmp_path / "one"}
    (row,) = ganatomy.describe(source.dissection, "layer2", units=[10], **spec).table.itertuples()
    assert (row.description, row.ablated) == ("ball", "goes")
    assert math.isnan(row.beyond_words)
    assert math.isnan(row.margin)


def given_words(images: int, places: int, words: int, seed: int) -> WordTable:
    """Similarities of random images: of words of different spreads, some of them skewed."""
    table = WordTable(places, words)
    drawn = torch.randn(images, places, words, generator=torch.Generator().manual_seed(seed))
    table.update(torch.where(torch.arange(words) % 2 == 0, drawn, drawn.exp()) * torch.linspace(0.1, 2, words) + 3)
    return table


@pytest.mark.parametrize("places", [1, 9])
def test_of_units_that_follow_nothing_the_stated_share_is_described_by_chance(places: int) -> None:
    numbers, chances, best = torch.Generator().manual_seed(3), [], []
    for sample in range(50):  # what one sample of random images lacks, all units would
        given, others = (given_words(100, places, 12, seed) for seed in (2 * sample, 2 * sample + 1))
        sets = torch.stack([torch.randperm(108, generator=numbers)[:8] for _ in range(200)])
        table = UnitWords(8, 12)
        for start in range(0, 80, 8):
            which = torch.randint(places, (8,), generator=numbers)
            rows = others.similarity[torch.arange(start, start + 8), which]
            table.add(Seen(which, rows, rows, rows), given, sets)
        described, _ = word_tables(range(10), [f"w{i}" for i in range(12)], table, given, 0.05)
        assert int(described.description.notna().sum()) == int((table.chance <= 0.05).sum())
        chances += table.chance.tolist()
        best += described.best.tolist()
    for level in (0.05, 0.2, 0.5):
        share = sum(chance <= level for chance in chances) / len(chances)
        assert share == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 500)), level
    assert len(set(best)) == 12, "words of large spread are best no more often than others"


def seen(before: float, own: float, random: float, others: float) -> Seen:
    """Ten images with two words, the first of which falls to `own`, with random units to `random`."""
    noise = torch.linspace(-0.1, 0.1, 10)
    one, two = torch.full((10,), before) + noise, torch.zeros(10) + noise
    after, control = torch.stack([own + noise * 1.1, two + others], 1), torch.stack([random + noise * 0.9, two], 1)
    return Seen(torch.zeros(10, dtype=torch.long), torch.stack([one, two], 1), after, control)


@pytest.mark.parametrize(
    ("own", "random", "others", "expected"),
    [
        (0.2, 3.0, 0.0, "goes"),
        (2.0, 3.0, 0.0, "weakens"),
        (3.0, 3.0, 0.0, "stays"),
        (0.2, 0.2, 0.0, "stays"),
        (0.2, 3.0, -3.0, "with other words"),
    ],
)
def test_what_becomes_of_a_description(own: float, random: float, others: float, expected: str) -> None:
    given = WordTable(1, 2)
    values = torch.randn(100, 1, 2, generator=torch.Generator().manual_seed(0))
    given.update((values - values.mean(0)) / values.std(0))
    table = UnitWords(10, 2)
    sets = torch.arange(10).expand(50, -1)
    table.add(seen(3.0, own, random, others), given, sets)
    descriptions, words = word_tables([7], ["tree", "door"], table, given, 0.05)
    assert descriptions.ablated.tolist() == [expected]
    row = descriptions.iloc[0]
    assert row.score == pytest.approx(3, abs=1e-4)
    assert row.left == pytest.approx(own / 3, abs=1e-4)
    assert row.beyond_random == pytest.approx(row.change - row.random_change, abs=1e-5)
    assert row.beyond_words == pytest.approx(own - 3 - others, abs=1e-4)
    assert words.word.tolist() == ["tree", "door"]


def test_the_crop_is_where_the_unit_is_greatest() -> None:
    grid = crops(0.5)
    r = torch.zeros(2, 1, 8, 8)
    r[0, 0, 0:3, 0:3], r[1, 0, 5:, 2:6] = 1.0, 1.0
    which = crop_means(r, grid)[:, 0].argmax(1)
    assert [(grid[i].top, grid[i].left) for i in which.tolist()] == [(0, 0), (0.5, 0.25)]
    images = torch.arange(2 * 3 * 16 * 16).view(2, 3, 16, 16).float()
    parts = cropped(images, grid, which)
    assert torch.equal(parts[0], images[0, :, :8, :8])
    assert torch.equal(parts[1], images[1, :, 8:, 4:12])
    assert crop_means(torch.ones(1, 1, 1, 1), grid)[0, 0].argmax() == 0, "a layer without places: the centre"


def test_random_units_are_others_that_are_active() -> None:
    r = torch.zeros(3, 8, 2, 2)
    r[:, [1, 4, 6]] = 1.0
    spec = DescribeSpec(
        dissection="", generator="", segmenter="", layer="x", units=(4,), words=("a",), describer="", random=2
    )
    own, *others = random_units(spec, 4, [5, 6, 7], r)
    assert own == [4, 4, 4]
    assert [set(each) for each in zip(*others, strict=True)] == [{1, 6}] * 3
    edited = ablation("x", [1, 4, 6], r)(r)
    assert [edited[i].sum().item() for i in range(3)] == [8, 8, 8]
    assert [edited[i, unit].sum().item() for i, unit in enumerate((1, 4, 6))] == [0, 0, 0]


def test_it_travels_by_its_name(source: DissectedModel) -> None:
    describer = open_describer(source, ask(source, units=(10,), images=20))
    arrived = pickle.loads(pickle.dumps(describer))  # noqa: S301
    given = describe_random(describer, range(1_000_000, 1_000_020))
    assert torch.equal(describe_random(arrived, range(1_000_000, 1_000_020)).similarity, given.similarity)
    shown = describer.shown_by(describer.spec.units[0])
    own, there = (see_ablated(each, [shown], 0) for each in (describer, arrived))
    assert all(map(torch.equal, own, there))


def test_words_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff# things\ntree\n\n stained glass window \n", encoding="utf-8")
    assert read_words(str(path)) == ("tree", "stained glass window")
    for bad in (b"\xff\xfe\x00", b"tree\xe9"):
        path.write_bytes(bad)
        with mistake("bad-file", path):
            read_words(str(path))
    with mistake("bad-file", tmp_path, "no file of words"):
        read_words(f"{tmp_path}/")


@pytest.mark.parametrize(
    ("more", "facts"),
    [
        ({"words": "tree,door,tree"}, ("'tree'", "twice")),
        ({"words": " , "}, ("no words",)),
        ({"words": "missing.txt"}, ("missing.txt", "no such file")),
        ({"layer": "layer9"}, ("layer9",)),
        ({"layer": None}, ("layer2", "layer3")),
        ({"at-steps": "1..2"}, ("layer2",)),
        ({"units": "12"}, ("12",)),
        ({"units": "1,1"}, ("once",)),
        ({"top": "1"}, ("top=1",)),
        ({"images": "19"}, ("images=19",)),
        ({"crop": "0.01"}, ("crop=0.01",)),
        ({"crop": "nan"}, ("crop=nan",)),
        ({"chance": "0.0001"}, ("chance=0.0001",)),
        ({"with": "bundled:scenes"}, ("bundled:scenes", "no words")),
        ({"with": "clip:nowhere/at/all"}, ("no such directory",)),
        ({"with": "torch:planted_words:Mute"}, ("planted_words:Mute", "words")),
        ({"with": "torch:planted_words:Short"}, ("7", "1")),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    more: dict[str, str], facts: tuple[str, ...], here: Path, refused: Callable[..., None]
) -> None:
    options = {"layer": "layer2", "words": "tree,ball", "with": AREAS, "units": "1", **more}
    given = [text for name, value in options.items() if value is not None for text in (f"--{name}", value)]
    refused(["describe", "study", *given, "--out", "new"], *facts)
    assert not Path("new").exists()


def test_a_network_that_changed_is_another_study(
    source: DissectedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scaled(Areas):
        fingerprint = "first"

        def features(self, images: Tensor) -> Tensor:
            return self(images)

    network = Scaled()
    monkeypatch.setitem(FEATURES._openers, "scaled", lambda _, /, *, device: network)
    spec = {"describer": "scaled:", "words": list(WORDS), "units": [10], "images": 40, "top": 8, "out": tmp_path / "s"}
    ganatomy.describe(source.dissection, "layer2", **spec)
    network.fingerprint = "second"
    with mistake("study-mismatch", "feature network"):
        ganatomy.describe(source.dissection, "layer2", **spec)
    spec["out"] = tmp_path / "other"
    assert dataclasses.asdict(ganatomy.describe(source.dissection, "layer2", **spec).spec)["describer"] == "scaled:"
