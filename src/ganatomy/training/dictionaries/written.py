"""Other dictionaries of an autoencoder's layer, each written as an autoencoder: only the weights differ.

All keep the greatest positive coefficients of a place, as many as the autoencoder has on average, and read around the
mean of the layer. Of units, rotation and principal directions the encoder is the decoder transposed.
"""

import json
from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.core.files import atomic_write
from ganatomy.models.generators.basis import BasisSubject
from ganatomy.models.generators.directions import NEARLY, random_rotation
from ganatomy.study.files import writing
from ganatomy.training.dictionaries.spec import UNTRAINED
from ganatomy.training.sae.autoencoder import Autoencoder
from ganatomy.training.sae.directory import CARD, KIND, WEIGHTS
from ganatomy.training.sae.places import Places


def write_dictionaries(model: BasisSubject, sparsity: int, seed: int, directory: Path) -> dict[str, Path]:
    """Write the others as autoencoders, each in a directory of its own; return these by name.

    Args:
        model: with the features of the autoencoder.
        sparsity: how many features may be active at a place.
        seed: of the images that means and variances are taken from, which no dissection looks at, and of all chance.
        directory: gets a directory for each.

    Raises:
        BadModel: the layer is NaN, Inf, or the same everywhere.
    """
    places = Places(model.subject, model.layer, 0, seed).first()
    if not bool((places != places[0]).any()):
        raise BadModel(f"layer {model.layer} is the same everywhere; there is nothing to compare")
    features, units = model.directions.reads.shape
    rows = {
        "units": torch.eye(units),
        "rotation": random_rotation(units, seed).float(),
        "principal": principal_rows(places),
    }
    mean = places.double().mean(0).float().cpu()
    weights = {name: _tied(own, mean) for name, own in rows.items()}
    weights[UNTRAINED] = Autoencoder(places, features, min(sparsity, features), seed).weights()
    found = {}
    for name, own in weights.items():
        found[name] = directory / name
        _write(found[name], own, sparsity, model)
    return found


def principal_rows(places: Float[Tensor, "n u"]) -> Float[Tensor, "k u"]:
    """Return the principal directions that have any variance, greatest first, each towards its heavier tail."""
    x = places.double() - places.double().mean(0)
    variances, vectors = (each.flip(-1) for each in torch.linalg.eigh(x.T @ x / len(x)))
    rows = vectors[:, : int((variances > NEARLY**2 * variances[0]).sum())].T
    tails = torch.stack([(part @ rows.T).pow(3).sum(0) for part in torch.split(x, 4096)]).sum(0)
    turned: Tensor = torch.where(tails < 0, -1, 1)[:, None] * rows
    return turned.float().cpu()


def _tied(rows: Float[Tensor, "k u"], mean: Float[Tensor, " u"]) -> dict[str, Tensor]:
    names = {"W_enc": rows.T.contiguous(), "b_enc": torch.zeros(len(rows)), "W_dec": rows.contiguous()}
    return {**names, "b_dec": mean}


def _write(directory: Path, weights: dict[str, Tensor], sparsity: int, model: BasisSubject) -> None:
    """Write weights and card; what the same model has written there stays, as last bits differ between machines."""
    units, features = weights["W_enc"].shape
    facts = {
        "kind": KIND,
        "layer": model.layer,
        "fingerprint": model.fingerprint,
        "activation": f"topk:{min(sparsity, features)}",
        "units": units,
        "features": features,
    }
    card = (json.dumps(facts, indent=1) + "\n").encode()
    path = directory / CARD
    with writing(directory):
        if path.is_file() and path.read_bytes() == card and (directory / WEIGHTS).is_file():
            return
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in ((WEIGHTS, safetensors.torch.save(weights)), (CARD, card)):
            with atomic_write(directory / name) as temporary:
                temporary.write_bytes(content)
