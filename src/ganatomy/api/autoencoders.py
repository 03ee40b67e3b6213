"""Training sparse autoencoders, and setting them beside other dictionaries."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganatomy.api.calls import public

if TYPE_CHECKING:
    from ganatomy.core.progress import Progress
    from ganatomy.engines import Engine
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.models.generators import Subject
    from ganatomy.training.dictionaries.judgement import Judgement
    from ganatomy.training.sae.run import TrainedSae

FEATURES, SPARSITY, IMAGES, SAVE_EVERY = 1024, 32, 8192, 60.0


@public
def train_sae(
    source: "str | Path | Dissection | Subject",
    layer: str,
    *,
    out: str | Path,
    features: int = FEATURES,
    sparsity: int = SPARSITY,
    images: int = IMAGES,
    seed: int | None = None,
    save_every: float = SAVE_EVERY,
    device: str = "auto",
    progress: "Progress | None" = None,
) -> "TrainedSae":
    """Train a sparse autoencoder of a layer on images that are drawn as it learns.

    The same call goes on where it was stopped, to the same bits on one device, or finds its answer at once.

    >>> ganatomy.train_sae("bundled:church", "layer5", out="church-sae").scores  # doctest: +SKIP

    Args:
        source: a finished dissection, or its directory; or a generator: its name, or an open one.
        layer: of which the places are learned; of a model with steps at one of them, ``up2@4``, or at several,
            ``up2@1..8``.
        out: the directory; it gets ``sae.safetensors`` and the card ``sae.json``.
        features: how many features there are.
        sparsity: how many of them may be active at a place.
        images: how many images are drawn; 0 writes the autoencoder as it begins, a control for a trained one.
        seed: of the images, which no dissection looks at, and of the first weights. That of the dissection, or 0.
        save_every: seconds between two times at which the state is saved.
        device: where a generator that is opened by name computes, and the autoencoder learns.
        progress: shows how far it is.

    Raises:
        GanatomyError: there is no such model, layer or dissection; a number is out of its range; the layer is NaN or
            the same everywhere; the directory holds something else, or cannot be written.
    """
    from ganatomy.training.sae.run import plan, train

    planned = plan(located(source), layer, features, sparsity, images, seed, device)
    return train(planned, Path(out), save_every, progress)


@public
def judge(
    autoencoder: str,
    *,
    segmenter: str = "bundled:scenes",
    images: int = 300,
    concepts: Sequence[str] = (),
    edited: int = 60,
    pairs: int = 40,
    draws: int = 60,
    seed: int = 0,
    grammar: str = "",
    out: "str | Path",
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
) -> "Judgement":
    """Set a sparse autoencoder beside units, a rotation, principal directions, and an untrained autoencoder.

    All have equally many active features at a place. The same call goes on where it was stopped.

    >>> ganatomy.judge("sae:bundled:church?layer=layer5&file=bundled:church-sae", out="judged")  # doctest: +SKIP

    Args:
        autoencoder: its name, ``sae:GENERATOR?layer=L&file=FILE``.
        segmenter: as in `open_segmenter` (bundled:scenes).
        images: of the dissections; the levels are chosen on as many others (300).
        concepts: those whose features are ablated and inserted; empty for the six that the dictionaries know best.
        edited: how many images are edited (60).
        pairs: scene pairs of each kind of object, at most (40).
        draws: resamples of the images that errors are taken from (60).
        seed: of the images, the rotation, and the weights of the untrained autoencoder (0).
        grammar: category of the rendered scenes that the model was trained on; empty for what a bundled one says.
        out: a directory for the page, the tables, the other dictionaries and the dissections.
        device: where models compute.
        engine: counts the shards.
        progress: shows how far it is.

    Raises:
        GanatomyError: there is no such autoencoder, segmenter or concept; a number is out of its range; the directory
            holds something else, or cannot be written.
    """
    from ganatomy.core.devices import choose_device
    from ganatomy.engines.registry import engine_of
    from ganatomy.report.dictionaries import check_directory, write_judgement
    from ganatomy.training.dictionaries.judgement import run_judgement
    from ganatomy.training.dictionaries.spec import DictionarySpec

    spec = DictionarySpec(autoencoder, segmenter, images, concepts, edited, pairs, draws, seed, grammar)
    directory, device = check_directory(out), choose_device(device)
    with engine_of(engine, device) as opened:
        found = run_judgement(spec, directory, device, opened, progress)
    write_judgement(found, directory)
    return found


def located(source: Any) -> Any:
    """Return a text that names a directory as its path; a URL as that of its copy.

    >>> located("bundled:church"), located("runs/study")
    ('bundled:church', PosixPath('runs/study'))
    """
    if not isinstance(source, str | Path):
        return source
    if isinstance(source, str) and ":" in source and "://" not in source and not Path(source).exists():
        return source
    from ganatomy.remote import local_path

    return local_path(source)
