"""Our own study of models, layers, training and its tricks (Figures 5, 6, 7, 18 and 19), on generators that are kept.

    python recipes/study.py --out runs/study                              # of recipes/variants; minutes of one core
    python recipes/study.py --out runs/study --docs docs                  # writes the guide's tables and figures, too
    python recipes/study.py --out runs/rehearsal --images 60 --made 300   # a rehearsal

It dissects the bundled church and living room, each kept generator, and one training at all its kept moments; measures
how far their images are from rendered ones; and sets them side by side. What is finished is not done again.
`recipes/train_variants.py` made the kept generators.
"""

import argparse
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from train_variants import VARIANTS

import ganatomy
from ganatomy.core.errors import GanatomyError
from ganatomy.core.files import write_text
from ganatomy.experiments.bootstrap import ALL
from ganatomy.experiments.compare.comparison import Comparison
from ganatomy.report.formats import with_error
from ganatomy.report.monitor.curves import count_charts
from ganatomy.report.monitor.page import write_monitor_report
from ganatomy.report.svg import as_file
from ganatomy.report.tables import rows

KEPT = Path(__file__).parent / "variants"
SMALL = "bundled:scenes?size=64"
"""What reads images of 32 px: enlarged to the size that it was trained at."""
SCENES = {name: (f"bundled:{name}", "bundled:scenes", f"scenes:{name}") for name in ("church", "livingroom")}
"""Of each: its generator, what reads its images, and the real ones."""
LAYER = "layer4"
IMAGES = Path("images") / "study"
HEAD = """---
orphan: true
---
<!-- Written by recipes/study.py. Do not edit: run it again. -->
# What our own study rests on: all tables
"""


@dataclass(frozen=True)
class Bench:
    """What is measured how often, and where it goes."""

    out: Path
    kept: Path
    images: int
    made: int

    def dissected(self, name: str, generator: str, segmenter: str, real: str) -> Path:
        """Dissect a generator at all layers, and measure how far its images are from rendered ones."""
        directory = self.out / "dissections" / name
        ganatomy.dissect(generator, segmenter=segmenter, images=self.images, out=directory)
        made = {"images": self.made, "reals": self.made, "textures": min(500, self.made)}
        ganatomy.quality(directory, real=real, features=SMALL, **made)
        print(directory, flush=True)
        return directory

    def kept_generators(self, training: Path) -> list[str]:
        """Return the names of the generators that a training kept, in the order of its images."""
        pixelnorm = VARIANTS[training.name.rpartition("-")[0]]["pixelnorm"]
        return [
            f"progan:{file}{'' if pixelnorm else '?pixelnorm=no'}" for file in sorted(training.glob("*.safetensors"))
        ]

    def trainings(self) -> list[Path]:
        """Return the directories of all trainings, variant by variant, seed by seed."""
        return [path for variant in VARIANTS for path in sorted(self.kept.glob(f"{variant}-*"))]


def main(given: Sequence[str] | None = None) -> None:
    args = parse(given)
    torch.set_num_threads(1)
    bench = Bench(args.out, args.kept, args.images, args.made)
    try:
        parts = run(bench)
    except GanatomyError as error:
        sys.exit(f"study: {error}")
    text = HEAD + "".join(f"\n<!-- {name} -->\n\n{body}\n\n<!-- /{name} -->\n" for name, body in parts.items())
    write_text(args.out / "study-tables.md", text)
    if args.docs:
        write_text(args.docs / "study-tables.md", text)
        shutil.copytree(args.out / IMAGES, args.docs / IMAGES, dirs_exist_ok=True)


def run(bench: Bench) -> dict[str, str]:
    """Measure all of it; return the parts of the guide's tables by name."""
    scenes = [bench.dissected(name, *of) for name, of in SCENES.items()]
    data = compared(bench, "data", scenes, layer=[LAYER])
    layers = [compared(bench, f"layers-{path.name}", [path]) for path in scenes]
    ends = [
        bench.dissected(path.name, bench.kept_generators(path)[-1], SMALL, "scenes:church")
        for path in bench.trainings()
    ]
    variants = compared(bench, "variants", ends, layer=[LAYER], against=ends[0].name)
    whole = compared(bench, "variants-all-layers", ends)
    return {
        "data": counts(data) + figures(bench, "data", "counts", "concepts"),
        "data-changes": changes(data),
        "layers": "\n\n".join(emergence(each) for each in layers),
        "layers-figures": "".join(figures(bench, f"layers-{path.name}", "layers") for path in scenes),
        "variants": variant_table(variants, whole) + figures(bench, "variants", "quality", "counts"),
        "monitoring": monitored(bench),
    }


def compared(bench: Bench, name: str, studies: Sequence[Path], **options: Any) -> Comparison:
    """Set studies side by side, with a page and figures."""
    home = bench.out / "comparisons" / name
    return ganatomy.compare(studies, out=home, names=[path.name for path in studies], **options)


def monitored(bench: Bench) -> str:
    """Dissect one training at all its moments; return the table of its counts over all layers, and the curves."""
    training = next(path for path in bench.trainings() if path.name.startswith("pixelnorm"))
    home = bench.out / "monitoring"
    found = ganatomy.monitor(bench.kept_generators(training), out=home, segmenter=SMALL, images=bench.images)
    write_monitor_report(found, home / "monitor.html")
    stayed = found.turnover.groupby("step")[list(FATES)].sum()
    body = [
        (
            f"{row.step:,}",
            *(of(row, name) for name in COUNTED),
            *(f"{stayed.loc[row.step, fate]}" if row.step in stayed.index else "–" for fate in FATES),
        )
        for row in rows(found.table[(found.table.category == ALL) & (found.table.layer == ALL)])
    ]
    curves = as_file(f"What the units of {training.name} draw, over its training", (), count_charts(found))
    return markdown(("images seen", *COUNTS, *FATES), body) + figure(bench, "monitoring", curves)


COUNTED = ("interpretable", "matched", "concepts", "matched_iou")
COUNTS = ("interpretable", "matched", "concepts", "mean IoU of matched")
FATES = ("kept", "changed", "lost", "gained")


def of(row: Any, name: str) -> str:
    """Return a number of a row with its error."""
    return with_error(float(getattr(row, name)), float(getattr(row, f"{name}_error")))


def counts(found: Comparison) -> str:
    """Return all counts of the compared layer, category by category."""
    own = found.counts[found.counts.compared == found.layer]
    body = [
        (row.study, row.category, f"{row.units}", *(of(row, n) for n in COUNTED))
        for row in rows(own)
        if row.category == "all" or row.interpretable
    ]
    return markdown(("model", "category", "units", *COUNTS), body)


def changes(found: Comparison) -> str:
    """Return which concepts one model's units match and the other's do not, sure or not."""
    turned = found.changes[found.changes.change.isin(["appeared", "vanished"])]
    body = [
        (row.concept, row.category, f"{row.before:g}", f"{row.after:g}", row.change, "yes" if row.sure else "perhaps")
        for row in rows(turned.sort_values(["change", "sure"], ascending=[True, False], kind="stable"))
    ]
    first, second = found.spec.names
    return markdown(("concept", "category", f"units of {first}", f"of {second}", "", "beyond the sample's error"), body)


def emergence(found: Comparison) -> str:
    """Return the counts of every layer by category: what emerges where."""
    own = found.counts[found.counts.layer != "all"]
    body = []
    for layer in dict.fromkeys(own.layer):
        here = own[own.layer == layer].set_index("category")
        kinds = ["object", "part", "material"]
        counts = (of(here.loc[kind], "matched") if kind in here.index else "0" for kind in kinds)
        plain = here.loc["all"]
        body.append((layer, f"{plain.units}", *counts, of(plain, "concepts")))
    columns = (f"layer of {found.spec.names[0]}", "units", "objects", "parts", "materials", "concepts")
    return markdown(columns, body)


def variant_table(at_layer: Comparison, whole: Comparison) -> str:
    """Return quality and interpretability of every training (Figure 7)."""
    measured = at_layer.quality.set_index(["study", "measure"])
    own, all_layers = (
        found.counts[(found.counts.category == "all") & place].set_index("study")
        for found, place in ((at_layer, at_layer.counts.compared == LAYER), (whole, whole.counts.layer == "all"))
    )
    swd = [name for name in dict.fromkeys(at_layer.quality.measure) if name.startswith("swd")]
    body = []
    for name in at_layer.spec.names:
        quality = [measured.loc[(name, measure)] for measure in ("fid", *swd)]
        numbers = [with_error(float(each.value), float(each.error)) for each in quality]
        for table in (own, all_layers):
            row = table.loc[name]
            numbers += [of(row, "matched"), of(row, "concepts")]
        body.append((name, *numbers))
    columns = ("training", "Fréchet", *swd, f"matched, {LAYER}", "concepts", "matched, all layers", "concepts")
    return markdown(columns, body)


def figures(bench: Bench, comparison: str, *names: str) -> str:
    """Copy those figures of a comparison that there are to where the guide's figures are; return what shows them."""
    drawn = (bench.out / "comparisons" / comparison / "figures" / f"{name}.svg" for name in names)
    return "".join(
        figure(bench, f"{comparison}-{path.stem}", path.read_text(encoding="utf-8")) for path in drawn if path.exists()
    )


def figure(bench: Bench, name: str, svg: str) -> str:
    """Write a figure; return what shows it."""
    write_text(bench.out / IMAGES / f"{name}.svg", svg)
    return f"\n\n![{name}]({(IMAGES / name).as_posix()}.svg)"


def markdown(columns: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Return a table; all columns but the first hold numbers or single words, and stand to the right."""
    lines = ["| " + " | ".join(columns) + " |", "| --- |" + " ---: |" * (len(columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in body)])


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="directory of studies, pages and tables")
    parser.add_argument("--kept", type=Path, default=KEPT, help="directory of the kept generators")
    parser.add_argument("--images", type=int, default=1000, help="images of each half of a dissection")
    parser.add_argument("--made", type=int, default=3000, help="images that are compared with as many rendered ones")
    parser.add_argument("--docs", type=Path, help="write tables and figures here, too")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
