"""Which setting inserts a concept best: all that were tried, and what the picked one does on other images."""

from ganatomy.experiments.causal.best_setting import BestSetting
from ganatomy.report.causal.section import Block, Section, count, measured, percent, sentence, table
from ganatomy.report.tables import rows

_CONTROLS = {
    "random": "control: as many random units",
    "without": "control: all units as in images without it",
}


def setting_section(setting: BestSetting) -> Section:
    """Return the section of a search for the best setting."""
    spec, layers = setting.spec, [layer for layer, _ in setting.spec.sets[0][1]]
    truth = setting.facts.get("truth")
    likely, unlikely = (
        ("where it is allowed", "where it is forbidden") if truth else ("where usual", "where never seen")
    )
    lead = (
        f"Units of {', '.join(layers)} set at one place of {spec.cell} × {spec.cell} of each kind in each of "
        f"{count(spec.images, 'image')}, where no {spec.concept} was before: share of places where it appears. "
    )
    lead += (
        "Allowed and forbidden are what the renderer would do at that place of that scene. "
        if truth
        else "Where it is usual, and where the pool never shows it. "
    )
    tried = [
        (
            f"{row.by}, {row.multiple:g} × {row.constant}" + (" (picked)" if row.picked else ""),
            percent(row.likely, 2),
            percent(row.unlikely, 2),
        )
        for row in rows(setting.table)
    ]
    control = _CONTROLS[setting.table[setting.table.picked].control.iloc[0]]
    names = {"picked": setting.best.name, "control": control, "paper": "20 units of the first layer at k"}
    found = [
        (
            names[row.setting],
            f"{measured(row.likely, row.likely_error, sign=False)} ({row.likely_places})",
            f"{measured(row.unlikely, row.unlikely_error, sign=False)} ({row.unlikely_places})",
        )
        for row in rows(setting.measured)
    ]
    return Section(
        key=f"setting-{spec.concept}",
        short=f"setting {spec.concept}",
        question=f"Which setting inserts {spec.concept} best?",
        answer=sentence(setting.told()),
        blocks=[
            Block("Measured", lead + "Of images that chose nothing.", table(("setting", likely, unlikely), found)),
            Block("Tried", "On the other half of the images.", table(("setting", likely, unlikely), tried)),
        ],
        spec=vars(spec),
        facts=setting.facts,
    )
