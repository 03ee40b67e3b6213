"""Measure the paper's claims about causes on a bundled model (Figures 4, 9, 10, 11, 17; S-6.4, S-6.5).

    python recipes/claims.py --out runs/claims                        # dissects bundled:church first
    python recipes/claims.py --out runs/claims --study STUDY          # or takes a finished dissection
    python recipes/claims.py --out runs/claims --docs docs            # writes the guide's tables and figures, too
    python recipes/claims.py --out runs/claims --workers 2            # uses two cores
    python recipes/claims.py --out runs/claims --docs docs --figure-11  # only where objects are accepted: some minutes
    python recipes/claims.py --out runs/rehearsal --quick             # minutes; --tiny takes seconds

Every experiment is a study of its own in OUT/studies; a second run finds what is finished and goes on with the rest.
OUT gets tables/*.csv, claims-tables.md with images/claims/*.svg, and report.html.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from causal_claims.figures import save_figures
from causal_claims.measure import RUN, Bench, accept, measure, together
from causal_claims.page import IMAGES, page, with_figure_11
from causal_claims.plan import PLANS, Plan
from causal_claims.tables import all_tables

import ganatomy
from ganatomy.core.errors import GanatomyError
from ganatomy.core.files import write_text
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.models.weights import bundled_names

SECOND = "livingroom"
"""The bundled model that Figure 10 is about too, where there is one."""


def main(given: Sequence[str] | None = None) -> None:
    """Measure, and write what came of it."""
    args = parse(given)
    torch.set_num_threads(1)  # on shared cores two are far slower; --workers use the other cores
    try:
        run(args, PLANS[args.plan])
    except GanatomyError as error:
        sys.exit(f"claims: {error}")


def run(args: argparse.Namespace, plan: Plan) -> None:
    """Measure, and write what came of it."""
    study = args.study or dissected(args, plan, plan.generator, "dissection")
    if args.figure_11:
        figure_11(args, opened(args, plan, study, "studies"))
        return
    second = args.other
    if second is None and args.plan != "tiny" and SECOND in bundled_names():
        second = dissected(args, plan, f"bundled:{SECOND}", SECOND)
    bench = opened(args, plan, study, "studies")
    other = opened(args, plan, second, "studies-second") if second else None
    for each in filter(None, (bench, other)):
        each.source.shape(plan.layer)
    found = measure(bench, other)
    tables = all_tables(found)
    (args.out / "tables").mkdir(exist_ok=True)
    for name, table in tables.items():
        write_text(args.out / "tables" / f"{name}.csv", table.to_csv(index=False))
    for root in filter(None, (args.out, args.docs)):
        images = save_figures(found, root / IMAGES)
        write_text(root / "claims-tables.md", page(found, tables, images, [b for b in (bench, other) if b]))
    if found.all():
        ganatomy.write_causal_report(found.all(), args.out / "report.html")
    print(f"{args.out}: {len(found.all())} results; {len(found.skipped)} left out", *found.skipped, sep="\n- ")


def figure_11(args: argparse.Namespace, bench: Bench) -> None:
    """Measure only where objects are accepted, and write that part of tables that were written before."""
    accept(bench)
    for root in filter(None, (args.out, args.docs)):
        path = root / "claims-tables.md"
        images = save_figures(bench.found, root / IMAGES)
        if path.exists():
            write_text(path, with_figure_11(path.read_text(encoding="utf-8"), bench.found, images))
    print(f"{args.out}: {len(bench.found.all())} results", *bench.found.skipped, sep="\n- ")


def opened(args: argparse.Namespace, plan: Plan, study: Path, name: str) -> Bench:
    """Return a model with its dissection, ready to be measured; how many shards at once, the arguments say."""
    return Bench(open_source(study, args.device, run=RUN), plan, args.out / name, together(args.workers))


def dissected(args: argparse.Namespace, plan: Plan, generator: str, name: str) -> Path:
    """Dissect a model, or find that done."""
    directory: Path = args.out / name
    ganatomy.dissect(
        generator, segmenter=plan.segmenter, out=directory, images=plan.dissected, device=args.device
    )  # fmt: skip
    return directory


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="directory for studies, tables, figures and the report")
    parser.add_argument("--study", type=Path, help="a finished dissection (default: one is made in --out)")
    parser.add_argument(
        "--other", type=Path, help=f"one of another category (default: of bundled:{SECOND}, if there is one)"
    )
    parser.add_argument("--docs", type=Path, help="directory of the guide, to write its tables and figures into")
    parser.add_argument("--figure-11", action="store_true", help="measure and write only where objects are accepted")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--workers", type=int, default=1, help="shards counted at once, in threads; as many as free cores"
    )
    size = parser.add_mutually_exclusive_group()
    for name, text in (("quick", "a rehearsal in minutes"), ("tiny", "the planted generator, in seconds")):
        size.add_argument(f"--{name}", dest="plan", action="store_const", const=name, default="full", help=text)
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
