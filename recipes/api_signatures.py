"""Write the public functions, with explicit keywords, from the Specs and the entries of `EXPERIMENTS`.

    python recipes/api_signatures.py            rewrite src/ganatomy/api and docs/commands.md
    python recipes/api_signatures.py --check    say whether they are as they would be written

An editor, mypy, ``help()`` and the command line read the functions; an option is changed in the Specs and entries.
"""

import argparse
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import UnionType
from typing import Any

from ganatomy.cli.arguments import build
from ganatomy.cli.engine import add_engine
from ganatomy.cli.parser import Parser, add_settings, commands
from ganatomy.experiments.base import EXPERIMENTS, NAMED, REQUIRED, Experiment, Option, experiment, options_of
from ganatomy.experiments.compare.comparison import QUALITY
from ganatomy.experiments.compare.spec import CompareSpec
from ganatomy.experiments.dissect_spec import DissectRun, DissectSpec
from ganatomy.experiments.option_groups import MEASURED
from ganatomy.experiments.option_groups import RUN as RUN_GROUP
from ganatomy.experiments.quality import QualitySpec

ROOT = Path(__file__).parents[1]
WIDTH = 120
HEAD = '''"""The public functions, one an experiment: dissections first, then what is asked about a finished one.

Each raises `GanatomyError` where its arguments cannot be used; the message says what to do. An option is described
once, by the first function that has it.

Written by recipes/api_signatures.py from the Specs and from `ganatomy.experiments.base.EXPERIMENTS`; edit those.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ganatomy.api.calls import command, public, run_compare, run_dissect, run_experiment, run_monitor

if TYPE_CHECKING:
{imports}

OPTION_GROUPS: Mapping[str, str] = {groups}
"""Under which title a help lists an option; of others, what is measured."""
'''
METHODS = '''"""What can be asked about a dissection, as its methods.

Written by recipes/api_signatures.py.
"""

from ganatomy.api import experiments


class Questions:
    """What can be asked about a dissection: each method is the public function of its name, given this dissection."""

{lines}
'''
TYPES = {
    "ganatomy.engines": "Engine",
    "ganatomy.models.generators": "Subject",
    "ganatomy.core.progress": "Progress",
    "ganatomy.models.segmenters": "Segmenter",
    "ganatomy.experiments.dissection": "Dissection",
    "ganatomy.experiments.compare.comparison": "Comparison",
    "ganatomy.experiments.monitor.training_history": "TrainingHistory",
}


def keyword(name: str, kind: Any, text: str, default: Any = None, group: str = MEASURED) -> Option:
    """Return an argument that no Spec has; a type that is a text is written as it is."""
    return Option(name, kind, default, REQUIRED, text, group)


RUN = [
    keyword(
        "device",
        str,
        "where models that are opened by name compute: ``cpu``, ``cuda``, ``cuda:1`` …; ``auto`` takes a GPU if "
        "there is one.",
        "auto",
    ),
    keyword("engine", "str | Engine", "counts the shards: a name, as in `open_engine`, or an open engine.", "local"),
    keyword("progress", "Progress | None", "shows how far the run is."),
]
STUDY = keyword("study", "str | Path | Dissection", "a finished dissection, or its directory.", REQUIRED)
OUT = keyword(
    "out", "str | Path | None", "the study directory, or a URL; a place next to the dissection, if it is not given."
)
OPEN = [
    keyword("generator", "Subject | None", "the open generator, where an open one was dissected."),
    keyword("segmenter", "Segmenter | None", "the open segmenter, where an open one was used."),
]


@dataclass
class Function:
    """A public function.

    Attributes:
        name, summary: what it does, without a full stop.
        example: a line for doctest.
        result: the type of the result.
        options: the arguments; the first is given by its place.
        placed: others that may be, in this order.
        call: what returns the result.
        decorator: of the function.
    """

    name: str
    summary: str
    example: str
    result: str
    options: Sequence[Option]
    call: str
    decorator: str = "@public"
    placed: Sequence[str] = ()

    def source(self, known: dict[tuple[str, str], str]) -> str:
        """Return the function; `known` says where an option with its text is described."""
        own = {option.name: option for option in self.options}
        first, *placed = [next(iter(own)), *self.placed]
        others = [each for name, each in own.items() if name not in (first, *placed)]
        others.sort(key=lambda option: option.default is not REQUIRED)
        keywords = "".join(map(argument, others))
        places = "".join(map(argument, [own[first], *(own[name] for name in placed)]))
        return (
            f"{self.decorator}\ndef {self.name}(\n{places}    *,\n{keywords})"
            f' -> "{self.result}":\n'
            f'    """{paragraph(sentence(self.summary), 4)}\n\n'
            f"    >>> {self.example}  # doctest: +SKIP\n\n"
            f"    Args:\n{self.arguments([own[first], *(own[name] for name in placed), *others], known)}"
            f'    """\n    return cast("{self.result}", {self.call})\n'
        )

    def arguments(self, options: Sequence[Option], known: dict[tuple[str, str], str]) -> str:
        """Return what each option is; those of one sentence together, those of another function as its own."""
        texts: list[tuple[list[str], str]] = []
        elsewhere: dict[str, list[str]] = {}
        for text, own in groupby(options, lambda option: option.text):
            group = list(own)
            decided = ", ".join(shown for each in group if (shown := decided_text(each)))
            described = text.rstrip(".") + (f" ({decided})" if decided else "") + "."
            where = {known.setdefault((each.name, described), self.name) for each in group}
            if where == {self.name}:
                texts.append(([each.name for each in group], described))
            else:
                elsewhere.setdefault(where.pop(), []).extend(each.name for each in group)
        for function, names in elsewhere.items():
            lines = textwrap.wrap(", ".join(names), 90)  # Sphinx reads the names of one line only
            texts += [(line.rstrip(",").split(", "), f"as of `{function}`.") for line in lines]
        return "".join(f"        {paragraph(', '.join(names) + ': ' + text, 8, 12)}\n" for names, text in texts)


def source() -> str:
    """Return the text of the file."""
    entries = [experiment(name) for name in EXPERIMENTS]
    homes = {**TYPES, **{entry.result.__module__: entry.result.__name__ for entry in entries}}
    imports = "\n".join(f"    from {module} import {name}" for module, name in sorted(homes.items()))
    known: dict[tuple[str, str], str] = {}
    functions = [dissect(), monitor(), compare(), *map(of_experiment, entries)]
    options = sorted((each for function in functions for each in function.options), key=lambda option: option.group)
    groups = {each.name: each.group for each in options if each.group != MEASURED}
    text = "\n\n".join([HEAD.format(imports=imports, groups=groups), *(each.source(known) for each in functions)])
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "experiments.py", "-"]
    return subprocess.run(ruff, input=text, text=True, capture_output=True, check=True).stdout


def dissect() -> Function:
    """Return the function that dissects a generator."""
    generator = "a name, as in `open_generator`, or an open model, as of `as_generator`."
    segmenter = (
        "a name, as in `open_segmenter`, or an open segmenter; with ``dtype=auto`` it computes in bfloat16 if that "
        "saves time and changes few labels (bundled:scenes)."
    )
    memory = (
        "how many bytes one process may take; tables that do not fit are counted in several passes, to the same "
        "counts. Half of what is free, if it is not given."
    )
    out = (
        "the study directory, or a URL; the same call resumes there, or finds its answer at once. A new temporary "
        "one, if it is not given."
    )
    return Function(
        "dissect",
        "find what each unit of a generator draws",
        'ganatomy.dissect("bundled:church", images=200).units',
        "Dissection",
        [
            keyword("generator", "str | Subject", generator, REQUIRED),
            keyword("segmenter", "str | Segmenter", segmenter, DissectSpec.segmenter),
            *(own for own in options_of(DissectSpec) if own.name not in NAMED),
            *options_of(DissectRun),
            keyword("memory", int | None, memory, group=RUN_GROUP),
            OUT._replace(text=out),
            *RUN,
        ],
        "run_dissect(locals())",
    )


def monitor() -> Function:
    """Return the function that dissects the checkpoints of a training."""
    return Function(
        "monitor",
        "dissect checkpoints of one training, and follow its units from one to the next",
        'ganatomy.monitor(["run/1000.pth", "run/2000.pth"], out="monitor", opening="progan:{}").table',
        "TrainingHistory",
        [
            keyword("checkpoints", "Sequence[str | Path]", "files, or names of generators.", REQUIRED),
            keyword("out", str | Path, "the directory; what it has already is not dissected again.", REQUIRED),
            keyword("opening", str | None, "what opens a file, with ``{}`` in its place."),
            keyword("steps", Sequence[int] | None, "of each checkpoint; else they are read from the names."),
            keyword("segmenter", str, "a name, as in `open_segmenter` (bundled:scenes).", DissectSpec.segmenter),
            *(own for own in options_of(DissectSpec) if own.name not in NAMED),
            *options_of(DissectRun),
            *RUN,
        ],
        "run_monitor(locals())",
    )


def compare() -> Function:
    """Return the function that sets dissections side by side."""
    spec = [own._replace(default=None) if own.name == "names" else own for own in options_of(CompareSpec)]
    measured = [
        own._replace(default=None, decided=REQUIRED, text=f"{own.text} None to compare no images.")
        if own.name == "real"
        else own._replace(default=None)
        for own in options_of(QualitySpec)
        if own.name in QUALITY
    ]
    studies = "finished dissections, or their directories."
    out = "a directory for the page, the tables and the figures; nothing is written if it is not given."
    return Function(
        "compare",
        "compare dissections: what do they draw, and what only one of them, beyond the error of the sample?",
        'ganatomy.compare(["church", "livingroom"], layer=["layer4"]).changes',
        "Comparison",
        [
            keyword("studies", "Sequence[str | Path | Dissection]", studies, REQUIRED),
            *spec,
            *measured,
            OUT._replace(text=out),
            *RUN,
        ],
        "run_compare(locals())",
    )


def of_experiment(entry: Experiment[Any]) -> Function:
    """Return the public function of an experiment on a dissection.

    Python lets nothing follow a default that has none: what must be given there is `needed`.
    """
    options = {option.name: option for option in entry.options()}
    layer = next((name for name in ("layer", "layers") if name in options), "")
    placed = [name for name in (layer, "concept") if name in options]
    needed: list[str] = []
    for name, before in zip(placed[1:], placed, strict=False):
        if options[name].default is REQUIRED and options[before].default is not REQUIRED:
            text = f"{options[name].text.partition('.')[0]}; it must be given."
            options[name] = options[name]._replace(default=None, decided=REQUIRED, text=text)
            needed.append(name)
    switch = f", switch={entry.switch}" if entry.switch[0] else ""
    several = f", several={entry.several!r}" if entry.several else ""
    must = f", needed={tuple(needed)!r}" if needed else ""
    return Function(
        entry.name,
        entry.summary,
        entry.example,
        entry.result.__name__,
        [STUDY, *options.values(), OUT, *RUN, *OPEN],
        f'run_experiment("{entry.name}", locals())',
        f"@command({entry.verb!r}{switch}{several}{must})",
        placed,
    )


def methods() -> str:
    """Return the text of the class whose methods the questions about a dissection are."""
    return METHODS.format(lines="\n".join(f"    {name} = experiments.{name}" for name in EXPERIMENTS))


def sentence(text: str) -> str:
    """Return a summary as a sentence."""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('?') else '.'}"


def decided_text(option: Option) -> str:
    """Return the default of an option as documentation writes it; nothing where the sentence says it."""
    value = option.decided
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
    if isinstance(option.kind, str):
        return f'"{option.kind}"'
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


def argument(option: Option) -> str:
    """Return an argument of a function."""
    return f"    {option.name}: {annotation(option)}{default(option)},\n"


def default(option: Option) -> str:
    """Return the default as it is written; nothing for an option that must be given."""
    return "" if option.default is REQUIRED else f" = {option.default!r}"


def commands_page() -> str:
    """Return the page of every command and its options; those of every run stand in one place."""
    shared = Parser()
    add_engine(shared)
    add_settings(shared)
    every = {flag: table([action]) for action in shared._actions for flag in action.option_strings}
    run = "Where it computes, and how it answers; the commands that measure have all of these."
    parts = [COMMANDS, "## Options of a run", run, *tables(shared, {})]
    for name, parser in commands(build()).items():
        parts += [f"## {name}", str(parser.description), *tables(parser, every)]
    return "\n\n".join(parts) + "\n"


def tables(parser: argparse.ArgumentParser, but: Mapping[str, str]) -> list[str]:
    """Return a table for each group of options, with its title where there are several."""
    parser.format_help()  # which sorts the groups
    found = []
    for group in parser._action_groups:
        own = [each for each in group._group_actions if but.get("".join(each.option_strings[:1])) != table([each])]
        if rows := table(own):
            found.append((str(group.title), rows))
    return [f"| {title if len(found) > 1 else ' '} | |\n|---|---|\n{rows}" for title, rows in found]


def table(actions: Iterable[argparse.Action]) -> str:
    """Return a row for each option."""
    shown = [each for each in actions if each.help not in (argparse.SUPPRESS, None) and "-h" not in each.option_strings]
    names = [" ".join([*each.option_strings, str(each.metavar or "")]).strip() or each.dest for each in shown]
    return "\n".join(f"| `{name}` | {cell(each)} |" for name, each in zip(names, shown, strict=True))


def cell(action: argparse.Action) -> str:
    """Return the help of an option as a cell of a table."""
    return str(action.help).replace("%%", "%").replace("|", "\\|").replace("<", "\\<")


COMMANDS = """\
# Commands

Every command and its options, as `ganatomy COMMAND --help` lists them, with the default in parentheses.

(values)=
## Values from a file

`--config FILE` reads options from a TOML file. Values above the first table are for every command that has the option,
those of a table for the command of its name. A name is the option without its dashes, with `-` or `_`; a list stands
for commas, `true` and `false` for a switch. Both `--config` and `--set` may be given several times.

```toml
seed = 4
device = "auto"

[dissect]
segmenter = "bundled:scenes"
images = 200
layers = ["layer4", "layer6"]

[ablate]
at = [3, 5]
random = 5
```

```text
ganatomy dissect bundled:church --config run.toml --set images=400 --out study
```

What is typed as an option wins over `--set`, that over `--config`, and that over the default; of several files the
later wins. Arguments without dashes are always typed. Paths in a file start where the command is called.

## Begin anew

A study goes on where it was stopped, and a finished one is shown again; it is never changed. `--overwrite` removes it
once the options are checked and the models open, says what was removed, and begins anew. It refuses, in one line, a
directory that holds anything but a study, one that another process writes to or serves, and one at a URL."""


WRITTEN = {
    ROOT / "src/ganatomy/api/experiments.py": source,
    ROOT / "src/ganatomy/api/methods.py": methods,
    ROOT / "docs/commands.md": commands_page,
}
"""What this writes, and how."""

if __name__ == "__main__":
    for path, write in WRITTEN.items():
        if "--check" not in sys.argv:
            path.write_text(write(), encoding="utf-8")
        elif path.read_text(encoding="utf-8") != write():
            sys.exit(f"{path} is old; run this without --check")
    if "--check" not in sys.argv and "--again" not in sys.argv:
        subprocess.run([sys.executable, __file__, "--again"], check=True)  # the commands follow from the new functions
