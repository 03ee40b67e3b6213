"""What may be typed after ``ganatomy``. Defaults live in the Specs: an option that is not given is not set."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ganatomy.api import experiments as api
from ganatomy.api.calls import Command
from ganatomy.cli import models_verbs, settings, verbs
from ganatomy.cli.compare import add_compare
from ganatomy.cli.completion import add_completion, complete
from ganatomy.cli.engine import add_engine, add_place
from ganatomy.cli.experiments import add_experiments, add_options
from ganatomy.cli.judge import add_judge
from ganatomy.cli.monitor import add_monitor
from ganatomy.cli.parser import (
    OUTPUT,
    Parser,
    add_command,
    add_device,
    add_format,
    add_quiet,
    add_settings,
    local_directory,
    memory,
    study,
)
from ganatomy.cli.sae import add_sae
from ganatomy.cli.serve import add_serve
from ganatomy.cli.studies import add_studies
from ganatomy.experiments.option_groups import MEASURED, RUN, SAMPLE

GENERATOR = "bundled:church, progan:FILE, torch:module:callable, …"
GROUPS = {
    "Analyse": ("demo", "dissect", "compare", "monitor", "sae", "judge"),
    "Intervene": (),
    "Photographs": ("invert", "edit-photographs"),
    "Quality": ("quality", "artifacts", "repair"),
    "Data": ("list", "show", "report", "serve", "merge", "trust", "scenes"),
    "System": ("models", "layers", "calibrate", "doctor", "completion"),
}
"""Commands by what they are for; those that stand in no group, as most experiments, are interventions."""
START = """\
three commands to start with:
  ganatomy demo                                           dissect the bundled generator: a minute, and a report
  ganatomy dissect GENERATOR --segmenter S --out STUDY    dissect yours; ganatomy models lists what can be opened
  ganatomy serve STUDY                                    paint with its units, in a browser

ganatomy --help lists all commands.
"""


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        import ganatomy

        sys.stdout.write(f"ganatomy {ganatomy.__version__}\n")
        parser.exit()


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; `run` of what comes back is the function to call with it.

    Raises:
        UnknownName: no such verb or option; suggests one.
        BadValue: an argument is missing or of another type.
    """
    parser = build()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks
        complete(parser)
    settings.apply(parser, argv)
    return parser.parse_args(argv)


def build() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(prog="ganatomy", description="See what each unit of a generative image model draws.")
    parser.formatter_class, parser.usage = argparse.RawDescriptionHelpFormatter, "ganatomy [-h] [--version] COMMAND …"
    parser.add_argument("--version", action=_Version, nargs=0, help="say the version and leave")
    parser.set_defaults(run=lambda _: sys.stdout.write(START) and None)
    commands = parser.add_subparsers(prog="ganatomy", metavar="COMMAND", parser_class=Parser, help=argparse.SUPPRESS)
    _add_dissect(commands)
    add_experiments(commands)
    add_compare(commands)
    add_monitor(commands)
    add_sae(commands)
    add_judge(commands)
    add_studies(commands)
    _add_merge(commands)
    add_serve(commands)
    _add_models(commands)
    _add_calibrate(commands)
    add_format(add_command(commands, "doctor", verbs.doctor, "say what works here, what does not, and why", "doctor"))
    _add_scenes(commands)
    add_completion(commands)
    parser.epilog = _grouped(commands)
    return parser


def _grouped(commands: Any) -> str:
    """Return every command and what it does, by group."""
    texts = {action.dest: str(action.help) for action in commands._choices_actions}
    listed = {verb for own in GROUPS.values() for verb in own}
    groups = {**GROUPS, "Intervene": tuple(verb for verb in texts if verb not in listed)}
    lines, width = [], max(map(len, texts)) + 2
    for group, verbs_ in groups.items():
        lines += [f"{group}:", *(f"  {verb:{width}}{texts[verb]}" for verb in verbs_), ""]
    return "\n".join([*lines, "ganatomy COMMAND --help lists the options of a command, with examples."])


def _add_dissect(commands: Any) -> None:
    parser = add_command(
        commands, "demo", verbs.demo, "dissect the bundled generator and write a report", "demo --out demo"
    )
    text = "church, a GAN, or words, a text-to-image model, of which a concept is ablated at all steps, too (church)"
    parser.group(MEASURED).add_argument(
        "--model", metavar="NAME", choices=tuple(verbs.DEMOS), default="church", help=text
    )
    text = "images to measure on (1000; of words 32)"
    parser.group(SAMPLE).add_argument("--images", type=int, metavar="N", help=text)
    add_place(parser, "(ganatomy-demo; ganatomy-demo-words)")
    add_engine(parser)
    parser = add_command(
        commands,
        "dissect",
        verbs.dissect,
        "find what each unit of a generator draws",
        "dissect bundled:church --layers layer4 --images 200 --out study",
    )
    parser.add_argument("generator", metavar="GENERATOR", help=GENERATOR)
    add_options(parser, [Command(api.dissect)], skip=("generator", "memory"))
    text = "of one process; counts do not change (half of what is free)"
    parser.group(RUN).add_argument("--memory", type=memory, metavar="GB", help=text)
    add_place(parser, "the study directory, or a URL (MODEL-DIGEST)")
    add_engine(parser)


def _add_merge(commands: Any) -> None:
    text = "bring the parts of a study together that were counted in several places"
    parser = add_command(commands, "merge", verbs.merge, text, "merge part-1 part-2 --out study")
    parser.add_argument("directories", type=study, nargs="+", metavar="DIR", help="studies with the parts of one run")
    parser.group(OUTPUT).add_argument("--out", type=study, metavar="DIR", default=None, help="(the first of them)")
    add_format(parser, tables=False)


def _add_models(commands: Any) -> None:
    text = "allow the code, and models of the network, that a study names to be opened from it"
    parser = add_command(commands, "trust", verbs.trust, text, "trust study")
    parser.add_argument("directory", metavar="STUDY", help="a finished dissection, made elsewhere")
    add_format(parser, tables=False)
    parser = add_command(
        commands, "layers", models_verbs.layers, "list the layers of a generator", "layers bundled:church"
    )
    parser.add_argument("generator", metavar="GENERATOR", help=GENERATOR)
    add_device(parser)
    add_format(parser)
    text = "list what is bundled, what can be fetched, and what can be opened"
    parser = add_command(commands, "models", models_verbs.models, text, "models church")
    parser.epilog = f"ganatomy models fetch NAME gets a published model. {parser.epilog}"
    parser.add_argument("name", metavar="NAME", nargs="?", default=None, help="show the card of this model")
    add_format(parser)
    fetch = Parser(prog=f"{parser.prog} fetch", description="Get a published model, once; without a name, list them.")
    fetch.set_defaults(run=models_verbs.fetch)
    fetch.add_argument("name", metavar="NAME", nargs="?", default=None, help="upp, progan-church, …")
    fetch.add_argument("--list", action="store_true", default=False, help="list what can be fetched (no)")
    text = "the address or path of a folder that holds its files, or of its only file (where it was published)"
    fetch.add_argument("--from", dest="source", metavar="WHERE", default=None, help=text)
    text = "(the cache, which GANATOMY_CACHE names)"
    fetch.group(OUTPUT).add_argument("--to", type=local_directory, metavar="DIR", default=None, help=text)
    add_format(fetch)
    add_quiet(fetch)
    add_settings(fetch)
    parser.own["fetch"] = fetch


def _add_calibrate(commands: Any) -> None:
    text, example = "choose the thresholds of a segmenter that has some", "calibrate clipseg:FOLDER?concepts=tree,door"
    parser = add_command(commands, "calibrate", verbs.calibrate, text, example)
    parser.add_argument(
        "segmenter", metavar="SEGMENTER", help="clipseg:, sam3: or grounded-sam:, with ?concepts=tree,door"
    )
    parser.add_argument(
        "--generator", metavar="G", default="bundled:church", help="what draws the images (bundled:church)"
    )
    parser.add_argument("--against", metavar="S", default=None, help="a segmenter that knows concepts of it (none)")
    parser.add_argument("--images", type=int, metavar="N", default=64, help="images to look at (64)")
    parser.add_argument("--seed", type=int, metavar="N", default=1, help="of the latents (1, where studies have 0)")
    add_device(parser)
    add_format(parser)


def _add_scenes(commands: Any) -> None:
    scenes = commands.add_parser("scenes", help="the embedded world", description="The embedded world of scenes.")
    scenes.set_defaults(run=lambda _: scenes.print_help())
    actions = scenes.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    parser = add_command(
        actions,
        "render",
        verbs.render_scenes,
        "draw scenes, with an exact label for every pixel",
        "scenes render --category church --count 100 --out scenes",
    )
    parser.add_argument("--category", metavar="NAME", default="church", help="(church)")
    parser.add_argument("--count", type=int, metavar="N", default=1000, help="(1000)")
    parser.add_argument("--size", type=int, metavar="PIXELS", default=64, help="a power of two (64)")
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="(0)")
    parser.group(OUTPUT).add_argument(
        "--out", type=local_directory, metavar="DIR", required=True, help="where the images go"
    )
    add_quiet(parser)
