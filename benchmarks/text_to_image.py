"""A model that makes an image in steps, a UNet or a transformer: what dissecting, editing and painting it cost.

    python benchmarks/text_to_image.py                             all of it, on the bundled words model
    python benchmarks/text_to_image.py --only edit --json > words.json
    python benchmarks/text_to_image.py --model dit                 the same of a transformer of the same recipe

Processor time is what shares are of; wall time is shown with it, since cores may be shared.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from dissect import IMAGES, STATISTICS, ratio, watched
from timer import Timer

import ganatomy
from ganatomy.core.layer_steps import split_layer
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.interventions import Intervention
from ganatomy.web import Painter
from ganatomy.web.schemas import Stroke

SEGMENTER = "bundled:scenes?size=64"
STEPS = (1, 3, 6, 8)
BATCH = 32
Row = dict[str, Any]


class Model(NamedTuple):
    """A model, four of its blocks, and the one that is edited."""

    name: str
    blocks: Sequence[str]
    edited: str


MODELS = {
    "unet": Model("bundled:church-words", ("up3", "up2", "up1", "up0"), "up2"),
    "dit": Model("bundled:church-words-dit", ("blocks.0", "blocks.1", "blocks.3", "blocks.5"), "blocks.3"),
}
"""The bundled models of words: a UNet, and a transformer."""


def statistics(own: Model, images: int, threads: int) -> Row:
    """Dissect four blocks at four steps; charge the time to phases, as ``dissect.py`` does."""
    torch.set_num_threads(threads)
    generator, segmenter = ganatomy.open_generator(own.name), ganatomy.open_segmenter(SEGMENTER)
    layers = tuple(f"{block}@{step}" for step in STEPS for block in own.blocks)

    def dissect(count: int) -> Timer:
        timer = Timer()
        with tempfile.TemporaryDirectory() as out, timer.watching(*watched(segmenter)), timer.phase("the rest"):
            ganatomy.dissect(generator, segmenter=segmenter, images=count, layers=layers, out=Path(out) / "study")
        return timer

    dissect(4)  # compiles
    timer = dissect(images)
    row: Row = {"images": images, "threads": threads, "layers": len(layers)}
    row |= {"wall_s": dict(timer.wall), "cpu_s": dict(timer.cpu)}
    return row | {"share": ratio(timer.cpu, ("generator",))}


def edit(own: Model, repeats: int, threads: int) -> Row:
    """Draw a batch with an edit at the last quarter of the steps, compared with sampling it whole."""
    torch.set_num_threads(threads)
    generator = ganatomy.open_generator(own.name)
    last = max(split_layer(layer).step or 0 for layer in generator.layers)
    first = last - last // 4 + 1
    shape = generator.layers[f"{own.edited}@{first}"]
    edits = [Intervention.ablate(f"{own.edited}@{step}", shape, range(12)) for step in range(first, last + 1)]
    whole, edited = [], []
    for i in range(repeats + 1):
        z = generator.latents(range(i * BATCH, (i + 1) * BATCH), 0)  # no state of these is kept yet
        whole.append(_seconds(lambda: generator.observe(z, ())))  # noqa: B023  called at once
        edited.append(_seconds(lambda: generator.edited(z, edits)))  # noqa: B023
    row: Row = {"images": BATCH, "threads": threads, "steps": f"{first}..{last} of {last}"}
    for i, kind in enumerate(("wall", "cpu")):
        row[f"whole_{kind}_s"], row[f"edited_{kind}_s"] = (
            min(took[i] for took in each[1:]) for each in (whole, edited)
        )
    return row | {"share": row["edited_cpu_s"] / row["whole_cpu_s"]}


def paint(own: Model, images: int, threads: int) -> list[Row]:
    """Paint the first stroke on images that are shown, as the server does; its answer is a PNG file."""
    torch.set_num_threads(threads)
    rows = []
    with tempfile.TemporaryDirectory() as out:
        study = Path(out) / "study"
        layers = tuple(f"{own.edited}@{step}" for step in (2, 5))
        ganatomy.dissect(f"{own.name}?step=2,5,8", segmenter=SEGMENTER, images=64, layers=layers, out=study)
        painter = Painter(open_source(study))
        for job in painter.warmup_jobs():
            job()
        layer = painter.best_layer()
        concept = painter.brushes(layer)[0].concept
        for steps in ("2..8", "5..8", "7..8"):
            took = []
            for i in range(1000, 1000 + images):
                painter.image(i, 0)
                stroke = Stroke(action="draw", layer=layer, concept=concept, at_steps=steps, points=[(0.3, 0.3)])
                took.append(_seconds(lambda: painter.paint(i, 0, [stroke])))  # noqa: B023
            wall, cpu = (median(each) for each in zip(*took, strict=True))
            rows.append(
                {"images": images, "threads": threads, "steps": steps, "wall_ms": 1e3 * wall, "cpu_ms": 1e3 * cpu}
            )
    return rows


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds."""
    start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def report(results: dict[str, Any]) -> str:
    """Return the results as text."""
    lines = []
    if row := results.get("statistics"):
        lines.append(f"{row['layers']} layers, {row['images']} + {row['images']} images, {row['threads']} threads")
        lines += [
            f"  {name:12}{1e3 * row['wall_s'][name] / row['images'] / 2:8.1f} ms wall"
            f"{1e3 * row['cpu_s'][name] / row['images'] / 2:8.1f} ms cpu an image"
            for name in (*IMAGES, *STATISTICS, "strips", "saving", "the rest")
            if name in row["wall_s"]
        ]
        lines.append(f"  statistics are {100 * row['share']:.0f} % of sampling")
    if row := results.get("edit"):
        lines.append(
            f"an edit at steps {row['steps']}: {row['edited_cpu_s']:.2f} of {row['whole_cpu_s']:.2f} cpu seconds for "
            f"{row['images']} images, {100 * row['share']:.0f} % of a whole sampling"
        )
    lines += [
        f"first stroke at steps {row['steps']}: {row['wall_ms']:.0f} ms wall, {row['cpu_ms']:.0f} ms cpu (medians)"
        for row in results.get("paint", [])
    ]
    return "\n".join(lines)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("statistics", "edit", "paint"), help="one section")
    parser.add_argument("--model", choices=MODELS, default="unet", help="which bundled one (unet)")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    sections: dict[str, Callable[[Model], Any]] = {
        "statistics": lambda own: statistics(own, args.images, args.threads),
        "edit": lambda own: edit(own, args.repeats, args.threads),
        "paint": lambda own: paint(own, min(args.images, 24), args.threads),
    }
    own = MODELS[args.model]
    results = {name: sections[name](own) for name in ([args.only] if args.only else sections)}
    print(json.dumps(results) if args.json else report(results))


if __name__ == "__main__":
    main()
