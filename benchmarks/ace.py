"""Cost of finding the units that cause a concept: held-out effect over evaluations, for each schedule.

    python benchmarks/ace.py STUDY --concept tree --layer layer4 --out DIR
    python benchmarks/ace.py STUDY --schedules fast quick --json > ace.json
    python benchmarks/ace.py STUDY --out DIR --steps 100             the first 100 updates of the published schedule

STUDY is a finished dissection. All schedules are evaluated on the same places, of images that none of them has seen:
the clipped set of each checkpoint is ablated everywhere and inserted at places that have room for the concept. DIR gets
the numbers as ace.json and the curves as ace.svg. A run that is stopped resumes.
"""

import argparse
import json
import math
import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ganatomy.core.files import write_text
from ganatomy.core.tensor_files import Archive
from ganatomy.experiments.causal.ace import constants, prepare, run_ace
from ganatomy.experiments.causal.ace_spec import SCHEDULES, scheduled
from ganatomy.experiments.causal.dissected_model import DissectedModel, open_source
from ganatomy.experiments.causal.optimise import Objective, clipped
from ganatomy.experiments.causal.optimise import effect as delta
from ganatomy.experiments.causal.pool import open_pool, pooling
from ganatomy.report.charts import Line, LineChart, even_axis, log_axis
from ganatomy.report.palette import NEUTRAL, concept_colours
from ganatomy.report.svg import as_file
from ganatomy.study import Study

OTHER_SEED = 1_000_003
"""Latents of this seed are other ones than those of any schedule."""
Row = dict[str, Any]


def evaluation(source: DissectedModel, given: argparse.Namespace) -> Objective:
    """Return the objective that evaluates every schedule: held-out places of images of their own."""
    many, out = 4 * given.images, given.out
    sizes = {"pool": many, "candidates": many, "train": 2, "held": given.images, "top": given.top, "sizes": (1,)}
    seed = source.dissection.spec.seed + OTHER_SEED
    spec = scheduled(source, layer=given.layer, concept=given.concept, seed=seed, controls=(1,), **sizes)
    pool = open_pool(pooling(source), spec.pool_spec(), out / "evaluation-pool")
    with Study.create(out / "evaluation", spec, source.facts()) as study:
        return prepare(spec, source, pool, constants(spec, source, pool), study)[0]


def curve(source: DissectedModel, spec: Any, out: Path, objective: Objective) -> list[Row]:
    """Run a schedule, and evaluate its α at every checkpoint."""
    directory = out / spec_name(spec)
    ace = run_ace(spec, source, directory, out / f"pool-{spec.pool}")
    start = torch.from_numpy(ace.units.sort_values("unit").initial.to_numpy(copy=True)).float()
    last = Archive(directory / "steps" / f"alpha-{len(ace.history) - 1}.npz")
    scale = objective.scale(objective.held.present, whole=True, binary=True)
    rows = []
    for checkpoint, alpha in zip(ace.history.to_dict("records"), last["alphas"], strict=True):
        effect, error = map(float, delta(*objective.held_out_terms(clipped(alpha, start, spec.top).to(scale), scale)))
        rows.append(
            {**checkpoint, "effect": effect, "effect_error": error, "answer": checkpoint["step"] == ace.updates}
        )
    return rows


def spec_name(spec: Any) -> str:
    """Return a directory's name for a run of a schedule."""
    return f"{spec.concept}-{spec.layer}-{spec.start}-{spec.steps}-{spec.pool}-{spec.candidates}"


def reached(rows: list[Row], effect: float) -> float:
    """Return the evaluations at the first checkpoint that reaches an effect; NaN if none does."""
    return next((row["evaluations"] for row in rows if row["effect"] >= effect), math.nan)


def summary(curves: dict[str, list[Row]]) -> list[Row]:
    """Return for each schedule its effect, and the evaluations at its first checkpoint within one standard error of the
    published end.
    """
    reference = curves.get("published", next(iter(curves.values())))
    end = max(reference, key=lambda row: row["effect"])
    target = end["effect"] - end["effect_error"]
    rows = []
    for name, own in curves.items():
        best = next(row for row in own if row["answer"])
        rows.append(
            {
                "schedule": name,
                "effect": best["effect"],
                "effect_error": best["effect_error"],
                "evaluations": own[-1]["evaluations"],
                "target": target,
                "evaluations_to_target": reached(own, target),
                "times_fewer": reached(reference, target) / reached(own, target),
            }
        )
    return rows


def report(curves: dict[str, list[Row]], rows: list[Row]) -> str:
    """Return the results as text."""
    lines = []
    for name, own in curves.items():
        lines.append(f"\n{name}\n{'updates':>9}{'evaluations':>13}{'with slopes':>13}{'effect':>9}{'error':>8}")
        for row in own:
            counts = f"{row['step']:9.0f}{row['evaluations']:13.0f}{row['gradients']:13.0f}"
            lines.append(f"{counts}{row['effect']:9.3f}{row['effect_error']:8.3f}")
    lines.append(f"\nto {rows[0]['target']:.3f}, one standard error below the best checkpoint of the reference:")
    for row in rows:
        lines.append(
            f"  {row['schedule']:10} {row['evaluations_to_target']:9.0f} evaluations, {row['times_fewer']:.1f} times "
            f"fewer; ends at {row['effect']:.3f} ± {row['effect_error']:.3f} after {row['evaluations']:.0f}"
        )
    return "\n".join(lines)


def figure(curves: dict[str, list[Row]], concept: str, colour: str) -> str:
    """Return the held-out effect over evaluations as the text of an SVG file, a band of one standard error each."""
    styles = {"published": (NEUTRAL, ""), "fast": (colour, ""), "quick": ("currentColor", "6 4")}
    lines = [
        Line(name, *([row[key] for row in own] for key in ("evaluations", "effect", "effect_error")), *styles[name])
        for name, own in curves.items()
    ]
    x = log_axis("images drawn and segmented", [v for line in lines for v in line.x], lambda value: f"{value:,.0f}")
    y = even_axis("held-out effect", [v for line in lines for v in line.reach()], lambda value: f"{value:.1f}")
    title = f"What it takes to find the units of {concept}"
    return as_file(title, (), [("Inserted, less what is left when ablated", LineChart(lines, x, y, title))])


def run(given: argparse.Namespace, source: DissectedModel) -> Row:
    """Measure the asked schedules."""
    objective = evaluation(source, given)
    curves = {}
    for name in given.schedules:
        sizes = {"top": given.top, "sizes": (given.top,), "controls": (given.top,), "images": 32}
        spec = scheduled(source, name, layer=given.layer, concept=given.concept, **sizes)
        if name == "published":
            spec = replace(spec, steps=given.steps, every=max(1, given.steps // 20))
            spec = replace(spec, pool=given.pool, candidates=6 * given.pool)
        else:
            spec = replace(spec, patience=spec.steps)  # the whole curve
        curves[name] = curve(source, spec, given.out, objective)
    about = {"torch": torch.__version__, "machine": platform.machine(), "cores": os.cpu_count()}
    return {"about": about, "curves": curves, "summary": summary(curves)}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="a finished dissection")
    parser.add_argument("--concept", default="tree")
    parser.add_argument("--layer", default="layer4")
    parser.add_argument("--out", type=Path, required=True, help="where runs are kept, and go on")
    parser.add_argument("--schedules", nargs="+", choices=list(SCHEDULES), default=["published", "fast", "quick"])
    parser.add_argument("--steps", type=int, default=500, help="updates of the published schedule")
    parser.add_argument("--pool", type=int, default=10_000, help="images of the published schedule's pool")
    parser.add_argument("--images", type=int, default=100, help="evaluation images of each kind")
    parser.add_argument("--top", type=int, default=20, help="units of the clipped set")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print numbers only")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    source = open_source(given.study)
    results = run(given, source)
    colour = concept_colours(source.dissection.vocabulary)[source.named(source.concept(given.concept))]
    text = json.dumps(json.loads(json.dumps(results), parse_constant=lambda _: None), indent=2)  # NaN is no JSON
    write_text(given.out / "ace.json", text + "\n")
    write_text(given.out / "ace.svg", figure(results["curves"], given.concept, colour))
    print(text if given.json else report(results["curves"], results["summary"]))


if __name__ == "__main__":
    main()
