"""From what a user asks to a trained autoencoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ganatomy.core.devices import choose_device
from ganatomy.core.errors import BadValue, StudyMismatch
from ganatomy.core.progress import NullProgress, Progress
from ganatomy.core.trust import require_trust
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.model_pair import name_of
from ganatomy.models.generators import Subject, open_subject
from ganatomy.models.generators.protocol import layers_at
from ganatomy.models.weights import read_state
from ganatomy.training.sae.directory import WEIGHTS, TrainingDirectory
from ganatomy.training.sae.places import Places
from ganatomy.training.sae.training import Training


@dataclass(frozen=True)
class TrainedSae:
    """A trained sparse autoencoder.

    Attributes:
        directory: where ``sae.safetensors`` and its card, ``sae.json``, lie.
        card: layer, generator, activation, and scores on images that were held out.
    """

    directory: Path
    card: Mapping[str, Any]

    @property
    def weights(self) -> dict[str, Tensor]:
        """W_enc [units, features], b_enc [features], W_dec [features, units], b_dec [units]."""
        return read_state(self.directory / WEIGHTS)

    @property
    def scores(self) -> Mapping[str, float]:
        """Variance explained, mean number of active features, share of dead ones."""
        found: Mapping[str, float] = self.card["scores"]
        return found


@dataclass(frozen=True)
class Plan:
    """A training that is about to begin, or to go on.

    Attributes:
        generator: its name.
        places: of which model, layer, images and seed.
        features, sparsity: of the autoencoder.
    """

    generator: str
    places: Places
    features: int
    sparsity: int

    def facts(self) -> dict[str, Any]:
        """Return what the training is of, as its card has it."""
        return {
            "generator": self.generator,
            "fingerprint": self.places.subject.fingerprint,
            "layer": self.places.layer,
            "features": self.features,
            "activation": f"topk:{self.sparsity}",
            "images": self.places.images,
            "seed": self.places.seed,
        }


def plan(
    source: str | Path | Dissection | Subject,
    layer: str,
    features: int,
    sparsity: int,
    images: int,
    seed: int | None,
    device: str,
) -> Plan:
    """Open the model that a source names, and check the layer.

    Raises:
        GanatomyError: there is no such model, dissection or layer; or a dissected model has changed.
    """
    name, subject, own = _opened(source, choose_device(device))
    layers_at(layer, subject.layers)
    return Plan(name, Places(subject, layer, images, own if seed is None else seed), features, sparsity)


def train(plan: Plan, out: Path, save_every: float, progress: Progress | None, announce: Any = None) -> TrainedSae:
    """Train, go on, or find the training finished.

    Args:
        plan: of what.
        out: the directory.
        save_every: seconds between two times at which the state is saved.
        progress: shows how far it is.
        announce: is called with about how many seconds it will take.
    """
    if not save_every >= 0:
        raise BadValue(f"save_every={save_every:g}: give seconds, 0 or more")
    directory = TrainingDirectory(out, plan.facts())
    with directory.begin():
        if (card := directory.card) is None:
            training = Training(plan.places, plan.features, plan.sparsity)
            directory.load(training)
            if announce is not None:
                announce(training.seconds())
            card = directory.run(training, save_every, progress or NullProgress())
    return TrainedSae(out, card)


def _opened(source: str | Path | Dissection | Subject, device: str) -> tuple[str, Subject, int]:
    """Return name, model and seed."""
    if isinstance(source, Path):
        source = Dissection.open(source)
    if not isinstance(source, Dissection):
        return name_of(source), open_subject(source, device) if isinstance(source, str) else source, 0
    name, place = source.spec.generator, source.study.directory
    subject = source.opened.get("generator")
    if subject is None:
        require_trust([name], place)
        if name.startswith("given:"):
            raise BadValue(f"{place} dissected an open generator; hand that over in place of the dissection")
        subject = open_subject(name, device)
    if subject.fingerprint != source.facts["inputs"]["generator"]:
        raise StudyMismatch(f"the generator {name} has changed since {place} was made; dissect it again")
    return name, subject, source.spec.seed
