"""The directory of a training of a sparse autoencoder: its state while it runs, the weights and their card in the end.

::

    DIR/training.safetensors    the state, of which it goes on; what it is of is in its metadata
    DIR/sae.safetensors         W_enc [units, features], b_enc, W_dec [features, units], b_dec
    DIR/sae.json                the card: layer, generator, activation, scores on images that were held out
"""

import contextlib
import datetime
import json
import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from ganatomy.core.assets import card
from ganatomy.core.errors import BadFile, BadValue, StudyError, StudyMismatch
from ganatomy.core.files import DAMAGE, atomic_write, loads_json, read_json
from ganatomy.core.fingerprint import file_sha256
from ganatomy.core.progress import Labelled, Progress
from ganatomy.core.registry import split_name
from ganatomy.models.weights import read_state
from ganatomy.study.files import writing
from ganatomy.study.lock import StudyLock
from ganatomy.training.sae.autoencoder import measured
from ganatomy.training.sae.places import HELD_OUT
from ganatomy.training.sae.training import Training

STATE, WEIGHTS, CARD = "training.safetensors", "sae.safetensors", "sae.json"
KIND = "sae"
SHOWN = 20
"""Steps after which the scores are shown again."""


class TrainingDirectory:
    """A directory in which one training goes on.

    Args:
        path: of the directory, which is made.
        facts: what the training is of; plain values of JSON.

    Raises:
        StudyMismatch: there is another training.
        StudyError: there is something else, or nothing can be written there.
        StudyBusy: another process trains there.
        BadFile: what is there is damaged.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self.path, self.facts = path, dict(facts)

    @contextlib.contextmanager
    def begin(self) -> Iterator[None]:
        """Keep other processes out in this block."""
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            held = StudyLock(self.path)
        try:
            self._check()
            yield
        finally:
            held.close()

    @property
    def card(self) -> dict[str, Any] | None:
        """The card of a finished training; None where it is not finished."""
        path = self.path / CARD
        if not path.exists():
            return None
        with _reading(path):
            return dict(read_json(path))

    def _check(self) -> None:
        if (finished := self.card) is not None:
            self._compare(finished)
        elif (self.path / STATE).exists():
            with _reading(self.path / STATE), safetensors.safe_open(self.path / STATE, "pt") as file:
                was = dict(loads_json((file.metadata() or {})["facts"]))
            self._compare(was)
        elif others := sorted(each.name for each in self.path.iterdir() if not each.name.startswith(".")):
            raise StudyError(f"{self.path} holds something else ({others[0]}); give a directory of its own")

    def _compare(self, was: Mapping[str, Any]) -> None:
        for name, value in self.facts.items():
            if was.get(name) != value:
                raise StudyMismatch(
                    f"{self.path} holds another training, of {name} {was.get(name)!r} and not {value!r}; "
                    "give another directory"
                )

    def load(self, training: Training) -> None:
        """Go on from the state, if there is one."""
        path = self.path / STATE
        if path.exists():
            try:
                training.load(read_state(path))
            except BadValue as error:
                raise BadFile(f"{path}: {error}; remove it to begin anew") from error

    def save(self, training: Training) -> None:
        """Write the state, whole or not at all."""
        about = {"facts": json.dumps(self.facts)}
        self._write(STATE, safetensors.torch.save(training.state(), about))

    def run(self, training: Training, save_every: float, progress: Progress) -> dict[str, Any]:
        """Train to the end from where it is, write weights and card, and return the card.

        The state is saved every so many seconds; when that is changes no number.
        """
        saved, shown, images = time.monotonic(), 0, training.places.images

        def after_step() -> None:
            nonlocal saved, shown
            done = images * training.step // training.steps
            progress.advance(done - shown)
            shown = done
            if training.step % SHOWN == 0 and isinstance(progress, Labelled):
                progress.label(str(training.recent))
            if time.monotonic() - saved >= save_every:
                self.save(training)
                saved = time.monotonic()

        if training.step < training.steps:
            with _task(progress, "images", images):
                training.run(after_step)
            self.save(training)
        return self._finish(training, progress)

    def _finish(self, training: Training, progress: Progress) -> dict[str, Any]:
        weights = training.model.weights()
        with _task(progress, "images held out", HELD_OUT):
            scores = measured(weights, training.model.sparsity, training.places.held_out(progress))
        self._write(WEIGHTS, safetensors.torch.save(weights))
        facts = {
            "name": self.path.resolve().name,
            "kind": KIND,
            "family": KIND,
            "title": f"Sparse autoencoder of {self.facts['layer']} of {self.facts['generator']}",
            "recipe": command(self.facts, self.path),
            **self.facts,
            "units": len(weights["b_dec"]),
            "scores": {name: round(value, 4) for name, value in scores.by_name().items()},
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            **licence(self.facts["generator"]),
            "sha256": file_sha256(self.path / WEIGHTS),
        }
        self._write(CARD, (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode())
        (self.path / STATE).unlink(missing_ok=True)
        return facts

    def _write(self, name: str, content: bytes) -> None:
        with writing(self.path / name), atomic_write(self.path / name) as temporary:
            temporary.write_bytes(content)


def command(facts: Mapping[str, Any], path: Path) -> str:
    """Return the command line of a training."""
    options = {"layer": facts["layer"], "features": facts["features"]}
    options |= {"sparsity": facts["activation"].partition(":")[2], "images": facts["images"], "seed": facts["seed"]}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return shlex.join(["ganatomy", "sae", facts["generator"], *words, "--out", path.name])


def licence(generator: str) -> dict[str, str]:
    """Return the licence of a bundled generator, which is that of what is made of it; nothing for others."""
    family, name, _ = split_name(generator)
    return {"licence": card(name)["licence"]} if family == "bundled" else {}


@contextlib.contextmanager
def _task(progress: Progress, label: str, total: int) -> Iterator[None]:
    progress.begin(label, total)
    try:
        yield
    finally:
        progress.end()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Tell in one line that a file is not what this module wrote."""
    try:
        yield
    except (*DAMAGE, safetensors.SafetensorError) as error:
        raise BadFile(f"{path}: damaged, or not of a training ({error}); remove it to begin anew") from error
