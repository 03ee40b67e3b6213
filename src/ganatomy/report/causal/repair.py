"""Whether switching units off repairs a model: images before and after, and Tables 1 and 2 for it."""

from html import escape
from typing import Any

from ganatomy.experiments.repair import ORIGINAL, RANDOM, Repair
from ganatomy.report.causal.section import Block, Section, change_text, count, folded, plain, table, with_error
from ganatomy.report.causal.tiles import Card, rows_of_tiles, tile
from ganatomy.report.tables import rows
from ganatomy.stats.paired import holds_zero

_SIDE = 128
_SAMPLES = {"artifacts": "in which the units are greatest", "plain": "plain"}


def repair_section(repair: Repair) -> Section:
    """Return the section of a repair."""
    spec = repair.spec
    name, units = spec.sets[-1]
    named = f" ({name})" if len(spec.sets) > 1 else ""
    return Section(
        key=f"repair-{spec.layer}",
        short=f"repair of {spec.layer}",
        question=f"Does switching {count(len(units), 'unit')} of {spec.layer} off repair the images{named}?",
        answer=f"{_verdict(repair)} {_sentence(repair, 'artifacts')} {_sentence(repair, 'plain')}",
        blocks=[*_pictures(repair), _distances(repair), *_textures(repair), _written(repair)],
        spec=vars(spec),
        facts={key: fact for key, fact in repair.facts.items() if key != "repaired"},
        described=True,
    )


def repair_cards(repair: Repair, sample: str) -> list[Card]:
    """Return the images of a sample in every way, the original first."""
    spec, strips = repair.spec, repair.strips
    captions = [ORIGINAL, *(name for name, _ in spec.sets), "random units"]
    half = len(strips.ids) // 2
    part = slice(half) if sample == "artifacts" else slice(half, None)
    return [
        [
            (tile(picture, f"Image {number}: {caption}", side=_SIDE), caption)
            for picture, caption in zip(pictures.numpy(), captions, strict=False)
        ]
        for number, pictures in zip(strips.ids[part].tolist(), strips.pictures[part], strict=True)
    ]


def _row(repair: Repair, sample: str, name: str) -> Any:
    found = repair.table
    return rows(found[(found["sample"] == sample) & (found["set"] == name)])[0]


def _verdict(repair: Repair) -> str:
    """Say what two standard errors leave no doubt of."""
    said = []
    for sample in _SAMPLES:
        row = _row(repair, sample, repair.spec.sets[-1][0])
        unsure = holds_zero(row.change, row.change_error)
        said.append("No effect" if unsure else "Nearer to real" if row.change < 0 else "Farther from real")
    return f"{said[0]}." if said[0] == said[1] else f"{said[0]} where the units are greatest, {said[1].lower()} else."


def _sentence(repair: Repair, sample: str) -> str:
    spec = repair.spec
    before, after = (_row(repair, sample, name) for name in (ORIGINAL, spec.sets[-1][0]))
    which = f"Of {before.images:,} images" + ("" if sample == "plain" else f" {_SAMPLES[sample]}")
    text = (
        f"{which}, the Fréchet distance from {spec.real} goes from {with_error(before.fid, before.error)} to "
        f"{with_error(after.fid, after.error)}: {change_text(after.change, after.change_error)}"
    )
    if spec.random:
        control = _row(repair, sample, RANDOM)
        text += f"; with as many units drawn at random: {change_text(control.change, control.change_error)}"
    return f"{text}."


def _pictures(repair: Repair) -> list[Block]:
    lead = (
        "Each image as it is, without the units, and without as many drawn at random. These were not looked at when "
        "the units were chosen. "
    )
    most = (
        f"The first of the {repair.spec.top:,}, of {repair.spec.images:,}, in which the units are greatest: each unit "
        "lends its top images, by turns."
    )
    return [
        Block("Where the units are greatest", lead + most, rows_of_tiles(repair_cards(repair, "artifacts"))),
        Block("Plain images", "The same for the first images there are.", rows_of_tiles(repair_cards(repair, "plain"))),
    ]


def _distances(repair: Repair) -> Block:
    spec = repair.spec
    columns = ("switched off", "units", "distance", "change", "spread of random sets", "of a perfect model")
    tables = []
    for sample, meaning in _SAMPLES.items():
        own = rows(repair.table[repair.table["sample"] == sample])
        told = [
            (
                "nothing" if row.set == ORIGINAL else row.set,
                str(row.units),
                with_error(row.fid, row.error),
                change_text(row.change, row.change_error),
                plain(row.spread, 2),
                plain(row.bias, 2),
            )
            for row in own
        ]
        tables.append(table(columns, told, f"{own[0].images:,} images, {meaning}"))
    lead = (
        f"Fréchet distances from {spec.reals:,} images of {spec.real}, by the {repair.facts['features']} features of "
        f"{spec.features}; those by other features are other numbers. A change is of the same images, so its error "
        "is smaller than that of the distances. The images in which the units are greatest are only a part of what "
        "the model draws, so they are farther from real ones than all together."
    )
    listed = folded("The units", table(("set", "units"), [(n, ", ".join(map(str, u))) for n, u in spec.sets], "Sets"))
    return Block("How far from real?", lead, "".join(tables) + listed)


def _textures(repair: Repair) -> list[Block]:
    if repair.textures.empty:
        return []
    told = [
        (
            f"{row.height} pixels, {'nothing' if row.set == ORIGINAL else row.set}",
            with_error(row.swd, row.error),
            change_text(row.change, row.change_error),
            plain(row.spread, 2),
            plain(row.perfect, 3),
        )
        for row in rows(repair.textures)
    ]
    lead = (
        f"Patches of 7 × 7 pixels of {repair.spec.textures:,} plain images and as many real ones, at each level of a "
        "Laplacian pyramid: their sliced Wasserstein distance, × 10³. The last column is that of other real images."
    )
    columns = ("level, switched off", "distance", "change", "spread of random sets", "of real images")
    return [Block("Are the textures nearer?", lead, table(columns, told, "Textures"))]


def _written(repair: Repair) -> Block:
    written = repair.facts["repaired"]
    if repair.opens is None:
        said = f"No repaired generator was written: {written['reason']}."
    elif written["folded"]:
        said = f"The edit is part of plain weights, which run without this program: {written['reason']}."
    else:
        said = f"The edit is made each time, not part of the weights: {written['reason']}."
    opens = "" if repair.opens is None else f"<p>It opens as <code>{escape(repair.opens)}</code>.</p>"
    return Block("The repaired generator", said, opens)
