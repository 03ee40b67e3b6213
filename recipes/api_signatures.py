"""Write the public functions, with explicit keywords, from the Specs and the entries of `EXPERIMENTS`.

    python recipes/api_signatures.py            rewrite src/ganatomy/api/experiments.py and docs/commands.md
    python recipes/api_signatures.py --check    say whether they are as they would be written

An editor, mypy, ``help()`` and the command line read the functions; an option is changed in the Specs and entries.
"""

import argparse
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import UnionType
from typing import Any

from ganatomy.cli.arguments import build
from ganatomy.cli.engine import add_engine
from ganatomy.cli.parser import Parser
from ganatomy.experiments.base import EXPERIMENTS, NAMED, REQUIRED, Experiment, Option, experiment, options_of
from ganatomy.experiments.compare.comparison import QUALITY
from ganatomy.experiments.compare.spec import CompareSpec
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.quality import QualitySpec

ROOT = Path(__file__).parents[1]
WIDTH = 120
HEAD = '''"""The public functions, one an experiment: dissections first, then what is asked about a finished one.

Written by recipes/api_signatures.py from the Specs and from `ganatomy.experiments.base.EXPERIMENTS`; edit those.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ganatomy.api.calls import command, public, run_compare, run_dissect, run_experiment, run_monitor

if TYPE_CHECKING:
{imports}
'''
OUT = '    out: "str | Path | None" = None,\n'
RUN = """    device: str = "cpu",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
"""
OPEN = """    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
"""
RUN_TEXTS = {
    "device": "where models that are opened by name compute: ``cpu``, ``cuda``, ``cuda:1`` …",
    "engine": "counts the shards: a name, as in `open_engine`, or what that opened.",
    "progress": "is told how far it is.",
}
TYPES = {
    "ganatomy.execute": "Engine",
    "ganatomy.generators": "Subject",
    "ganatomy.progress": "Progress",
    "ganatomy.segmenters": "Segmenter",
    "ganatomy.experiments.dissection": "Dissection",
    "ganatomy.experiments.compare.comparison": "Comparison",
    "ganatomy.experiments.monitor.monitoring": "Monitoring",
}


def source() -> str:
    """Return the text of the file."""
    entries = [experiment(name) for name in EXPERIMENTS]
    homes = {**TYPES, **{entry.result.__module__: entry.result.__name__ for entry in entries}}
    imports = "\n".join(f"    from {module} import {name}" for module, name in sorted(homes.items()))
    functions = [dissect(), monitor(), compare(), *(of_experiment(entry) for entry in entries)]
    text = "\n\n".join([HEAD.format(imports=imports), *functions])
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "experiments.py", "-"]
    return subprocess.run(ruff, input=text, text=True, capture_output=True, check=True).stdout


def dissect() -> str:
    """Return the function that dissects a generator."""
    segmenter = Option(
        "segmenter",
        str,
        "bundled:scenes",
        "",
        "a name, as in `open_segmenter`, or an open segmenter; with ``dtype=auto`` it computes "
        "in bfloat16 if that saves time and changes few labels.",
    )
    options = [own for own in options_of(DissectSpec) if own.name not in NAMED]
    head = ("generator", "str | Subject", "a name, as in `open_generator`, or an open model, as of `as_generator`.")
    texts = {
        "memory": "how many bytes one process may take; tables that do not fit are counted in several passes, to the "
        "same counts. Half of what is free, if it is not given.",
        "out": "the study directory, or a URL; the same call resumes there, or finds its answer at once. A new "
        "temporary one, if it is not given.",
        **RUN_TEXTS,
    }
    return function(
        "@public",
        "dissect",
        "find what each unit of a generator draws",
        'ganatomy.dissect("bundled:church", images=200).units',
        head,
        [segmenter, *options],
        "    memory: int | None = None,\n" + OUT + RUN,
        texts,
        ("Dissection", "run_dissect(locals())"),
    ).replace("    segmenter: str =", '    segmenter: "str | Segmenter" =')


def monitor() -> str:
    """Return the function that dissects the checkpoints of a training."""
    own = [
        Option("out", str | Path, REQUIRED, REQUIRED, "the directory; what it has already is not dissected again."),
        Option("opening", str | None, None, None, "what opens a file, with ``{}`` in its place."),
        Option("steps", Sequence[int] | None, None, None, "of each checkpoint; else they are read from the names."),
    ]
    options = [each for each in options_of(DissectSpec) if each.name not in {"generator", "dissection"}]
    options = [each._replace(default=DissectSpec.segmenter) if each.name == "segmenter" else each for each in options]
    return function(
        "@public",
        "monitor",
        "dissect checkpoints of one training, and follow its units from one to the next",
        'ganatomy.monitor(["run/1000.pth", "run/2000.pth"], out="monitor", opening="progan:{}").table',
        ("checkpoints", "Sequence[str | Path]", "files, or names of generators."),
        [*own, *options],
        RUN,
        {"device, engine, progress": "of the run, as of `dissect`."},
        ("Monitoring", "run_monitor(locals())"),
    )


def compare() -> str:
    """Return the function that sets dissections side by side."""
    spec = [own._replace(default=None) if own.name == "names" else own for own in options_of(CompareSpec)]
    measured = [
        own._replace(default=None, usual=REQUIRED if own.name == "real" else own.usual)
        for own in options_of(QualitySpec)
        if own.name in QUALITY
    ]
    out = "a directory for the page, the tables and the figures; nothing is written if it is not given."
    return function(
        "@public",
        "compare",
        "compare dissections: what do they draw, and what only one of them, beyond the error of the sample?",
        'ganatomy.compare(["church", "livingroom"], layer=["layer4"]).changes',
        ("studies", "Sequence[str | Path | Dissection]", "finished dissections, or their directories."),
        [*spec, *measured],
        OUT + RUN,
        {"out": out, "device, engine, progress": "of the run, as of `dissect`."},
        ("Comparison", "run_compare(locals())"),
    )


def of_experiment(entry: Experiment[Any]) -> str:
    """Return the public function of an experiment on a dissection."""
    texts = {
        "out": "the study directory, or a URL; a place beside the dissection, if it is not given.",
        "device, engine, progress": "of the run, as of `dissect`.",
        "generator, segmenter": "the open models, where open models were dissected.",
    }
    return function(
        f"@command({command(entry)})",
        entry.name,
        entry.summary,
        entry.example,
        ("study", "str | Path | Dissection", "a finished dissection, or its directory."),
        list(entry.options()),
        OUT + RUN + OPEN,
        texts,
        (entry.result.__name__, f'run_experiment("{entry.name}", locals())'),
    )


def function(
    decorator: str,
    name: str,
    summary: str,
    example: str,
    head: tuple[str, str, str],
    options: Sequence[Option],
    run: str,
    run_texts: Mapping[str, str],
    call: tuple[str, str],
) -> str:
    """Return a public function.

    Args:
        decorator, name: of the function.
        summary: what it does, without a full stop.
        example: a line for doctest.
        head: name, type and sentence of the first argument.
        options: the keywords of its own.
        run: the keywords of a run, as they are written.
        run_texts: what they are, by name.
        call: the type of the result, and what returns it.
    """
    first, kind, text = head
    ordered = sorted(options, key=lambda option: option.default is not REQUIRED)
    keywords = "".join(f"    {each.name}: {annotation(each)}{default(each)},\n" for each in ordered)
    result, returned = call
    return (
        f'{decorator}\ndef {name}(\n    {first}: "{kind}",\n    *,\n{keywords}{run}) -> "{result}":\n'
        f'    """{paragraph(sentence(summary), 4)}\n\n'
        f"    >>> import ganatomy\n    >>> {example}  # doctest: +SKIP\n\n"
        f"    Args:\n        {first}: {text}\n{arguments(ordered, run_texts)}\n"
        "    Raises:\n        GanatomyError: what was given cannot be used; the message says what to do.\n"
        f'    """\n    return cast("{result}", {returned})\n'
    )


def command(entry: Experiment[Any]) -> str:
    """Return the arguments of `api.calls.command`."""
    switch = f", switch={entry.switch}" if entry.switch[0] else ""
    several = f", several={entry.several!r}" if entry.several else ""
    return f"{entry.verb!r}{switch}{several}"


def sentence(text: str) -> str:
    """Return a summary as a sentence."""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('?') else '.'}"


def arguments(options: Iterable[Option], run_texts: Mapping[str, str]) -> str:
    """Return the part of a docstring that says what each option is; those of one sentence together."""
    texts: list[tuple[str, str]] = []
    for text, own in groupby(options, lambda option: option.text):
        group = list(own)
        usual = ", ".join(shown for each in group if (shown := usual_text(each)))
        told = text.rstrip(".") + (f" ({usual})" if usual else "") + "."
        texts.append((", ".join(each.name for each in group), told))
    return "".join(f"        {paragraph(f'{name}: {text}', 8, 12)}\n" for name, text in [*texts, *run_texts.items()])


def usual_text(option: Option) -> str:
    """Return the default of an option as documentation writes it; nothing where the sentence says it."""
    value = option.usual
    if value is REQUIRED or value is None or value == () or isinstance(value, bool):
        return ""
    if isinstance(value, tuple):
        if any(isinstance(each, tuple) for each in value):
            return " ".join(":".join(map(str, each)) for each in value)
        steady = len(value) > 4 and value == tuple(range(value[0], value[-1] + 1))
        return f"{value[0]} to {value[-1]}" if steady else ",".join(map(plain, value))
    return plain(value)


def plain(value: Any) -> str:
    """Return a number without what nobody reads."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def paragraph(text: str, indent: int, hanging: int | None = None) -> str:
    """Return a text, broken into lines; the first is indented where it is put."""
    later = " " * (indent if hanging is None else hanging)
    wrapped = textwrap.fill(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped.lstrip()


def annotation(option: Option) -> str:
    """Return the type of a keyword: what a Spec keeps as a tuple may be any sequence."""
    kinds = list(typing.get_args(option.kind)) if isinstance(option.kind, UnionType) else [option.kind]
    if kinds[0] is Path:
        kinds = [str, *kinds]
    if option.default is None and type(None) not in kinds:
        kinds.append(type(None))
    return " | ".join(dict.fromkeys(map(type_text, kinds)))


def type_text(kind: Any) -> str:
    """Return a type as it is written."""
    if kind is type(None):
        return "None"
    if typing.get_origin(kind) in (tuple, Sequence):
        own = [each for each in typing.get_args(kind) if each is not ...]
        several = typing.get_origin(kind) is Sequence or ... in typing.get_args(kind)
        inner = ", ".join(map(type_text, own))
        return f"Sequence[{inner}]" if several else f"tuple[{inner}]"
    return str(kind.__name__) if kind is not Any else "Any"


def default(option: Option) -> str:
    """Return the default as it is written; nothing for an option that must be given."""
    return "" if option.default is REQUIRED else f" = {option.default!r}"


def commands_page() -> str:
    """Return the page of every command and its options; those of every run stand in one place."""
    shared = Parser()
    add_engine(shared)
    every = {flag: table([action]) for action in shared._actions for flag in action.option_strings}
    head = "Every command and its options, as `ganatomy COMMAND --help` lists them."
    run = "Where it computes, and how it answers; the commands that measure have all of these."
    parts = ["# Commands", head, "## Options of a run", run, f"{TABLE}{table(shared._actions)}"]
    for name, parser in commands(build()).items():
        own = [each for each in parser._actions if every.get("".join(each.option_strings[:1])) != table([each])]
        parts += [f"## {name}", str(parser.description), *([f"{TABLE}{rows}"] if (rows := table(own)) else [])]
    return "\n\n".join(parts) + "\n"


TABLE = "| | |\n|---|---|\n"


def table(actions: Iterable[argparse.Action]) -> str:
    """Return a row for each option."""
    shown = [each for each in actions if each.help not in (argparse.SUPPRESS, None) and "-h" not in each.option_strings]
    names = [" ".join([*each.option_strings, str(each.metavar or "")]).strip() or each.dest for each in shown]
    return "\n".join(f"| `{name}` | {cell(each)} |" for name, each in zip(names, shown, strict=True))


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return every command that does something, with its parser."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        return {parser.prog: parser} | {own.prog: own for own in getattr(parser, "own", {}).values()}
    return {name: own for child in inner[0].choices.values() for name, own in commands(child).items()}


def cell(action: argparse.Action) -> str:
    """Return the help of an option as a cell of a table."""
    return str(action.help).replace("%%", "%").replace("|", "\\|").replace("<", "\\<")


WRITTEN = {
    ROOT / "src/ganatomy/api/experiments.py": source,
    ROOT / "docs/commands.md": commands_page,
}
"""What this writes, and how."""

if __name__ == "__main__":
    for path, write in WRITTEN.items():
        if "--check" not in sys.argv:
            path.write_text(write(), encoding="utf-8")
        elif path.read_text(encoding="utf-8") != write():
            sys.exit(f"{path} is old; run this without --check")
