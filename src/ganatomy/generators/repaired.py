"""Generators that were repaired: ``repaired:DIR`` opens what `write_repaired` wrote.

::

    DIR/repaired.json             the generator's name and fingerprint, the edits, and what became of them
    DIR/generator.safetensors     where the edits could be folded: plain weights, in the family's own layout

Where there are plain weights, these are opened, by the family of the generator that was repaired; nothing else is
needed, and other tools open them, too. Else the generator itself is opened, and the edits are made each time.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ganatomy import consent
from ganatomy.consent import runs_code
from ganatomy.edit import MAX_BYTES, Intervention, edits_from_json, edits_json
from ganatomy.errors import BadFile, BadModel, BadValue, GanatomyError
from ganatomy.files import read_json, replacing, write_text
from ganatomy.generators.folding import LATENTS, alike, fold
from ganatomy.generators.protocol import Edit, Generator, LayerShape, Observation, onward_edits
from ganatomy.generators.registry import GENERATORS, open_generator
from ganatomy.registry import join_name, split_name
from ganatomy.remote import download, local_path
from ganatomy.types import Features, Images, Latents
from ganatomy.weights import bundled, card, file_sha256, fingerprint

FORMAT = 1
RECORD = "repaired.json"
WEIGHTS = "generator.safetensors"
IN_STUDY = "repaired"
"""Where a study of a repair keeps the generator."""

PLAIN = ("progan", "realnvp", "vae")
"""Families whose argument is a file of plain weights."""
NOT_PLAIN: Mapping[str, str] = {
    "basis": "its units are directions, which no weights of one unit make",
    "diffusers": "its weights are part of a directory, which is not copied",
    "exported": "its weights are part of a program, which is not rewritten",
    "planted": "it has no weights",
    "stylegan": "noise of one strength goes into every unit, and the next layer demodulates over all of them",
    "torchscript": "its weights are part of a program, which is not rewritten",
}
"""Families whose weights cannot be replaced, and why."""
NO_FILES = ("bundled", "planted", "torch")
"""Families whose argument is no file."""
WITH_FILES = ("weights", "images", "directions")
"""Options that may name files."""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        folded: whether the edits are part of plain weights now.
        reason: which weights were changed; or why none were, and the edits are made each time.
        file: the plain weights, where there are any.
        name: what opens the repaired generator.
    """

    folded: bool
    reason: str
    file: Path | None
    name: str


@dataclass(frozen=True)
class Record:
    """What is kept of a repair.

    Attributes:
        generator: name of the generator that was repaired, its files by absolute paths.
        near: the same, its files by paths from the directory.
        fingerprint: of that generator.
        edits: as the JSON of `ganatomy.edit.edits_json`.
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
    """Write a generator with edits made for good, which ``repaired:DIR`` opens.

    Ablations are folded into plain weights where that draws the same images; else the edits are kept beside the
    generator's name.

    Args:
        directory: where to; made if it is not there. What an earlier repair wrote there is replaced.
        name: of the generator, as it was opened.
        generator: what was opened.
        edits: what to make permanent.

    Raises:
        BadValue: there are no edits, or some are for several images at once.
        BadFile: an edit does not fit the generator, or the name does not open it.
    """
    if not edits:
        raise BadValue("no edits were given, so there is nothing to repair")
    if any(len(stroke.where) > 1 for edit in edits for stroke in edit.strokes()):
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
        _open_base(record, here, generator.device)  # what cannot be opened is told now rather than later
    write_text(directory / RECORD, json.dumps({"format": FORMAT, **asdict(record)}) + "\n")
    trust = "?trust=yes" if runs_code(absolute) else ""
    return Written(digest is not None, reason, file if digest else None, f"repaired:{directory}{trust}")


@GENERATORS.register("repaired")
def open_repaired(path: str, /, *, device: torch.device, trust: bool = False) -> Generator:
    """Open a repaired generator: its plain weights where there are any, else the generator with the edits made.

    Args:
        path: the directory that holds ``repaired.json``, or a study of a repair, which holds that.
        device: where it shall compute.
        trust: allow it to run the Python code that it names, where the generator that was repaired is code by name.

    Raises:
        BadFile: no such directory; a file is damaged or not the one that was written; or the generator that was
            repaired is gone, or changed.
        BadValue: it would run code, and nobody said that it may.
    """
    directory = _written_to(path)
    record = read_record(directory)
    if not trust and (runs_code(record.generator) or runs_code(record.near)):
        raise BadValue(
            f"{path}: opening it runs Python code, {record.generator!r}; if you trust that: repaired:{path}?trust=yes"
        )
    if not trust:
        consent.check([record.generator], directory)  # which may be on the network
    if record.weights is not None:
        file = directory / WEIGHTS
        if not file.is_file() or file_sha256(file) != record.weights:
            raise BadFile(f"{file}: missing, or not the file that was written with {RECORD}; repair again")
        return _plain(record.generator).with_weights(file).open(device)
    base = _open_base(record, directory, device)
    text = json.dumps(record.edits)
    edits = edits_from_json(text, base.layers, base.fingerprint, str(directory / RECORD))
    if not edits:
        raise BadFile(f"{directory / RECORD}: holds no edits")
    return RepairedGenerator(base, edits, text)


class RepairedGenerator:
    """A generator with edits that are always made; what is observed of a layer is what they left.

    Further edits of a layer come after these. A layer's output that is given to `render` is taken as it is: these edits
    are made at all other layers.

    Attributes:
        base: the generator without them.
        edits: they.
    """

    def __init__(self, base: Generator, edits: Sequence[Edit], text: str) -> None:
        self.base, self.edits = base, tuple(edits)
        self.layers: Mapping[str, LayerShape] = base.layers
        self.margins: Mapping[str, int] = getattr(base, "margins", {})
        self.device = base.device
        self.fingerprint = fingerprint({}, "repaired", base.fingerprint, text)

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the latents of these ids."""
        return self.base.latents(ids, seed)

    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Draw the images and read every asked layer in one forward pass, all edits made on the way."""
        return self.base.observe(z, layers, [*self.edits, *edits])

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Draw the images with further edits, in one forward pass without gradients."""
        return self.base.edited(z, [*self.edits, *edits])

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Draw the images with the layer's output replaced by `r`, edits made on the way. Differentiable in r.

        Raises:
            UnknownName: a layer that does not exist.
            BadValue: an edit of an earlier layer.
        """
        onward_edits(edits, layer, self.layers)
        names = list(self.layers)
        first = min((edit.layer for edit in self.edits), key=names.index)
        others = [edit for edit in self.edits if edit.layer != layer]
        if names.index(first) >= names.index(layer):
            return self.base.render(r, layer, z, [*others, *edits])
        # What comes before may reach the image beside the layer, so edits there count, too.
        start = self.base.observe(z, [first]).features[first]
        return self.base.render(start, first, z, [*others, _Put(layer, r), *edits])


@dataclass(frozen=True, eq=False)
class _Put:
    """The edit that puts `r` in the place of whatever a layer made."""

    layer: str
    r: Features

    def __call__(self, r: Features) -> Features:
        return self.r.to(r)


@dataclass(frozen=True)
class _Name:
    """A generator's name in parts."""

    family: str
    argument: str
    options: Mapping[str, str]

    @classmethod
    def of(cls, name: str) -> "_Name":
        return cls(*split_name(name))

    def with_weights(self, file: Path) -> "_Name":
        """Return the name of the same network with other weights."""
        kept = {key: value for key, value in self.options.items() if key != "prefix"}
        if self.family in PLAIN:
            return _Name(self.family, str(file), kept)
        return _Name(self.family, self.argument, {**kept, "weights": str(file)})

    def open(self, device: torch.device) -> Generator:
        opened = GENERATORS.make(self.family, self.argument, self.options, device=device)
        if not isinstance(opened, Generator):
            raise BadModel(f"{self.family}:{self.argument} draws nothing")
        return opened


def _plain(name: str) -> _Name:
    """Return the name of the family, file and options that a generator really is, if that keeps plain weights.

    Raises:
        BadModel: it does not.
    """
    own = _Name.of(name)
    if own.family == "bundled":
        file, about = bundled(own.argument), card(own.argument)
        own = _Name(about["family"], str(file), {**about.get("options", {}), **own.options})
    elif own.family == "repaired":
        directory = _written_to(own.argument)
        before = read_record(directory)
        if before.weights is None:
            raise BadModel("it repairs a generator whose repair could not be folded either")
        return _plain(before.generator).with_weights(directory / WEIGHTS)
    if own.family not in (*PLAIN, "torch"):
        why = NOT_PLAIN.get(own.family, "its family is not known to take other weights")
        raise BadModel(f"{own.family}: {why}")
    return own


def _write_folded(file: Path, name: str, generator: Generator, edits: Sequence[Intervention]) -> str:
    """Write plain weights in which the edits are folded; return which weights were changed.

    They are made of the weights as the file has them, whatever number format the generator computes in.

    Raises:
        BadModel: the edits cannot be folded.
    """
    own = _plain(name)
    whole = _Name(own.family, own.argument, {key: value for key, value in own.options.items() if key != "dtype"})
    folded = fold(whole.open(generator.device), edits)
    with replacing(file) as temporary:
        safetensors.torch.save_file(folded.state, temporary)
    again, z = own.with_weights(file).open(generator.device), generator.latents(range(LATENTS), 0)
    if not alike(again.observe(z, ()).images, generator.edited(z, edits)):
        raise BadModel("the folded weights, opened again, draw other images")
    return folded.how


def _open_base(record: Record, directory: Path, device: torch.device) -> Generator:
    """Open the generator that was repaired, from where it was or, if that has moved, from where it is beside this.

    Raises:
        BadFile: it is gone, or changed.
    """
    beside = with_files(record.near, lambda text: str(directory / text), directory)
    problems = []
    for name in dict.fromkeys([record.generator, beside]):
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


def _written_to(path: str) -> Path:
    """Return the directory of a repaired generator; of a study of a repair, the one within."""
    directory = download(local_path(path)) if ":/" in path else Path(path)
    within = directory / IN_STUDY
    return within if (within / RECORD).is_file() and not (directory / RECORD).exists() else directory


def read_record(directory: Path) -> Record:
    """Read what was kept of a repair.

    Raises:
        BadFile: nothing was, or it is damaged.
    """
    path = directory / RECORD
    try:
        content = read_json(path, MAX_BYTES)
    except FileNotFoundError:
        raise BadFile(f"{directory}: holds no {RECORD}, so no repaired generator") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: cannot be read ({error})") from error
    kinds: dict[str, type] = {**dict.fromkeys(["generator", "near", "fingerprint", "reason"], str), "edits": dict}
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise BadFile(f"{path}: not the record of a repair in format {FORMAT}, which this version reads")
    wrong = [key for key, kind in kinds.items() if not isinstance(content.get(key), kind)]
    if wrong or not isinstance(content.get("weights"), str | None):
        raise BadFile(f"{path}: damaged at {(wrong or ['weights'])[0]!r}")
    content.setdefault("weights", None)
    return Record(**{field.name: content[field.name] for field in fields(Record)})


def with_files(name: str, change: Callable[[str], str], directory: Path = Path()) -> str:
    """Return a name with a change made to every file or folder in it that is there.

    Args:
        name: of a generator.
        change: makes of a path another.
        directory: where paths that are not absolute begin.
    """

    def changed(text: str) -> str:
        return change(text) if text and (directory / text).exists() else text

    own = _Name.of(name)
    head = own.argument
    if own.family == "basis":
        head = with_files(head, change, directory)
    elif own.family not in NO_FILES:
        head = changed(head)
    options = {key: changed(text) if key in WITH_FILES else text for key, text in own.options.items()}
    return join_name(own.family, head, options)
