"""The commands about models: which there are, which can be fetched, what is inside one."""

import inspect
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganatomy.cli.answers import answer, progress
from ganatomy.core.errors import UnknownName
from ganatomy.core.layer_steps import at_step, each_step, spanned, split_layer

if TYPE_CHECKING:
    from ganatomy.models.generators import Subject
    from ganatomy.models.generators.sampling import SampledGenerator
    from ganatomy.models.weights.model_zoo import Record


def models(arguments: Namespace) -> None:
    """List what is bundled, what can be fetched and which families can be opened, or show one card."""
    from ganatomy.cli import terminal
    from ganatomy.models.weights import bundled_names

    if arguments.name is not None:
        chosen = _card(arguments.name)
        return answer(arguments, lambda: terminal.show_card(chosen), lambda: chosen, lambda: [_flat(chosen)])
    cards, published, families = [_card(name) for name in bundled_names()], _published(), _families()
    return answer(
        arguments,
        lambda: terminal.show_models(cards, published, families),
        lambda: {"bundled": cards, "published": published, **families},
        lambda: map(_flat, [*cards, *published]),
    )


def fetch(arguments: Namespace) -> None:
    """Fetch a published model and say how it is opened; without a name, list what can be fetched."""
    from ganatomy.cli import terminal
    from ganatomy.models.weights import fetch_model, published_model

    if arguments.name is None or arguments.list:
        found = _published()
        content = {"published": found}
        return answer(arguments, lambda: terminal.show_published(found), lambda: content, lambda: map(_flat, found))
    model = published_model(arguments.name)
    records = fetch_model(model.name, arguments.source, arguments.to, progress(arguments))
    directory = model.directory if arguments.to is None else arguments.to
    spec = model.spec if arguments.to is None else f"{model.family}:{model.path(directory)}"

    def show() -> None:
        _show_fetched(records, directory)
        terminal.print_line(f"licence: {model.licence}")
        terminal.print_line(f"open it as {spec}")

    files = {file: vars(record) for file, record in records.items()}
    facts = {"name": model.name, "spec": spec, "licence": model.licence, "files": files}
    return answer(arguments, show, lambda: facts, lambda: [{"file": file, **each} for file, each in files.items()])


def _show_fetched(records: "Mapping[str, Record]", directory: Path) -> None:
    from ganatomy.cli import terminal
    from ganatomy.models.weights import named_digits

    for file, record in records.items():
        matches = named_digits(file, record.sha256)  # None: the name has no digits of a checksum
        remarks = (
            [] if matches is None else [f"{'begins' if matches else 'does not begin'} with the digits in its name"]
        )
        if record.source.startswith("http://"):
            remarks.append("came unencrypted, so anybody on the way may have changed it")
        remark = "; ".join(remarks)
        terminal.print_line(f"{directory / file}: {terminal.size(record.bytes)}, from {record.source} on {record.date}")
        terminal.print_line(f"  sha256 {record.sha256}" + (f" ({remark})" if remark else ""))


def layers(arguments: Namespace) -> None:
    """List the layers of a model, and the submodules that are none, with the reason."""
    from ganatomy.cli import terminal
    from ganatomy.models.generators import open_subject
    from ganatomy.models.generators.basis import without_basis
    from ganatomy.models.generators.protocol import layer_facts
    from ganatomy.models.generators.sampling import SampledGenerator

    generator = open_subject(arguments.generator, arguments.device)
    model = without_basis(generator)
    sampled = model if isinstance(model, SampledGenerator) else None
    shown = {name: name for name in generator.layers} if sampled is None else _blocks(generator, sampled)
    seen = generator.observe(generator.latents(range(1), 0), list(shown.values()))
    found = [
        {
            "layer": layer,
            **generator.layers[name]._asdict(),
            "dtype": str(seen.features[name].dtype).removeprefix("torch."),
            "bytes": seen.features[name].nbytes,
        }
        for layer, name in shown.items()
    ]
    others = dict(getattr(generator, "others", {}))
    size = list(seen.images.shape[-2:])
    output = getattr(generator, "output", "")
    facts = {"generator": arguments.generator, "image": size, "layers": found, "others": others}
    facts |= {"output": output} if output else {}
    drawn = f"images of {size[0]}×{size[1]}" + (f", its output {output}" if output else "")
    if stated := layer_facts(generator):
        facts |= {"layer_facts": stated}
        drawn += "".join(f"\n{own['sentence']}" for own in stated.values())
    if sampled is not None:
        facts |= {"steps": sampled.last, "listed_steps": list(sampled.steps)}
        drawn += _steps_line(generator, sampled)
    return answer(
        arguments,
        lambda: terminal.show_layers(found, others, drawn),
        lambda: facts,
        lambda: found,
    )


def _blocks(generator: "Subject", sampled: "SampledGenerator") -> dict[str, str]:
    """Return a layer of each block, for all its steps, by its name; those that are read by directions apart."""
    rotated = getattr(generator, "rotated", {})
    every = {block: [at_step(block, step) for step in range(1, sampled.last + 1)] for block in sampled.blocks}
    units = {block: next((name for name in names if name not in rotated), "") for block, names in every.items()}
    directions = {name: next(each_step(name)) for name in spanned(list(rotated))}
    return {block: name for block, name in units.items() if name} | directions


def _steps_line(generator: "Subject", sampled: "SampledGenerator") -> str:
    """Say which steps there are, how a layer of one is named, and what is dissected where none is."""
    from ganatomy.models.generators.protocol import listed_layers

    block, steps = next(iter(sampled.blocks)), ",".join(map(str, sampled.steps))
    blocks = ", ".join(dict.fromkeys(split_layer(each).block for each in listed_layers(generator)))
    few = f"{'step' if len(sampled.steps) == 1 else 'steps'} {steps.replace(',', ', ')}"
    return (
        f"\neach at every step, {at_step(block, 1)} to {at_step(block, sampled.last)}; a dissection that names no "
        f"layers takes {blocks} at {few} (step={steps} of the model's name)"
    )


def _card(name: str) -> dict[str, Any]:
    from ganatomy.models.weights import MODEL_ZOO, bundled, bundled_names, card

    if name in MODEL_ZOO:
        return next(facts for facts in _published() if facts["name"] == name)
    if name not in bundled_names():
        raise UnknownName("model", name, [*bundled_names(), *MODEL_ZOO])
    return {**card(name), "bytes": bundled(name).stat().st_size}


def _flat(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a card that a cell of a table can hold."""
    return {name: value for name, value in card.items() if not isinstance(value, dict | list)}


def _published() -> list[dict[str, Any]]:
    from ganatomy.models.weights import MODEL_ZOO

    return [
        {
            "name": model.name,
            "spec": model.spec,
            "title": model.title,
            "bytes": model.bytes,
            "licence": model.licence,
            "fetched": not model.missing,
            "directory": str(model.directory),
            "addresses": [base + file for base in model.bases for file in model.files],
        }
        for model in MODEL_ZOO.values()
    ]


def _families() -> dict[str, dict[str, str]]:
    """Say in a sentence what each registered family opens."""
    from ganatomy.models.features import FEATURES
    from ganatomy.models.generators import GENERATORS
    from ganatomy.models.segmenters import SEGMENTERS

    return {
        f"{registry.kind}s": {name: _sentence(registry.opener(name)) for name in registry.names()}
        for registry in (GENERATORS, SEGMENTERS, FEATURES)
    }


def _sentence(opener: object) -> str:
    return (inspect.getdoc(opener) or "").split("\n\n")[0].replace("\n", " ")
