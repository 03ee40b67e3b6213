"""The same model once for each dictionary: it is opened once, and so is the segmenter."""

from pathlib import Path

from ganatomy.core.errors import BadValue
from ganatomy.core.registry import join_name, split_name
from ganatomy.experiments.model_pair import ModelPair, Opened
from ganatomy.models.generators.autoencoders import read_autoencoder
from ganatomy.models.generators.basis import BasisSubject, in_basis
from ganatomy.models.generators.inner_model import inner_model
from ganatomy.models.segmenters import open_segmenter
from ganatomy.training.dictionaries.rebuilt import mean_active
from ganatomy.training.dictionaries.spec import OWN, DictionarySpec
from ganatomy.training.dictionaries.written import write_dictionaries

FAMILY = "sae"


def open_dictionaries(spec: DictionarySpec, directory: Path, device: str) -> dict[str, ModelPair]:
    """Return the model with each dictionary, and the segmenter; the other dictionaries are written first.

    Raises:
        GanatomyError: the name is of no autoencoder, or what it names cannot be opened.
    """
    name = split_name(spec.autoencoder)
    if name.family != FAMILY:
        raise BadValue(f"{spec.autoencoder}: give an autoencoder, sae:GENERATOR?layer=L&file=FILE")
    segmenter = open_segmenter(spec.segmenter, device)
    pair = ModelPair(spec.autoencoder, spec.segmenter, device, opened=Opened(segmenter=segmenter))
    model = pair.subject
    assert isinstance(model, BasisSubject)
    sparsity = max(1, round(mean_active(model, spec.seed)))
    written = write_dictionaries(model, sparsity, spec.seed, directory)
    opened = {OWN: pair}
    for each, path in written.items():
        own = {**name.options, "file": str(path)}
        own.pop("activation", None)
        directions = read_autoencoder(str(path), model.layer, model.subject.layers[model.middle].units)
        models = Opened(in_basis(model.subject, model.layer, directions), segmenter)
        opened[each] = ModelPair(join_name(FAMILY, name.argument, own), spec.segmenter, device, opened=models)
    return opened


def generator_of(spec: DictionarySpec) -> str:
    """Return the name of the model itself."""
    inner = inner_model(spec.autoencoder)
    assert inner is not None
    return inner[0]


def basis(pair: ModelPair) -> BasisSubject:
    """Return the model with a dictionary."""
    assert isinstance(pair.subject, BasisSubject)
    return pair.subject
