"""The plain commands, one function each: from arguments to a result, and its answer.

What is heavy is imported where it is used, so that ``ganatomy --help`` answers at once.
"""

import contextlib
import dataclasses
import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ganatomy.cli.answers import announce, answer, print_json, progress, rows
from ganatomy.core.errors import BadFile, BadModel, BadValue, UnknownName

if TYPE_CHECKING:
    from ganatomy.cli.checks import Finding
    from ganatomy.experiments.dissect_spec import DissectSpec
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.experiments.forecast import Forecast
    from ganatomy.models.generators import Subject

CALIBRATION_BATCH = 8


DEMOS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "church": ({"generator": "bundled:church", "out": Path("ganatomy-demo")}, {}),
    "words": (
        {
            "generator": "bundled:church-words?prompts=a {season} church by {time}",
            "segmenter": "bundled:scenes?size=64",
            "layers": ("up2@3", "up2@6"),
            "images": 32,
            "out": Path("ganatomy-demo-words"),
        },
        {"layer": "up2", "at_steps": "1..8", "concept": "cloud", "top": 12, "images": 32, "random": 2},
    ),
}
"""What the demo dissects, by name, and how it ablates then, if at all."""


def demo(arguments: Namespace) -> None:
    """Dissect a bundled generator; of the text-to-image model, ablate a concept at all steps, too."""
    import ganatomy
    from ganatomy.cli import terminal
    from ganatomy.cli.causal_runs import result_json
    from ganatomy.cli.pages import write_page
    from ganatomy.remote import display_path

    options, ablation = DEMOS[vars(arguments).pop("model")]
    arguments = Namespace(**{**options, **vars(arguments)})
    result = _measured_dissection(arguments)
    if result is None:
        return None
    if not ablation:
        return _show_dissection(arguments, result)
    announce(arguments, f"without {ablation['top']} units for {ablation['concept']}, at all steps:")
    ablation = {**ablation, "images": min(ablation["images"], result.spec.images)}
    run = {"device": arguments.device, "engine": arguments.opened_engine, "progress": progress(arguments)}
    effect = ganatomy.ablate(arguments.out, **ablation, **run)
    page, place = effect.study.directory / "report.html", display_path(effect.study.directory)
    write_page(effect, page, effect.study.directory)

    def show() -> None:
        terminal.show_result(effect)
        terminal.print_report(page)

    found = {"study": place, "report": str(page), **result_json(effect)}
    return _show_dissection(arguments, result, show, {"ablation": found})


def dissect(arguments: Namespace) -> None:
    """Dissect a generator, write the report, and show the result."""
    if result := _measured_dissection(arguments):
        _show_dissection(arguments, result)


def _measured_dissection(arguments: Namespace) -> "Dissection | None":
    """Dissect a generator and write the report; None where only its cost is asked for, which is shown."""
    from ganatomy.cli import terminal
    from ganatomy.cli.experiments import given_options
    from ganatomy.cli.pages import write_page
    from ganatomy.experiments.dissect import run
    from ganatomy.experiments.dissect_spec import RUN, DissectSpec
    from ganatomy.experiments.dtype import begin, choose_dtype
    from ganatomy.experiments.forecast import forecasts
    from ganatomy.experiments.model_pair import ModelPair
    from ganatomy.remote import display_path

    given = given_options(arguments)
    how = RUN.take(given)
    spec = DissectSpec(**{f.name: given[f.name] for f in dataclasses.fields(DissectSpec) if f.name in given})
    if "out" not in arguments:
        arguments.out = default_directory(spec)
    opened = ModelPair(spec.generator, spec.segmenter, arguments.device)
    choice = choose_dtype(spec, opened, None if arguments.overwrite else arguments.out)
    with _naming_layers(spec.generator):
        costs = forecasts(choice.spec, choice.models, given.get("memory"), how)
    if choice.message:
        announce(arguments, choice.message)
    if "dry_run" in arguments:
        answer(
            arguments,
            lambda: terminal.print_line("\n".join(_cost_text(spec, cost, option) for option, cost in costs.items())),
            lambda: {option or "as asked": dataclasses.asdict(cost) for option, cost in costs.items()},
            lambda: [{"with": option, **dataclasses.asdict(cost)} for option, cost in costs.items()],
        )
        return None
    begin_anew(arguments, arguments.out)
    study, (spec, models, _) = begin(choice, arguments.out, arguments.opened_engine, progress(arguments), how)
    with study:
        if not study.finished:
            pair = " through ".join(name.removesuffix(":") for name in (spec.generator, spec.segmenter))
            place = display_path(arguments.out)
            if not spec.layers and (chosen := _chosen_text(models.subject)):
                announce(arguments, chosen)
            announce(arguments, f"{pair}: {_cost_text(spec, costs[''])} on {arguments.device}, in {place}")
        result = run(spec, study, models, given.get("memory"))
    write_page(result, arguments.out / "report.html", result.study.directory)
    return result


def _show_dissection(
    arguments: Namespace,
    result: "Dissection",
    more: Callable[[], None] = lambda: None,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Answer with a dissection, and with what else was measured of it."""
    from ganatomy.cli import terminal
    from ganatomy.remote import display_path

    page = arguments.out / "report.html"
    own = {"study": display_path(arguments.out), "report": str(page)}

    def show() -> None:
        terminal.show(result)
        terminal.print_report(page)
        more()

    return answer(arguments, show, lambda: {**own, **dissection_json(result), **facts}, lambda: result.table)


def begin_anew(arguments: Namespace, directory: Path) -> None:
    """With ``--overwrite``, remove the study that is there."""
    from ganatomy.remote import display_path
    from ganatomy.study.removal import remove_study

    if arguments.overwrite and (removed := remove_study(directory)):
        announce(arguments, f"removed {removed} from {display_path(directory)}")


def default_directory(spec: "DissectSpec") -> Path:
    """Return where a dissection goes that was given no directory: its name has the model and a digest of the question.

    >>> from ganatomy.experiments.dissect_spec import DissectSpec
    >>> default_directory(DissectSpec("progan:runs/church.pth?pixelnorm=no")).name.split("-")[0]
    'church'
    """
    from ganatomy.study import spec_digest

    family, _, argument = spec.generator.partition("?")[0].partition(":")
    stem = re.sub(r"\W+", "-", Path(argument).stem).strip("-") or family
    return Path(f"{stem}-{spec_digest(spec):.8}")


def _chosen_text(subject: "Subject") -> str:
    """Say which layers are taken where none are named, if these are not all."""
    from ganatomy.models.generators.protocol import listed_layers

    listed = list(listed_layers(subject))
    if len(listed) == len(subject.layers):
        return ""
    few = f"layers {', '.join(listed)}" if len(listed) <= 16 else f"{len(listed)} layers, {listed[0]} … {listed[-1]}"
    return f"{few}; --layers takes others, ganatomy layers shows which there are"


def _cost_text(spec: "DissectSpec", cost: "Forecast", option: str = "") -> str:
    from ganatomy.cli import terminal

    start = f"with {option}: " if option else ""
    again = f", images drawn {cost.passes} times for want of memory" if cost.passes > 1 else ""
    images = " + ".join([str(spec.images)] * (cost.images // spec.images))  # scored, and to choose levels by
    return (
        f"{start}{images} images{again}, about {terminal.duration(cost.seconds)}, "
        f"{terminal.size(cost.memory_bytes)} of memory, {terminal.size(cost.disk_bytes)}"
    )


def dissection_json(result: "Dissection") -> dict[str, Any]:
    """Return what ``--json`` prints of a dissection."""
    return {
        "warnings": result.warnings,
        "spec": dataclasses.asdict(result.spec),
        "dtype": result.facts.get("dtype"),
        "layers": rows(result.by_layer),
        "concepts": rows(result.concepts),
    }


def merge(arguments: Namespace) -> None:
    """Copy the shards of a study, counted in several places, into one directory."""
    from ganatomy.cli import terminal
    from ganatomy.remote import display_path, download, upload
    from ganatomy.study.merge import merge_parts
    from ganatomy.study.parts import numbers

    out = arguments.out or arguments.directories[0]
    parts = merge_parts([download(each) for each in arguments.directories], download(out))
    upload(out)
    if arguments.format == "json":
        return print_json({"study": display_path(out), "parts": parts})
    for name, found in parts.items():
        terminal.print_line(f"{display_path(out)} has {numbers(found)} of {name}")
    return terminal.print_line("the same command as before merges them there and goes on: with --shard, or without")


def trust(arguments: Namespace) -> None:
    """Allow the models that a study names to be opened, and list them."""
    from ganatomy.api.opening import trust as record_trust
    from ganatomy.cli import terminal

    names = record_trust(arguments.directory)
    if arguments.format == "json":
        return print_json({"study": str(arguments.directory), "trusted": names})
    return terminal.print_line(
        "\n".join(f"trusted: {name}" for name in names) or "it names only data, which needs no trust"
    )


def doctor(arguments: Namespace) -> int:
    """Say what works here; 0 if a dissection would run, else 1. It imports nothing but Python, which always works."""
    from ganatomy.cli.checks import examine

    found = examine()
    broken = ", ".join(finding.name for finding in found if finding.state == "broken")
    findings = [dataclasses.asdict(finding) for finding in found]
    content = {"works": not broken, "findings": findings}
    answer(arguments, lambda: _show_findings(found, broken), lambda: content, lambda: findings)
    return 1 if broken else 0


def _show_findings(found: "Sequence[Finding]", broken: str) -> None:
    width, topic = max(len(finding.name) for finding in found), ""
    for finding in found:
        heading = f"{finding.topic}\n" if finding.topic != topic else ""
        topic, fix = finding.topic, f"; {finding.fix}" if finding.fix else ""
        sys.stdout.write(f"{heading}  {finding.state:7}{finding.name:{width}}  {finding.message}{fix}\n")
    sys.stdout.write(f"\ndissection will not run here: {broken}\n" if broken else "\ndissection runs here\n")


def calibrate(arguments: Namespace) -> None:
    """Choose thresholds, show where each comes from, and print the segmenter's name with them."""
    import pandas as pd
    import torch

    from ganatomy.cli import terminal
    from ganatomy.models.generators import open_subject
    from ganatomy.models.segmenters import open_segmenter
    from ganatomy.models.segmenters.open_vocabulary import FAMILIES, OpenVocabularySegmenter
    from ganatomy.models.segmenters.thresholds import calibrate as choose_thresholds
    from ganatomy.models.segmenters.thresholds import with_thresholds
    from ganatomy.report.tables import Column, Table

    if arguments.images < 1:
        raise BadValue(f"--images {arguments.images}: expected at least 1")
    segmenter = open_segmenter(arguments.segmenter, arguments.device)
    if not isinstance(segmenter, OpenVocabularySegmenter):
        known = " or ".join(dict.fromkeys(FAMILIES.values()))
        raise BadValue(f"{arguments.segmenter} has no thresholds to choose; expected a {known}")
    reference = None if arguments.against is None else open_segmenter(arguments.against, arguments.device)
    generator = open_subject(arguments.generator, arguments.device)
    latents = torch.split(generator.latents(range(arguments.images), arguments.seed), CALIBRATION_BATCH)
    images = torch.cat([generator.observe(z, []).images.cpu() for z in latents])
    found = choose_thresholds(segmenter, images, reference)
    spec = with_thresholds(arguments.segmenter, [each.threshold for each in found])
    table = pd.DataFrame(found, columns=["concept", "threshold", "how", "quality", "shown"])

    def show() -> None:
        terminal.show_tables(Table("concepts", "Thresholds", tuple(Column(str(name)) for name in table), table))
        terminal.print_line(shlex.quote(spec))

    answer(arguments, show, lambda: {"segmenter": spec, "concepts": rows(table)}, lambda: table)


def render_scenes(arguments: Namespace) -> None:
    """Draw scenes into a directory."""
    from ganatomy.cli import terminal
    from ganatomy.scenes.folder import write_scenes

    ids = range(max(arguments.count, 0))
    with writing(arguments.out):
        write_scenes(arguments.out, arguments.category, ids, arguments.size, arguments.seed, progress(arguments))
    terminal.print_line(f"{len(ids)} scenes in {arguments.out}")


@contextlib.contextmanager
def _naming_layers(generator: str) -> Iterator[None]:
    """Add where layers are listed to the error of an unknown layer."""
    try:
        yield
    except (UnknownName, BadModel) as error:
        if str(error).startswith(("unknown layer", "layer ")):
            error.add_note(f"see: ganatomy layers {shlex.quote(generator)}")
        raise


@contextlib.contextmanager
def writing(path: Path, study: Path | None = None) -> Iterator[None]:
    """Turn an error of writing into one line; that of a page says where the finished study is that it shows."""
    try:
        yield
    except OSError as error:
        kept = f"; the study is finished and kept in {study}" if study else ""
        raise BadFile(f"cannot write {path} ({error.strerror or error}){kept}") from error
