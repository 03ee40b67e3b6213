"""The commands about models: which there are, which can be fetched, what is inside one."""

import inspect
from argparse import Namespace
from typing import Any

from ganatomy.cli.verbs import print_json
from ganatomy.core.errors import UnknownName


def models(arguments: Namespace) -> None:
    """List what is bundled, what can be fetched and which families can be opened, or show one card."""
    from ganatomy.cli import terminal
    from ganatomy.models.weights import bundled_names

    if arguments.name is not None:
        chosen = _card(arguments.name)
        return print_json(chosen) if arguments.json else terminal.show_card(chosen)
    cards, families = [_card(name) for name in bundled_names()], _families()
    if arguments.json:
        return print_json({"bundled": cards, "published": _published(), **families})
    return terminal.show_models(cards, _published(), families)


def fetch(arguments: Namespace) -> None:
    """Fetch a published model and say how it is opened; without a name, list what can be fetched."""
    from ganatomy.cli import terminal
    from ganatomy.models.weights import fetch_model, named_digits, published_model

    if arguments.name is None or arguments.list:
        return print_json({"published": _published()}) if arguments.json else terminal.show_published(_published())
    model = published_model(arguments.name)
    records = fetch_model(model.name, arguments.source, arguments.to, terminal.Bar())
    directory = model.directory if arguments.to is None else arguments.to
    spec = model.spec if arguments.to is None else f"{model.family}:{model.path(directory)}"
    if arguments.json:
        files = {file: vars(record) for file, record in records.items()}
        return print_json({"name": model.name, "spec": spec, "licence": model.licence, "files": files})
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
    terminal.print_line(f"licence: {model.licence}")
    return terminal.print_line(f"open it as {spec}")


def layers(arguments: Namespace) -> None:
    """List the layers of a model, and the submodules that are none, with the reason."""
    from ganatomy.cli import terminal
    from ganatomy.models.generators import open_subject

    generator = open_subject(arguments.generator, arguments.device)
    seen = generator.observe(generator.latents(range(1), 0), list(generator.layers))
    found = [
        {
            "layer": name,
            **shape._asdict(),
            "dtype": str(seen.features[name].dtype).removeprefix("torch."),
            "bytes": seen.features[name].nbytes,
        }
        for name, shape in generator.layers.items()
    ]
    others = dict(getattr(generator, "others", {}))
    size = list(seen.images.shape[-2:])
    output = getattr(generator, "output", "")
    if arguments.json:
        facts = {"generator": arguments.generator, "image": size, "layers": found, "others": others}
        return print_json({**facts, "output": output} if output else facts)
    drawn = f"images of {size[0]}×{size[1]}" + (f", its output {output}" if output else "")
    return terminal.show_layers(found, others, drawn)


def _card(name: str) -> dict[str, Any]:
    from ganatomy.models.weights import MODEL_ZOO, bundled, bundled_names, card

    if name in MODEL_ZOO:
        return next(facts for facts in _published() if facts["name"] == name)
    if name not in bundled_names():
        raise UnknownName("model", name, [*bundled_names(), *MODEL_ZOO])
    return {"bytes": bundled(name).stat().st_size, **card(name)}


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
