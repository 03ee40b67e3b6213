"""Image files of any kind as 8 bit red, green and blue: upright, opaque, on the scale of values that the file states.

The first image of a file that holds several is taken. What is transparent becomes white. Colour profiles and gamma are
not applied, and CMYK is converted without one. A file that does not say which value is white is refused: floating-point
and signed values, 32 bits, and 16 bits of which only the lower 14 are used.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from ganatomy.core.errors import BadFile
from ganatomy.core.files import DAMAGE

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000")
"""What is read, whatever a file is called; other readers of Pillow start programs or know no photographs."""
SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
UNREADABLE = (*DAMAGE, SyntaxError, Image.DecompressionBombError)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation."""
SAMPLE_FORMAT, PHOTOMETRIC = 339, 262
"""Tags of TIFF."""
UNSIGNED = (1, 4)
"""Values of SampleFormat: unsigned integers, and undefined."""
LOWER = (1 << 14) - 1
"""The greatest value of 14 bits, which cameras and scanners write unscaled into 16."""


@contextlib.contextmanager
def opened(source: Path | bytes, name: Path | str) -> Iterator[Image.Image]:
    """Open an image file, or the bytes of one; whatever is raised while it is used becomes a BadFile of that name."""
    if isinstance(source, Path) and not source.is_file():
        raise BadFile(f"{source}: no such image")
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
            yield image
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise BadFile(f"{name}: not a whole image ({reason}); mend it, or take it out") from error


def rgb(image: Image.Image, name: Path | str) -> Image.Image:
    """Return an opened image in mode RGB; a BadFile where nothing says what its values mean."""
    packing = packed_as(image)
    _check_values(image, name)
    deep = ";16" in packing or ";12" in packing
    if deep and "transparency" in image.info:
        raise _refused(name, "16 bits a channel and a transparent colour")
    inverted = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == 0  # type: ignore[attr-defined]
    image = upright(image)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        white = 4095 if ";12" in packing else 65535
        _check_depth(int(values.max()), deep and white > LOWER, name)
        values = (values * 255 + white // 2) // white
        image = Image.fromarray((255 - values if inverted else values).clip(0, 255).astype(np.uint8))
    elif deep and image.mode in ("RGB", "RGBA"):  # of which Pillow keeps the upper half
        _check_depth(256 * int(np.asarray(image)[..., :3].max()), True, name)
    if not image.has_transparency_data:
        return image.convert("RGB")
    seen = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def upright(image: Image.Image) -> Image.Image:
    """Return an opened image, loaded and turned as its EXIF orientation says; Pillow does that to TIFF by itself."""
    turn = TURNS.get(_orientation(image))
    image.load()
    return image.copy() if turn is None else image.transpose(turn)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height of an opened image when it is upright."""
    width, height = image.size
    return (height, width) if _orientation(image) > 4 else (width, height)


def packed_as(image: Image.Image) -> str:
    """Return Pillow's name of the pixel format in an opened image's file, before it is loaded: ``RGB;16B``."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":
        return 1
    try:
        with warnings.catch_warnings(action="ignore"):
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except UNREADABLE:  # damaged facts about an image that may be whole
        return 1


def _check_values(image: Image.Image, name: Path | str) -> None:
    """Refuse an opened image of which nothing says which value is white, or what its channels are."""
    formats = image.tag_v2.get(SAMPLE_FORMAT, 1) if image.format == "TIFF" else 1  # type: ignore[attr-defined]
    kinds = formats if isinstance(formats, tuple) else (formats,)
    if image.mode == "F":
        raise _refused(name, "floating-point values")
    if any(kind not in UNSIGNED for kind in kinds):
        raise _refused(name, "signed values")
    if image.mode == "I" and image.format == "TIFF":
        raise _refused(name, "32 bits a channel")
    if image.mode in ("LAB", "HSV"):
        raise BadFile(f"{name}: has its colours in {image.mode}, which are not read; save it in RGB")
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        raise BadFile(f"{name}: has CMYK colours and does not say whether 0 is no ink or all; save it in RGB")


def _check_depth(greatest: int, deep: bool, name: Path | str) -> None:
    """Refuse 16 bits that hold fewer, unscaled; an image that is all black is black on any scale."""
    if deep and 0 < greatest <= LOWER:
        raise BadFile(
            f"{name}: has 16 bits a channel and no value above {greatest}, so it may hold 12 or 14 bits unscaled; "
            "stretch its values to 0 to 65535, or save it with 8 bits"
        )


def _refused(name: Path | str, what: str) -> BadFile:
    return BadFile(f"{name}: has {what}, and nothing says which value is white; save it with 8 or 16 bits a channel")
