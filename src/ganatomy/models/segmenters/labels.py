"""The labels of an image dataset in the place of a segmenter: ``labels:DIR``, ``labels:scenes:church``."""

from typing import NoReturn

import torch

from ganatomy.core.errors import BadFile, BadModel, BadValue
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Images, Labels
from ganatomy.datasets import ImageDataset, ImageRefs, open_images
from ganatomy.datasets.folder import ImageFolder
from ganatomy.models.segmenters.registry import SEGMENTERS


class DatasetLabels:
    """The labels of a dataset's images; of other images it knows nothing.

    >>> from ganatomy.datasets import CropSpec
    >>> labels = open_labels("scenes:church", device=torch.device("cpu"))
    >>> labels.of(ImageRefs(labels.images.fingerprint, (0, 1), CropSpec(64))).shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, images: ImageDataset, device: torch.device, ignored: tuple[int, ...] = ()) -> None:
        if not images.planes:
            raise BadFile(f"{images.name}: has no label maps; they lie in labels/PLANE beside images")
        self.images = images
        self.vocabulary, self.planes = images.vocabulary, images.planes
        self.fingerprint = fingerprint({}, "labels", images.fingerprint, *ignored)
        self.device = device

    def of(self, refs: ImageRefs | None) -> Labels:
        """Return the labels of images, cropped as they were."""
        if refs is None:
            self._refuse()
        if refs.fingerprint != self.images.fingerprint:
            raise BadValue(
                f"labels:{self.images.name} are of other images than the classifier looks at; give labels: and "
                "images= the same name"
            )
        return self.images.labels(refs.indices, refs.crop).to(self.device)

    def __call__(self, images: Images) -> Labels:  # noqa: ARG002  of the protocol, which carries a vocabulary
        """Refuse images that are no references."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise BadModel(
            f"labels:{self.images.name} are of the images of that set alone, which a classifier looks at; for "
            "images that are drawn or changed, give a segmenter"
        )


@SEGMENTERS.register("labels", data=True)
def open_labels(dataset: str, /, *, device: torch.device, ignore: str = "") -> DatasetLabels:
    """Take the labels that came with the images that a classifier looks at: a directory, or scenes:CATEGORY.

    Args:
        dataset: of images with labels.
        device: where labels go.
        ignore: numbers in label maps that stand for unlabelled pixels, such as ``255``; they become nothing, and count
            as pixels without a concept.

    Raises:
        BadFile: no such images, or they have no labels.
        BadValue: no such numbers, or there are no label maps in files that could hold them.
    """
    images, ignored = open_images(dataset), tuple(ignore.split(",")) if ignore else ()
    if not all(number.strip().isdecimal() for number in ignored):
        raise BadValue(f"ignore={ignore}: give numbers of labels with commas between them, such as 255")
    numbers = tuple(map(int, ignored))
    if numbers and not isinstance(images, ImageFolder):
        raise BadValue(f"ignore={ignore} is for label maps in a folder; {dataset} has none")
    return DatasetLabels(images.ignoring(numbers) if isinstance(images, ImageFolder) else images, device, numbers)
