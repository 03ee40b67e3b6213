"""The name of a model in whose layers directions stand for units, within that of the whole: ``sae:MODEL?layer=…``."""

import inspect

from ganatomy.core.registry import join_name, split_name
from ganatomy.models.generators.basis import open_basis
from ganatomy.models.generators.sae import open_sae

FAMILIES = {"basis": open_basis, "sae": open_sae}


def inner_model(generator: str) -> tuple[str, dict[str, str]] | None:
    """Return the name of the model within, and the options that are not the model's; None of any other generator.

    >>> inner_model("basis:bundled:church?layer=layer4&directions=rotation&dtype=float16")
    ('bundled:church?dtype=float16', {'layer': 'layer4', 'directions': 'rotation'})
    """
    family, argument, options = split_name(generator)
    if family not in FAMILIES:
        return None
    known = inspect.signature(FAMILIES[family]).parameters
    within, _, inner = argument.partition(":")
    others = {name: value for name, value in options.items() if name not in known}
    return join_name(within, inner, others), {n: v for n, v in options.items() if n in known}


def innermost_model(generator: str) -> str:
    """Return the name of the model within, or that within this; of any other generator its own.

    >>> innermost_model("sae:bundled:church?layer=layer5&file=bundled:church-sae"), innermost_model("bundled:church")
    ('bundled:church', 'bundled:church')
    """
    while inner := inner_model(generator):
        generator = inner[0]
    return generator
