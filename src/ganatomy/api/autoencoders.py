"""Training sparse autoencoders."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganatomy.api.calls import public

if TYPE_CHECKING:
    from ganatomy.core.progress import Progress
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.models.generators import Subject
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
        layer: of which the places are learned; of a model with steps, one of them.
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
