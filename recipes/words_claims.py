"""Measure the text-to-image model: when a thing is decided, which units cause it, where it may be inserted.

    python recipes/words_claims.py --out runs/words-claims                      # full counts
    python recipes/words_claims.py --out runs/words-claims --quick --docs docs  # fewer images; the guide's tables
    python recipes/words_claims.py --out runs/rehearsal --tiny FILE             # a tiny model, in seconds

Each part is a study of its own in OUT/studies; a second run finds what is finished and goes on with the rest. New
weights are refused in the directory of old ones: give another. OUT gets tables/*.csv and the page's tables.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from causal_claims.page import part
from word_claims.measure import PARTS, Bench, measure
from word_claims.page import HEAD, NAME, parts
from word_claims.plan import PLANS
from word_claims.samples import IMAGE, save_samples

from ganatomy.core.errors import GanatomyError
from ganatomy.core.files import write_text


def main(given: Sequence[str] | None = None) -> None:
    """Measure, and write what came of it."""
    args = parse(given)
    torch.set_num_threads(1)  # on shared cores two are far slower
    try:
        run(args)
    except GanatomyError as error:
        sys.exit(f"words_claims: {error}")


def run(args: argparse.Namespace) -> None:
    """Measure, and write what came of it."""
    bench = Bench.dissected(PLANS[args.plan], args.out, args.tiny)
    found = measure(bench, args.parts)
    (args.out / "tables").mkdir(exist_ok=True)
    for name, table in found.tables.items():
        write_text(args.out / "tables" / f"{name}.csv", table.to_csv(index=False))
    text = HEAD + "".join(part(name, own) for name, own in parts(bench, found).items())
    for root in filter(None, (args.out, args.docs)):
        write_text(root / NAME, text)
    if args.docs:
        save_samples(bench.source.dissection.spec.generator, args.docs / IMAGE)
    print(f"{args.out}: {len(found.tables)} tables, {sum(bench.seconds.values()):.0f} processor seconds")


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="directory for studies and tables")
    parser.add_argument("--docs", type=Path, help="directory of the guide, to write its tables into")
    text = f"only these: {', '.join(PARTS)} (all); of the others the tables say that they were not measured"
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help=text)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="plan", action="store_const", const="quick", default="full", help="fewer images")
    size.add_argument("--tiny", metavar="FILE", default="", help="of a tiny words model and the planted segmenter")
    args = parser.parse_args(given)
    args.plan = "tiny" if args.tiny else args.plan
    return args


if __name__ == "__main__":
    main()
