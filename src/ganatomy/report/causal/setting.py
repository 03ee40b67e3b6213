"""Which setting inserts a concept best: all that were tried, and what the picked one does on other images."""

from typing import TYPE_CHECKING

from ganatomy.core.layer_steps import spanned
from ganatomy.report.causal.section import CONTROLS, Block, Section
from ganatomy.report.causal.tiles import Box, Card, crop_tile, grouped, tile
from ganatomy.report.formats import percent, percent_with_error, sentence
from ganatomy.report.tables import Column, Table

if TYPE_CHECKING:
    from ganatomy.experiments.causal.best_setting import BestSetting


def setting_tables(setting: "BestSetting") -> list[Table]:
    """Return the picked setting and its control on other images, then every setting on those that chose."""
    likely, unlikely = (
        ("where allowed", "where forbidden") if setting.facts.get("truth") else ("where frequent", "where never seen")
    )
    measured = (
        Column("setting"),
        Column("likely", likely, percent_with_error, "likely_error"),
        Column("likely_places", "places"),
        Column("unlikely", unlikely, percent_with_error, "unlikely_error"),
        Column("unlikely_places", "places"),
    )
    tried = (
        Column("by", "units by"),
        Column("layers"),
        Column("cell", "places"),
        Column("multiple", "×"),
        Column("constant", "value"),
        Column("strength"),
        Column("likely", likely, percent),
        Column("unlikely", unlikely, percent),
        Column("finalist"),
        Column("picked"),
    )
    control = CONTROLS[setting.table[setting.table.picked].control.iloc[0]]
    names = {
        "picked": setting.best.name,
        "control": f"control: {control}",
        "paper": "20 units of the first layer at k",
    }
    found = setting.measured.assign(setting=setting.measured["setting"].map(names))
    in_order = setting.table.sort_values(["picked", "finalist", "likely"], ascending=False, kind="stable")
    return [
        Table(
            "measured",
            "Share of places where it appears, on other images",
            measured,
            found,
            drawn=("likely", "unlikely"),
        ),
        Table("tried", "Share of places where it appears, on the images that chose", tried, in_order, brief=40),
    ]


def setting_section(setting: "BestSetting") -> Section:
    """Return the section of a search for the best setting."""
    spec, best = setting.spec, setting.best
    lead = (
        f"Units of {', '.join(spanned(best.layers()))} set at places of {best.cell} × {best.cell} where no "
        f"{spec.concept} was before: share of places where it appears. "
    )
    lead += (
        "Allowed and forbidden are what the renderer would do at that place of that scene. "
        if setting.facts.get("truth")
        else "Where it is frequent, and where the pool never shows it. "
    )
    measured, tried = setting_tables(setting)
    return Section(
        key=f"setting-{spec.concept}",
        short=f"setting {spec.concept}",
        question=f"Which setting inserts {spec.concept} best?",
        answer=sentence(setting.description()),
        blocks=[
            *_images(setting),
            Block("Measured", f"{lead}On held-out images.", measured.html()),
            Block(
                "Tried",
                "On the other half of the images that have such places; all but the best on a quarter of it. First the "
                "picked one, then the other best ones.",
                tried.html(),
            ),
        ],
    )


def setting_cards(setting: "BestSetting", kind: int) -> list[Card]:
    """Return images before and after at places of one kind, and the place larger."""
    shown, concept = setting.shown, setting.spec.concept
    if shown is None:
        return []
    cards: list[Card] = []
    for i in (shown.kinds == kind).nonzero()[:, 0].tolist():
        box, number = Box(*shown.boxes[i].tolist()), int(shown.ids[i])
        before, after = shown.images[i].numpy()
        title = f"Image {number} with {concept} inserted"
        cards.append(
            [
                (tile(before, f"Image {number} before", [box]), f"image {number}"),
                (tile(after, title, [box]), "inserted"),
                (crop_tile(after, box, f"{title}, the place alone"), f"{concept}: {percent(float(shown.gain[i]), 2)}"),
            ]
        )
    return cards


def _images(setting: "BestSetting") -> list[Block]:
    names = ("allowed", "forbidden") if setting.facts.get("truth") else ("frequent", "never seen")
    groups = [(f"Where it is {name}", setting_cards(setting, kind)) for kind, name in enumerate(names)]
    lead = "One place of each of the first held-out images, and the share of it that shows the concept after."
    return [Block("The picked setting", lead, grouped(groups))] if any(cards for _, cards in groups) else []
