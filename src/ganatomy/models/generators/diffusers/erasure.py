"""Ablations of a pipeline of diffusers that run without this package: as weights, or as a program of a few lines."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganatomy.core.errors import BadModel
from ganatomy.core.files import write_text
from ganatomy.core.layer_steps import UPDATE, split_layer
from ganatomy.interventions import Intervention
from ganatomy.models.generators.diffusers.checkpoint import library
from ganatomy.models.generators.diffusers.pipeline import PipelineSampler
from ganatomy.models.generators.hooks import MapForm
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.models.generators.weight_folding import LATENTS, alike
from ganatomy.models.generators.word_maps import SUFFIX

PROGRAM, RECORD = "erase.py", "erase.json"
LINEAR = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True)
class Erasure:
    """What `export_erasure` wrote.

    Attributes:
        file: the folder of the network with plain weights, or the program; None where there is neither.
        how: which weights were changed, or why none were.
    """

    file: Path | None
    how: str


@dataclass(frozen=True)
class Site:
    """Units of a module that are switched off at some steps."""

    module: str
    form: MapForm
    steps: tuple[int, ...]
    units: tuple[int, ...]


def export_erasure(directory: Path, generator: SampledGenerator, edits: Sequence[Intervention]) -> Erasure:
    """Write ablations of a pipeline so that they run without this package.

    Where each is of a linear layer or a convolution at all steps, rows of its weights are 0: then the network is
    written, ``DIR/unet`` or ``DIR/transformer``, as diffusers reads it. Else it is a program that hooks the modules.

    Args:
        directory: where to.
        generator: of a pipeline.
        edits: whole units that are set to 0 everywhere.
    """
    sampler = generator.sampler
    if not isinstance(sampler, PipelineSampler):
        return Erasure(None, "it is no pipeline of diffusers")
    try:
        sites = _sites(generator, edits)
    except BadModel as error:
        return Erasure(None, str(error))
    try:
        return Erasure(_write_weights(directory, generator, sampler, sites, edits), "rows of weights are 0")
    except BadModel as error:
        reason = str(error)
    try:
        return Erasure(_write_program(directory, generator, sampler, sites), reason)
    except BadModel as error:
        return Erasure(None, f"{reason}; {error}")


def _sites(generator: SampledGenerator, edits: Sequence[Intervention]) -> list[Site]:
    """Return what is switched off, module by module."""
    found: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for edit in edits:
        block, step = split_layer(edit.layer)
        if block.endswith((UPDATE, SUFFIX)) or "#" in block:
            raise BadModel(f"{block} is no output of a module that is called once a step")
        stroke, *more = edit.strokes()
        on = stroke.alpha > 0
        off = not more and bool((stroke.alpha[on] == 1).all()) and not bool(stroke.value[on].any())
        if not off or not bool((stroke.where == 1).all()):
            raise BadModel(f"the edit of {edit.layer} does more than switch units off everywhere")
        found.setdefault((block, tuple(stroke.alpha.nonzero()[:, 0].tolist())), []).append(step or 0)
    return [Site(block, generator.form(block), tuple(steps), units) for (block, units), steps in found.items()]


def _write_weights(
    directory: Path,
    generator: SampledGenerator,
    sampler: PipelineSampler,
    sites: Sequence[Site],
    edits: Sequence[Intervention],
) -> Path:
    """Write the network with rows of weights that are 0; the generator is left as it was."""
    network: Any = sampler.network
    for site in sites:
        part = network.get_submodule(site.module)
        if not isinstance(part, LINEAR):
            raise BadModel(f"{site.module} is a {type(part).__name__}, and no linear layer or convolution")
        if site.steps != tuple(range(1, sampler.steps + 1)):
            raise BadModel(f"{site.module} is switched off at some of the {sampler.steps} steps only")
    if generator.edited_rows != "all":
        raise BadModel("only half of the rows of each call are edited; half=both edits all")
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    z = generator.latents(range(LATENTS), 0)
    expected = generator.edited(z, edits)
    try:
        with torch.no_grad():
            for site in sites:
                for weight in network.get_submodule(site.module).parameters(recurse=False):
                    weight[list(site.units)] = 0
        generator.forget()
        if not alike(generator.observe(z, ()).images, expected):
            raise BadModel("with such weights it draws other images")
        network.save_pretrained(directory / sampler.part, safe_serialization=True)
    finally:
        network.load_state_dict(kept)
        generator.forget()
    return directory / sampler.part


def _write_program(
    directory: Path, generator: SampledGenerator, sampler: PipelineSampler, sites: Sequence[Site]
) -> Path:
    """Write a program that switches the units off by hooks, and what it reads."""
    call = inspect.signature(getattr(library(), sampler.name).__call__).parameters
    if "callback_on_step_end" not in call or not (sampler.is_doubled or sampler.halves == 1):
        raise BadModel(f"the call of a {sampler.name} does not say which step it is at, or has rows in another order")
    listed = [
        {
            "module": site.module,
            "position": site.form.position,
            "tokens": None if site.form.grid is None else [site.form.grid.places.start, site.form.grid.places.stop],
            "steps": list(site.steps),
            "units": list(site.units),
        }
        for site in sites
    ]
    edit = {
        "network": sampler.part,
        "scheduler": sampler.scheduler,
        "steps": sampler.steps,
        "rows": generator.edited_rows,
        "call": sampler.pipeline_call,
        "sites": listed,
    }
    write_text(directory / RECORD, json.dumps(edit, indent=1) + "\n")
    write_text(directory / PROGRAM, Path(__file__).with_name("erase_script.py").read_text(encoding="utf-8"))
    return directory / PROGRAM
