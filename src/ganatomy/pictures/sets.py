"""Sets of pictures by name: a directory, or ``scenes:church`` for scenes that are drawn when they are looked at."""

from pathlib import Path

from ganatomy.pictures.broden import Broden, is_broden
from ganatomy.pictures.folder import PictureFolder
from ganatomy.pictures.protocol import PictureSet
from ganatomy.pictures.rendered import RenderedScenes


def open_pictures(name: str) -> PictureSet:
    """Open a set of pictures: a directory laid out like Broden or as `PictureFolder` has it, or ``scenes:CATEGORY``.

    Raises:
        BadFile: no such directory, no pictures in it, or what is said of them cannot be read.
        UnknownName: no such category of scenes.

    >>> open_pictures("scenes:church").planes
    ('object', 'part', 'material')
    """
    family, _, category = name.partition(":")
    if family == "scenes":
        return RenderedScenes(category or "church")
    return Broden(Path(name)) if is_broden(Path(name)) else PictureFolder(Path(name))
