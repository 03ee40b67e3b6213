"""Generators that were repaired: ``repaired:DIR`` opens what `write_repaired` wrote.

::

    DIR/repaired.json             the generator's name and fingerprint, the edits, and whether they were folded
    DIR/generator.safetensors     where the edits could be folded: plain weights, in the family's own layout

Where there are plain weights, these are opened, by the family of the generator that was repaired; nothing else is
needed, and other tools open them, too. Else the generator itself is opened, and the edits are applied each time.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ganatomy.core.errors import BadFile, BadModel, BadValue, GanatomyError, UnknownName
from ganatomy.core.files import atomic_write, read_json, write_text
from ganatomy.core.fingerprint import file_sha256, fingerprint
from ganatomy.core.registry import Family, Name, family_of, join_name, split_name
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.core.trust import require_trust, runs_code
from ganatomy.interventions import MAX_BYTES, Intervention, edits_from_json, edits_json
from ganatomy.models.generators.protocol import (
    Edit,
    Generator,
    LayerShape,
    Observation,
    forward_order,
    in_pairs,
    listed_layers,
    onward_edits,
    prompts_of,
)
from ganatomy.models.generators.registry import GENERATORS, open_generator
from ganatomy.models.generators.weight_folding import LATENTS, alike, fold
from ganatomy.models.weights import bundled, card
from ganatomy.remote import download, local_path

FORMAT = 1
RECORD = "repaired.json"
WEIGHTS = "generator.safetensors"
IN_STUDY = "repaired"
"""The directory of the generator in a study of a repair."""
WITH_FILES = ("weights", "images", "directions")
"""Options that may name files."""


@dataclass(frozen=True)
class Written:
    """What `write_repaired` wrote.

    Attributes:
        folded: whether the edits are part of plain weights now.
        reason: which weights were changed; or why none were, and the edits are applied each time.
        file: the plain weights, where there are any.
        name: the name that opens the repaired generator.
    """

    folded: bool
    reason: str
    file: Path | None
    name: str


@dataclass(frozen=True)
class Record:
    """The record of a repair.

    Attributes:
        generator: name of the generator that was repaired, its files by absolute paths.
        near: the same, its files by paths from the directory.
        fingerprint: of that generator.
        edits: as the JSON of `ganatomy.interventions.edits_json`.
        reason: as in `Written`.
        weights: sha256 of the plain weights, where there are any.
    """

    generator: str
    near: str
    fingerprint: str
    edits: Mapping[str, Any]
    reason: str
    weights: str | None


def write_repaired(directory: Path, name: str, generator: Generator, edits: Sequence[Intervention]) -> Written:
    """Write a generator with permanent edits, which ``repaired:DIR`` opens.

    Ablations are folded into plain weights where that draws the same images; else the edits are kept with the
    generator's name.

    Args:
        directory: where to; made if it is not there. What an earlier repair wrote there is replaced.
        name: of the generator, as it was opened.
        generator: that generator.
        edits: to make permanent.

    Raises:
        BadValue: there are no edits, or some are for several images at once.
        BadFile: an edit does not fit the generator, or the name does not open it.
    """
    if not edits:
        raise BadValue("no edits were given, so there is nothing to repair")
    if any(len(step.where) > 1 for edit in edits for step in edit.strokes()):
        raise BadValue("an edit has a map for each of several images; a repair is the same for all of them")
    kept: dict[str, Any] = json.loads(edits_json(edits, generator.fingerprint))
    edits = edits_from_json(json.dumps(kept), generator.layers, generator.fingerprint)
    file, here = directory / WEIGHTS, directory.absolute()
    try:
        reason, digest = _write_folded(file, name, generator, edits), file_sha256(file)
    except BadModel as error:
        reason, digest = str(error), None
        file.unlink(missing_ok=True)
    absolute, near = (
        with_files(name, change) for change in (os.path.abspath, lambda text: os.path.relpath(text, here))
    )
    record = Record(absolute, near, generator.fingerprint, kept, reason, digest)
    if digest is None:
        _open_base(record, here, generator.device, trusted=True)  # an error is better now than later
    write_text(directory / RECORD, json.dumps({"format": FORMAT, **asdict(record)}) + "\n")
    trust = "?trust=yes" if runs_code(absolute) else ""
    return Written(digest is not None, reason, file if digest else None, f"repaired:{directory}{trust}")


@GENERATORS.register("repaired", data=True)
def open_repaired(path: str, /, *, device: torch.device, trust: bool = False) -> Generator:
    """Open a repaired generator: its plain weights where there are any, else the generator with the edits applied.

    Args:
        path: the directory that holds ``repaired.json``, or a study of a repair, which holds that.
        trust: allow it to run the Python code that it names, where the generator that was repaired is code by name.

    Raises:
        BadFile: no such directory; a file is damaged or not the one that was written; or the generator that was
            repaired is gone, or changed.
        BadValue: it would run code, and nobody said that it may.
    """
    directory = _repair_directory(path)
    record = read_record(directory)
    code = [name for name in (record.generator, record.near) if runs_code(name)]
    if code and not trust:
        raise BadValue(
            f"{path}: opening it runs Python code, {code[0]!r}; if you trust that: repaired:{path}?trust=yes"
        )
    if record.weights is not None:
        file = directory / WEIGHTS
        if not file.is_file() or file_sha256(file) != record.weights:
            raise BadFile(f"{file}: missing, or not the file that was written with {RECORD}; repair again")
        if not trust:
            require_trust([record.generator], directory)
        return _open(_with_weights(_plain_name(record.generator), file), device)
    base = _open_base(record, directory, device, trust)
    text = json.dumps(record.edits)
    edits = edits_from_json(text, base.layers, base.fingerprint, str(directory / RECORD))
    if not edits:
        raise BadFile(f"{directory / RECORD}: holds no edits")
    return RepairedGenerator(base, edits, text)


class RepairedGenerator:
    """A generator with edits that are always applied; the features of a layer are those after them.

    Further edits of a layer come after these. A layer's output that is given to `render` is taken as it is: these edits
    are applied at all other layers.

    Attributes:
        base: the generator without the edits.
    """

    def __init__(self, base: Generator, edits: Sequence[Edit], text: str) -> None:
        self.base, self.edits = base, tuple(edits)
        self.layers: Mapping[str, LayerShape] = base.layers
        self.listed: Mapping[str, LayerShape] = listed_layers(base)
        self.margins: Mapping[str, int] = getattr(base, "margins", {})
        self.prompts, self.pairs = prompts_of(base), in_pairs(base)
        self.device = base.device
        self.fingerprint = fingerprint({}, "repaired", base.fingerprint, text)

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the latents of these ids."""
        return self.base.latents(ids, seed)

    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Return the images and the features of layers, of one forward pass without gradients; see `Subject`."""
        return self.base.observe(z, layers, [*self.edits, *edits])

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return the images with further edits, of one forward pass without gradients."""
        return self.base.edited(z, [*self.edits, *edits])

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Return the images with the layer's output replaced by `r`; see `Generator`."""
        onward_edits(edits, layer, self.layers)
        order = forward_order(self.layers)
        first = min((edit.layer for edit in self.edits), key=order)
        others = [edit for edit in self.edits if edit.layer != layer]
        if order(first) >= order(layer):
            return self.base.render(r, layer, z, [*others, *edits])
        # Earlier layers may reach the image not through this one alone, so edits there count, too.
        start = self.base.observe(z, [first]).features[first]
        return self.base.render(start, first, z, [*others, _Replacement(layer, r), *edits])


@dataclass(frozen=True, eq=False)
class _Replacement:
    """The edit that replaces a layer's output by `r`."""

    layer: str
    r: Features

    def __call__(self, r: Features) -> Features:
        return self.r.to(r)


def _open(name: Name, device: torch.device) -> Generator:
    opened = GENERATORS.make(*name, device=device)
    if not isinstance(opened, Generator):
        raise BadModel(f"{name.family}:{name.argument} draws nothing")
    return opened


def _family(name: str) -> Family:
    try:
        return family_of(GENERATORS.opener(name))
    except UnknownName:
        return Family()


def _with_weights(name: Name, file: Path) -> Name:
    """Return the name of the same network with other weights."""
    kept = {key: value for key, value in name.options.items() if key != "prefix"}
    if _family(name.family).weights == "argument":
        return Name(name.family, str(file), kept)
    return name._replace(options={**kept, "weights": str(file)})


def _plain_name(name: str) -> Name:
    """Return the name by family and file of a generator that has plain weights."""
    own = split_name(name)
    if own.family == "bundled":
        file, about = bundled(own.argument), card(own.argument)
        own = Name(about["family"], str(file), {**about.get("options", {}), **own.options})
    elif own.family == "repaired":
        directory = _repair_directory(own.argument)
        before = read_record(directory)
        if before.weights is None:
            raise BadModel("it repairs a generator whose repair could not be folded either")
        if own.options.get("trust") != "yes":
            require_trust([before.generator], directory)
        return _with_weights(_plain_name(before.generator), directory / WEIGHTS)
    family = _family(own.family)
    if not family.weights:
        raise BadModel(f"{own.family}: {family.fixed}")
    return own


def _write_folded(file: Path, name: str, generator: Generator, edits: Sequence[Intervention]) -> str:
    """Write plain weights in which the edits are folded; return which weights were changed.

    They are those of the file, in its number format, whatever the generator computes in.
    """
    own = _plain_name(name)
    options = {key: value for key, value in own.options.items() if key != "dtype"}
    folded = fold(_open(own._replace(options=options), generator.device), edits)
    with atomic_write(file) as temporary:
        safetensors.torch.save_file(folded.state, temporary)
    again, z = _open(_with_weights(own, file), generator.device), generator.latents(range(LATENTS), 0)
    if not alike(again.observe(z, ()).images, generator.edited(z, edits)):
        raise BadModel("the folded weights, opened again, draw other images")
    return folded.how


def _open_base(record: Record, directory: Path, device: torch.device, trusted: bool) -> Generator:
    """Open the generator that was repaired, by its absolute path or, if it has moved, relative to the directory.

    Raises:
        BadFile: neither opens as what was repaired.
        BadValue: to open it runs code or uses the network, and it is not `trusted`.
    """
    relative = with_files(record.near, lambda text: str(directory / text), directory)
    problems = []
    for name in dict.fromkeys([record.generator, relative]):
        if not trusted:
            require_trust([name], directory)
        try:
            base = open_generator(name, device)
        except RecursionError:
            problems.append("it repairs itself")
        except GanatomyError as error:
            problems.append(str(error))
        else:
            if base.fingerprint == record.fingerprint:
                return base
            problems.append("its weights or options are not those that were repaired")
    raise BadFile(f"{directory / RECORD}: {record.generator} cannot be repaired as it was: {problems[0]}")


def _repair_directory(path: str) -> Path:
    """Return the directory of a repaired generator; of a study of a repair, the one within."""
    directory = download(local_path(path)) if ":/" in path else Path(path)
    within = directory / IN_STUDY
    return within if (within / RECORD).is_file() and not (directory / RECORD).exists() else directory


def read_record(directory: Path) -> Record:
    """Read the record of a repair.

    Raises:
        BadFile: there is none, or it is damaged.
    """
    path = directory / RECORD
    try:
        content = read_json(path, MAX_BYTES)
    except FileNotFoundError:
        raise BadFile(f"{directory}: holds no {RECORD}, so no repaired generator") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise BadFile(f"{path}: not the record of a repair in format {FORMAT}, which this version reads")
    kinds: dict[str, Any] = {field.name: str for field in fields(Record)} | {"edits": dict, "weights": str | None}
    for key, kind in kinds.items():
        if not isinstance(content.get(key), kind):
            raise BadFile(f"{path}: damaged at {key!r}")
    found: dict[str, Any] = {key: content.get(key) for key in kinds}
    return Record(**found)


def with_files(name: str, change: Callable[[str], str], directory: Path = Path()) -> str:
    """Return a generator's name with every path in it that is there, from `directory` on, changed to another."""

    def changed(text: str) -> str:
        return change(text) if text and (directory / text).exists() else text

    own = split_name(name)
    head, kind = own.argument, _family(own.family).argument
    if kind == "model":
        head = with_files(head, change, directory)
    elif kind not in ("name", "code", "none"):
        head = changed(head)
    options = {key: changed(text) if key in WITH_FILES else text for key, text in own.options.items()}
    return join_name(own.family, head, options)
