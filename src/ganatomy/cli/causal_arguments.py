"""What may be typed after ``ganatomy ablate``, ``insert``, ``apply``, ``ace`` and the other causal commands."""

import argparse
from typing import Any

from ganatomy.cli import causal_verbs as verbs
from ganatomy.cli.engine import add_engine
from ganatomy.cli.parser import Parser, add_command, names, study, study_file


def add_causal(commands: Any) -> None:
    """Add the causal commands."""
    _add_ablate(commands)
    _add_insert(commands)
    _add_apply(commands)
    _add_ace(commands)
    _add_capacity(commands)
    _add_setting(commands)
    _add_trace(commands)
    _add_accuracy(commands)
    _add_artifacts(commands)
    _add_quality(commands)
    _add_repair(commands)


def _add_ablate(commands: Any) -> None:
    parser = add_command(commands, "ablate", verbs.ablate, "switch units off, and see what changes")
    _add_layers(parser)
    _add_units(parser)
    parser.add_argument("--each", action="store_true", help="every unit of the layer, one at a time")
    parser.add_argument("--at", type=_at, metavar="WHERE", help="everywhere; R,C; T,L,B,R: places, from 0 (everywhere)")
    parser.add_argument("--cell", type=int, metavar="N", help="with --at R,C: N × N places from there (1)")
    parser.add_argument("--strength", type=float, metavar="A", help="how far the units are taken, 0 to 1 (1)")
    parser.add_argument("--random", type=int, metavar="N", help="random sets to compare with (5)")
    _add_sample(parser)


def _add_insert(commands: Any) -> None:
    parser = add_command(commands, "insert", verbs.insert, "set units to what they are where a concept is")
    _add_layers(parser, "the last that can be aimed at")
    _add_units(parser)
    _add_insertion(parser)
    where = "everywhere; R,C; T,L,B,R: places, from 0; each: one place at a time (everywhere)"
    parser.add_argument("--at", type=_at_or_each, metavar="WHERE", help=where)
    parser.add_argument("--stride", type=int, metavar="N", help="with --at each: from one place to the next (the cell)")
    parser.add_argument("--strength", type=float, metavar="A", help="how far the units are taken, 0 to 1 (1)")
    parser.add_argument("--random", type=int, metavar="N", help="random sets to compare with (5)")
    _add_sample(parser)


def _add_apply(commands: Any) -> None:
    parser = add_command(commands, "apply", verbs.apply, "make the edits of a file, and see what changes")
    _add_study(parser)
    parser.add_argument("--edit", type=study_file, metavar="FILE", required=True, help="as edit.json of a study")
    parser.add_argument("--random", type=int, metavar="N", help="random sets to compare with (5)")
    _add_sample(parser)


def _add_ace(commands: Any) -> None:
    parser = add_command(commands, "ace", verbs.ace, "find the units that make a concept appear and vanish")
    _add_layer(parser)
    parser.add_argument("--concept", metavar="A,B", required=True, help="one, or several in turn")
    parser.add_argument("--top", type=int, metavar="N", help="so many units are kept (20)")
    parser.add_argument("--pool", type=int, metavar="N", help="pictures that are searched for places (2000)")
    parser.add_argument("--quick", action="store_true", help="the same as --schedule quick")
    parser.add_argument("--schedule", metavar="NAME", help="fast, quick, or published (fast)")
    _add_sample(parser)


def _add_capacity(commands: Any) -> None:
    parser = add_command(commands, "capacity", verbs.capacity, "try every way to insert a concept, one place a picture")
    _add_study(parser)
    parser.add_argument("--layers", type=names, metavar="A,B", required=True, help="layers to try")
    parser.add_argument("--concept", metavar="NAME", required=True, help="what is inserted")
    parser.add_argument("--on", metavar="A,B", help="only at places that mostly show one of these (any)")
    parser.add_argument("--tops", type=_numbers, metavar="N,N", help="so many of the units of each ranking (20,40)")
    parser.add_argument("--by", type=names, metavar="A,B", help="rankings: iou, ace, random (iou)")
    parser.add_argument("--cells", type=_numbers, metavar="N,N", help="N × N places at a time (1,2,3)")
    parser.add_argument("--multiples", type=_factors, metavar="X,X", help="so many times the constant (1,2,3)")
    parser.add_argument("--usual", type=float, metavar="S", help="only places that show it so often, 0 to 1 (0)")
    parser.add_argument("--least", type=float, metavar="S", help="it appears where it covers such a share (0.2)")
    parser.add_argument("--donors", type=int, metavar="N", help="pictures that lend their features (64)")
    parser.add_argument("--margin", type=int, metavar="N", help="places around that are lent, too (1)")
    parser.add_argument("--pool", type=int, metavar="N", help="pictures that the constant is measured on (2000)")
    _add_sample(parser)


def _add_setting(commands: Any) -> None:
    parser = add_command(commands, "setting", verbs.setting, "find the setting that inserts a concept best")
    _add_study(parser)
    parser.add_argument("--layers", type=names, metavar="A,B", help="set all at once (the last that can be aimed at)")
    parser.add_argument("--concept", metavar="A,B", required=True, help="what is inserted: one, or several in turn")
    parser.add_argument("--cell", type=int, metavar="N", help="N × N places at a time (3/16 of the picture's side)")
    parser.add_argument("--pool", type=int, metavar="N", help="pictures that constants are measured on (2000)")
    _add_sample(parser)


def _add_trace(commands: Any) -> None:
    parser = add_command(commands, "trace", verbs.trace, "follow an insertion through every later layer")
    _add_layers(parser, "the last that can be aimed at")
    _add_units(parser)
    _add_insertion(parser)
    _add_sample(parser)


def _add_accuracy(commands: Any) -> None:
    text = "switch units of a classifier off, and see how well each class is told"
    parser = add_command(commands, "accuracy", verbs.accuracy, text)
    _add_layer(parser)
    _add_units(parser)
    parser.add_argument("--each", action="store_true", help="every unit alone, then the best of each class together")
    parser.add_argument("--classes", type=names, metavar="A,B", help="with --each: only the best of these (all)")
    parser.add_argument("--sizes", type=_numbers, metavar="N,N", help="with --each: so many together (1,2,4, … 20)")
    parser.add_argument("--random", type=int, metavar="N", help="random sets to compare with (20; with --each 5)")
    parser.add_argument("--first", type=int, metavar="N", help="number of the first picture (0)")
    _add_sample(parser)


def _add_artifacts(commands: Any) -> None:
    parser = add_command(commands, "artifacts", verbs.artifacts, "find the units that spoil the pictures")
    _add_layer(parser)
    parser.add_argument("--real", metavar="WHERE", required=True, help="real pictures: DIR, zip, Parquet, scenes:NAME")
    parser.add_argument("--reals", type=int, metavar="N", help="so many of them (3000)")
    parser.add_argument("--top", type=int, metavar="N", help="pictures of each unit (300)")
    parser.add_argument("--features", metavar="NAME", help="what describes pictures (bundled:scenes)")
    parser.add_argument("--draws", type=int, metavar="N", help="samples at random to compare with (5)")
    parser.add_argument(
        "--threshold", type=float, metavar="D", help="count concepts without units from this distance on"
    )
    parser.add_argument("--annotations", metavar="WHERE", help="a database of flags to compare with: a file, or a URL")
    _add_sample(parser)


def _add_quality(commands: Any) -> None:
    parser = add_command(commands, "quality", verbs.quality, "measure how far a model's pictures are from real ones")
    _add_study(parser)
    _add_reals(parser)
    _add_sample(parser)


def _add_repair(commands: Any) -> None:
    parser = add_command(commands, "repair", verbs.repair, "switch units off, and see if that repairs the pictures")
    _add_layer(parser)
    parser.add_argument("--worst", type=int, metavar="N", help="the N units whose pictures are farthest from real ones")
    parser.add_argument("--ranking", type=study, metavar="DIR", help="of that artifacts study (beside the dissection)")
    parser.add_argument("--flagged", action="store_true", help="units that people flagged; takes --annotations")
    parser.add_argument("--annotations", metavar="WHERE", help="the database of flags: a file, or a URL")
    parser.add_argument("--units", type=_numbers, metavar="N,N", help="these units, counted from 0")
    parser.add_argument("--top", type=int, metavar="N", help="pictures in which the units are greatest (500)")
    parser.add_argument("--random", type=int, metavar="N", help="random sets to compare with (5)")
    _add_reals(parser)
    _add_sample(parser)


def _add_reals(parser: Parser) -> None:
    parser.add_argument("--real", metavar="WHERE", required=True, help="real pictures: DIR, zip, Parquet, scenes:NAME")
    parser.add_argument("--reals", type=int, metavar="N", help="so many of them (3000)")
    parser.add_argument("--features", metavar="NAME", help="what describes pictures (bundled:scenes)")
    parser.add_argument("--textures", type=int, metavar="N", help="pictures compared by patches; 0: none (500)")


def _add_study(parser: Parser) -> None:
    parser.add_argument("directory", type=study, metavar="STUDY", help="the directory of a dissection")


def _add_layer(parser: Parser) -> None:
    _add_study(parser)
    parser.add_argument("--layer", metavar="NAME", required=True, help="where the units are")


def _add_layers(parser: Parser, default: str = "") -> None:
    _add_study(parser)
    parser.add_argument("--layer", metavar="NAME", help="where the units are")
    said = "or several layers at once" + (f" ({default})" if default else "")
    parser.add_argument("--layers", type=names, metavar="A,B", help=said)


def _add_units(parser: Parser) -> None:
    parser.add_argument("--units", type=_numbers, metavar="N,N", help="these units, counted from 0")
    parser.add_argument("--concept", metavar="NAME", help="or the units that rank highest for this concept")
    parser.add_argument("--top", type=int, metavar="N", help="so many of them (20)")
    parser.add_argument("--by", metavar="RANKING", help="iou, ace or random (iou)")
    parser.add_argument("--ace", type=study, metavar="DIR", help="the ACE study to rank by (beside the dissection)")


def _add_insertion(parser: Parser) -> None:
    parser.add_argument("--multiple", type=float, metavar="X", help="set them to so many times the constant (1)")
    parser.add_argument("--constant", metavar="K", help="k: one value a unit; place: one a unit at each place (k)")
    parser.add_argument("--cell", type=int, metavar="N", help="N × N places at a time (1)")
    parser.add_argument("--pool", type=int, metavar="N", help="pictures that the constant is measured on (2000)")


def _add_sample(parser: Parser) -> None:
    parser.add_argument("--images", type=int, metavar="N", help="pictures to measure on")
    parser.add_argument("--seed", type=int, metavar="N", help="of the pictures, and of what is drawn at random (0)")
    parser.add_argument("--batch", type=int, metavar="N", help="pictures at once (32)")
    parser.add_argument("--out", type=study, metavar="DIR", help="(STUDY-causal/LAYER/…)")
    add_engine(parser)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not whole numbers with commas between them") from None


def _factors(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers with commas between them") from None


def _at(text: str) -> tuple[int, ...] | None:
    """Read a place or a region; None for everywhere."""
    if text == "everywhere":
        return None
    try:
        return _numbers(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither everywhere, nor row,column, nor top,left,bottom,right"
        ) from None


def _at_or_each(text: str) -> tuple[int, ...] | str | None:
    return text if text == "each" else _at(text)
