"""``ganatomy judge``: a sparse autoencoder beside other dictionaries of its layer."""

import dataclasses
from argparse import Namespace
from typing import Any

from ganatomy.api import autoencoders as api
from ganatomy.api.calls import Command
from ganatomy.cli.answers import answer, progress, rows
from ganatomy.cli.engine import add_engine
from ganatomy.cli.experiments import add_options, given_options
from ganatomy.cli.pages import indexed
from ganatomy.cli.parser import OUTPUT, add_command, study
from ganatomy.cli.verbs import writing


def add_judge(commands: Any) -> None:
    """Add the command."""
    text = "set a sparse autoencoder beside units, a rotation, principal directions and an untrained one"
    example = "judge 'sae:bundled:church?layer=layer5&file=bundled:church-sae' --out judged"
    parser = add_command(commands, "judge", run, text, example)
    parser.add_argument("autoencoder", metavar="SAE", help="sae:GENERATOR?layer=L&file=FILE")
    text = "page, tables, the other dictionaries and the dissections go here"
    parser.group(OUTPUT).add_argument("--out", type=study, metavar="DIR", required=True, help=text)
    add_options(parser, [Command(api.judge)], skip=("autoencoder",))
    add_engine(parser)


def run(arguments: Namespace) -> None:
    """Measure, write the page, and show the result."""
    from ganatomy.cli import terminal
    from ganatomy.report.dictionaries import check_directory, dictionary_table, write_judgement
    from ganatomy.training.dictionaries.judgement import run_judgement
    from ganatomy.training.dictionaries.spec import DictionarySpec

    given = given_options(arguments)
    spec = DictionarySpec(
        **{each.name: given[each.name] for each in dataclasses.fields(DictionarySpec) if each.name in given}
    )
    how = (arguments.device, arguments.opened_engine, progress(arguments))
    found = run_judgement(spec, check_directory(arguments.out), *how)
    with indexed([arguments.out]), writing(arguments.out):
        page = write_judgement(found, arguments.out)

    def show() -> None:
        terminal.warn(found)
        terminal.show_tables(dictionary_table(found))
        terminal.print_line(found.summary())
        terminal.print_report(page)

    facts = {"report": str(page), "spec": dataclasses.asdict(spec), "warnings": found.warnings, "notes": found.notes}
    tables = {"measures": found.table, "separations": found.separations}
    answer(arguments, show, lambda: facts | {name: rows(own) for name, own in tables.items()}, lambda: found.table)
