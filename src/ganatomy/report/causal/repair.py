"""Whether ablating units repairs a model: images before and after, and Tables 1 and 2 for it."""

from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.core.layer_steps import spanned
from ganatomy.report.causal.section import RANDOM, Block, Section
from ganatomy.report.causal.tiles import Card, rows_of_tiles, tile
from ganatomy.report.charts import ChangeChart
from ganatomy.report.formats import change_text, count, effect_text, percent, sentence, with_error
from ganatomy.report.tables import Column, Table, rows
from ganatomy.stats.paired import holds_zero

if TYPE_CHECKING:
    from ganatomy.experiments.repair import Repair

_ORIGINAL, _RANDOM = "original", "random"
_SHORT = {"artifacts": "units greatest", "plain": "plain"}
_WHERE = {"artifacts": "the images in which the units are greatest", "plain": "plain images"}
_MEANS = {
    "worse": "are farther from real ones than before",
    "better": "are nearer to real ones than before",
    "no effect": "are as far from real ones as before",
}
_SAMPLES = {"artifacts": "in which the units are greatest", "plain": "plain"}


def repair_tables(repair: "Repair") -> list[Table]:
    """Return the distances of each sample, then those of textures, then the units of each set."""
    sets = (Column("set", "ablated"),)
    compared = (
        Column("change", form=change_text, error="change_error", help="over the same images"),
        Column("spread", "spread of random sets"),
    )
    distance = Column("fid", "distance", with_error, "error")
    images = (*sets, Column("units", brief=False), distance, *compared, Column("bias", "of a perfect model"))
    textures = (
        Column("height", "pixels"),
        *sets,
        Column("swd", "distance", with_error, "error"),
        *compared,
        Column("perfect", "of real images"),
    )
    tables = []
    for sample, meaning in _SAMPLES.items():
        own = repair.table[repair.table["sample"] == sample]
        caption = f"{own['images'].iloc[0]:,} images, {meaning}"
        tables.append(Table(f"distances-{sample}", caption, images, own, brief=40))
    listed = pd.DataFrame(repair.spec.sets, columns=["set", "units"])
    listed["units"] = [", ".join(map(str, units)) for units in listed["units"]]
    if len(repair.textures):
        tables.append(Table("textures", "Textures", textures, repair.textures, brief=40))
    if len(repair.effects):
        tables.append(_effect_table(repair))
    return [*tables, Table("units", "The units of each set", (Column("set"), Column("units")), listed, brief=0)]


def _effect_table(repair: "Repair") -> Table:
    """Return what the last set changes, beside the random sets."""
    columns = (
        Column("concept"),
        Column("before", form=percent),
        Column("change", form=effect_text, error="change_error"),
        Column("relative", form=effect_text, error="relative_error"),
        Column("random", "random units: change", effect_text, "random_spread"),
    )
    own = repair.effects[repair.effects["set"] == repair.spec.sets[-1][0]]
    caption = f"Share of the pixels in {repair.spec.counted:,} plain images; of random units the spread of the sets"
    return Table("effects", caption, columns, own, brief=12)


def repair_section(repair: "Repair") -> Section:
    """Return the section of a repair."""
    spec = repair.spec
    name, units = spec.sets[-1]
    named = f" ({name})" if len(spec.sets) > 1 else ""
    *tables, listed = repair_tables(repair)
    named_tables = {table.name: table for table in tables}
    numbers = [_distances(repair, tables[:2], listed)]
    numbers += [_textures(repair, named_tables["textures"])] if "textures" in named_tables else []
    changes = [_changes(repair, named_tables["effects"])] if "effects" in named_tables else []
    where = ", ".join(spanned(spec.layers()))
    return Section(
        key=f"repair-{where}",
        short=f"repair of {where}",
        question=f"Does ablating {count(len(units), 'unit')} of {where} repair the images{named}?",
        answer=f"{_gone(repair)}{_verdict(repair)} {_sentence(repair, 'artifacts')} {_sentence(repair, 'plain')}",
        blocks=[*changes, *_images(repair), *numbers, _written(repair)],
        methods=("edit", "distance"),
    )


def repair_chart(repair: "Repair") -> ChangeChart:
    """Return by how much each set changes the distance of each sample, random sets last."""
    columns = (Column("images"), Column("set"), Column("change", form=change_text, error="change_error"))
    own = repair.table.assign(images=repair.table["sample"].map(_SHORT)).dropna(subset="change")
    return Table("changes", "Fréchet distance from real images", columns, own, keys=2).chart()


def repair_cards(repair: "Repair", sample: str) -> list[Card]:
    """Return the images of a sample in every way, the original first."""
    spec, strips = repair.spec, repair.strips
    captions = [_ORIGINAL, *(name for name, _ in spec.sets), RANDOM]
    half = len(strips.ids) // 2
    part = slice(half) if sample == "artifacts" else slice(half, None)
    return [
        [
            (tile(image, f"Image {number}: {caption}"), caption)
            for image, caption in zip(images.numpy(), captions, strict=False)
        ]
        for number, images in zip(strips.ids[part].tolist(), strips.images[part], strict=True)
    ]


def _row(repair: "Repair", sample: str, name: str) -> Any:
    found = repair.table
    return rows(found[(found["sample"] == sample) & (found["set"] == name)])[0]


def _gone(repair: "Repair") -> str:
    """Say how much of the concept goes that is to go; nothing where none is."""
    if not len(repair.effects):
        return ""
    row = rows(repair.effects[repair.effects["set"] == repair.spec.sets[-1][0]])[0]
    control = f"; as many random units: {effect_text(row.random, row.random_spread)}" if repair.spec.random else ""
    changed = effect_text(row.change, row.change_error)
    return (
        f"Without edits {percent(row.before)} of the pixels show {row.concept}, which changes by {changed}{control}. "
    )


def _verdict(repair: "Repair") -> str:
    """Say what two standard errors leave no doubt of, what is worse first."""
    found: dict[str, list[str]] = {"worse": [], "better": [], "no effect": []}
    for sample in _SAMPLES:
        row = _row(repair, sample, repair.spec.sets[-1][0])
        unsure = holds_zero(row.change, row.change_error)
        word = "no effect" if unsure else "better" if row.change < 0 else "worse"
        found[word].append(_WHERE[sample])
    texts = (f"{word}: {' and '.join(own)} {_MEANS[word]}" for word, own in found.items() if own)
    return " ".join(map(sentence, texts))


def _sentence(repair: "Repair", sample: str) -> str:
    spec = repair.spec
    before, after = (_row(repair, sample, name) for name in (_ORIGINAL, spec.sets[-1][0]))
    which = f"Of {before.images:,} images" + ("" if sample == "plain" else f" {_SAMPLES[sample]}")
    text = (
        f"{which}, the Fréchet distance from {spec.real} goes from {with_error(before.fid, before.error)} to "
        f"{with_error(after.fid, after.error)}: {change_text(after.change, after.change_error)}"
    )
    if spec.random:
        control = _row(repair, sample, _RANDOM)
        text += f"; with as many units drawn at random: {change_text(control.change, control.change_error)}"
    return f"{text}."


def _images(repair: "Repair") -> list[Block]:
    lead = (
        "Each image as it is, without the units, and without as many drawn at random. These images had no part in "
        f"selecting the units. The first of the {repair.spec.top:,}, of {repair.spec.images:,}, in which the units are "
        "greatest: the units contribute their top images in turn."
    )
    return [
        Block("Where the units are greatest", lead, rows_of_tiles(repair_cards(repair, "artifacts"))),
        Block("Plain images", "The same for the first images.", rows_of_tiles(repair_cards(repair, "plain"))),
    ]


def _distances(repair: "Repair", tables: list[Table], listed: Table) -> Block:
    spec = repair.spec
    lead = (
        f"Fréchet distances from {spec.reals:,} images of {spec.real}, by the {repair.facts['features']} features of "
        f"{spec.features}; those by other features are other numbers. A change is of the same images, so its error "
        "is smaller than that of the distances. The images in which the units are greatest are only a part of what "
        "the model draws, so they are farther from real ones than all together."
    )
    return Block("How far from real?", lead, "".join(each.html() for each in tables) + listed.folded("The units"))


def _changes(repair: "Repair", table: Table) -> Block:
    lead = (
        f"The concept that is to go, {repair.spec.concept}, first; then what else changes, the most first. "
        f"As many random units, {count(repair.spec.random, 'set')}, say what any units would do."
    )
    return Block("What goes, and what else changes?", lead, table.html())


def _textures(repair: "Repair", table: Table) -> Block:
    lead = (
        f"Patches of 7 × 7 pixels of {repair.spec.textures:,} plain images and as many real ones, at each level of a "
        "Laplacian pyramid: their sliced Wasserstein distance, × 10³. The last column is that of other real images."
    )
    return Block("Are the textures nearer?", lead, table.html())


def _written(repair: "Repair") -> Block:
    written = repair.facts["repaired"]
    if repair.opens is None:
        lead = f"No repaired generator was written: {written['reason']}."
    elif written["folded"]:
        lead = f"The edit is part of plain weights, which run without this program: {written['reason']}."
    else:
        lead = f"The edit is made each time, not part of the weights: {written['reason']}."
    opens = "" if repair.opens is None else f"<p>It opens as <code>{escape(repair.opens)}</code>.</p>"
    opens += _exported(repair)
    if repair.warnings and repair.opens is not None:
        opens += '<p class="notice warning">It is worse than the original: keep the original.</p>'
    return Block("The repaired generator", lead, opens)


def _exported(repair: "Repair") -> str:
    """Say what runs without this package, of a pipeline of diffusers."""
    export = repair.facts["repaired"].get("export")
    if export is None:
        return ""
    how = escape(str(export["how"]))
    if export["file"] is None:
        return f"<p>Nothing was written that runs without this program: {how}.</p>"
    file = escape(str(export["file"]))
    if export["file"].endswith(".py"):
        use = f'python {file} PIPELINE "a prompt" image.png'
        return f"<p><code>{use}</code> draws without the units, by diffusers alone; no weights were changed: {how}.</p>"
    return f"<p><code>{file}</code> is the network as diffusers reads it: {how}.</p>"
