"""The labels that came with images: ``labels:DIR``, ``labels:scenes:church``. Nothing is segmented."""

from typing import NoReturn

import torch

from ganatomy.errors import BadFile, BadModel, BadValue
from ganatomy.pictures import PictureSet, Shown, open_pictures
from ganatomy.pictures.folder import PictureFolder
from ganatomy.segmenters.registry import SEGMENTERS
from ganatomy.types import Images, Labels
from ganatomy.weights import fingerprint


class GivenLabels:
    """What somebody said of the images of a set, in the place of a segmenter; it sees nothing in other images.

    >>> from ganatomy.pictures import Frame
    >>> labels = open_labels("scenes:church", device=torch.device("cpu"))
    >>> labels.of(Shown(labels.pictures.fingerprint, (0, 1), Frame(64))).shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(self, pictures: PictureSet, device: torch.device, ignored: tuple[int, ...] = ()) -> None:
        if not pictures.planes:
            raise BadFile(f"{pictures.name}: has no label maps; they lie in labels/PLANE beside images")
        self.pictures = pictures
        self.vocabulary, self.planes = pictures.vocabulary, pictures.planes
        self.fingerprint = fingerprint({}, "labels", pictures.fingerprint, *ignored)
        self.device = device

    def of(self, shown: Shown | None) -> Labels:
        """Return the labels of images that were looked at, as large as they were seen.

        Raises:
            BadModel: they were drawn, not looked up.
            BadValue: they are of another set.
            BadFile: a label map cannot be read.
        """
        if shown is None:
            self._refuse()
        if shown.fingerprint != self.pictures.fingerprint:
            raise BadValue(
                f"labels:{self.pictures.name} are of other images than the classifier looks at; give labels: and "
                "images= the same name"
            )
        return self.pictures.labels(shown.numbers, shown.frame).to(self.device)

    def __call__(self, images: Images) -> Labels:  # noqa: ARG002  a segmenter by its looks, to carry a vocabulary
        """Refuse images of which nothing is known but what they look like.

        Raises:
            BadModel: always.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise BadModel(
            f"labels:{self.pictures.name} are of the images of that set alone, which a classifier looks at; for "
            "images that are drawn or changed, give a segmenter"
        )


@SEGMENTERS.register("labels", data=True)
def open_labels(pictures: str, /, *, device: torch.device, ignore: str = "") -> GivenLabels:
    """Take the labels that came with the images that a classifier looks at: a directory, or scenes:CATEGORY.

    Args:
        pictures: the set.
        device: where labels go.
        ignore: numbers in label maps that stand for pixels that nobody labelled, such as ``255``; they become nothing,
            and count as pixels that show nothing: in every total, and for units that are on there.

    Raises:
        BadFile: no such images, or there are no labels beside them.
        BadValue: no such numbers, or there are no label maps in files that could hold them.
    """
    found, ignored = open_pictures(pictures), tuple(ignore.split(",")) if ignore else ()
    if not all(number.strip().isdecimal() for number in ignored):
        raise BadValue(f"ignore={ignore}: give numbers of labels with commas between them, such as 255")
    numbers = tuple(map(int, ignored))
    if numbers and not isinstance(found, PictureFolder):
        raise BadValue(f"ignore={ignore} is for label maps in a folder; {pictures} has none")
    return GivenLabels(found.ignoring(numbers) if isinstance(found, PictureFolder) else found, device, numbers)
