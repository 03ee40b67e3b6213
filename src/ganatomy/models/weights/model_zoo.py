"""Published models by name: their addresses, licences and checksums.

For most files nobody published a checksum. So the sha256 is recorded when a file is first fetched, and from then on a
file that differs is refused: on disk when it is opened, on the network when it is fetched again.
"""

import contextlib
import difflib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ganatomy.core.cache import cache_directory
from ganatomy.core.errors import BadFile, UnknownName
from ganatomy.core.files import atomic_write, read_json, write_text
from ganatomy.core.fingerprint import file_sha256
from ganatomy.core.progress import NullProgress, Progress
from ganatomy.models.weights.download import Check, checked_address, download, wrong_beginning


@dataclass(frozen=True)
class PublishedModel:
    """A published model.

    Attributes:
        family: of generators, segmenters or feature networks that opens it.
        licence: as far as its authors state one.
        bytes: about its size.
        bases: addresses of the folders of its files, tried in turn.
        sha256: of its one file, where that is published; else empty.
    """

    name: str
    family: str
    title: str
    licence: str
    bytes: int
    bases: tuple[str, ...]
    files: tuple[str, ...]
    sha256: str = ""

    @property
    def spec(self) -> str:
        """Its name with the family, by which it is opened."""
        return self.name if self.name == self.family else f"{self.family}:{self.name}"

    @property
    def directory(self) -> Path:
        """The folder of its files."""
        return cache_directory() / self.name

    @property
    def missing(self) -> list[str]:
        """The files that are not there."""
        return [file for file in self.files if not (self.directory / file).is_file()]

    def path(self, directory: Path) -> Path:
        """Return the one file, or the folder of several."""
        return directory / self.files[0] if len(self.files) == 1 else directory


@dataclass(frozen=True)
class Record:
    """A fetched file: its sha256, its size, its origin and the day."""

    sha256: str
    bytes: int
    source: str
    date: str


def _progan(scene: str, file: str, of: str, size: int = 92_147_980) -> PublishedModel:
    # https://github.com/davidbau/dissect, experiment/setting.py; before that github.com/CSAILVision/gandissect
    bases = "https://dissect.csail.mit.edu/models/", "http://gandissect.csail.mit.edu/models/"
    licence = "CC BY-NC 4.0 (networks by NVIDIA)"
    return PublishedModel(f"progan-{scene}", "progan", f"Progressive GAN of {of}", licence, size, bases, (file,))


_EPOCH = "encoder_epoch_{0}.pth", "decoder_epoch_{0}.pth"
_UPP, _ADE = "upp-resnet50-upernet/", "ade20k-resnet50dilated-ppm_deepsup"
_MODELS = (
    _progan("bedroom", "proggan_bedroom-d8a89ff1.pth", "LSUN bedrooms, 256 px"),
    _progan("celebahq", "proggan_celebhq-620d161c.pth", "CelebA-HQ faces, 1024 px", 92_286_028),
    _progan("church", "proggan_churchoutdoor-7e701dd5.pth", "LSUN churches, 256 px"),
    _progan("conferenceroom", "proggan_conferenceroom-21e85882.pth", "LSUN conference rooms, 256 px"),
    _progan("diningroom", "proggan_diningroom-3aa0ab80.pth", "LSUN dining rooms, 256 px"),
    _progan("kitchen", "proggan_kitchen-67f1e16c.pth", "LSUN kitchens, 256 px"),
    _progan("livingroom", "proggan_livingroom-5ef336dd.pth", "LSUN living rooms, 256 px"),
    _progan("restaurant", "proggan_restaurant-b8578299.pth", "LSUN restaurants, 256 px"),
    PublishedModel(
        "upp",
        "unified",
        "unified parser: objects, parts, materials of photographs",
        "not stated for the weights (code: BSD 3-Clause)",
        296_994_340,
        # https://github.com/davidbau/dissect, netdissect/segmenter.py; before that github.com/CSAILVision/gandissect
        (
            f"https://dissect.csail.mit.edu/models/segmodel/{_UPP}",
            f"http://netdissect.csail.mit.edu/data/segmodel/{_UPP}",
        ),
        (*(name.format(40) for name in _EPOCH), "labels.json"),
    ),
    PublishedModel(
        _ADE,
        "ade20k",
        "150 objects of photographs: dilated ResNet-50, pyramid pooling",
        "not stated for the weights (code: BSD 3-Clause)",
        206_555_276,
        # https://github.com/CSAILVision/semantic-segmentation-pytorch, demo_test.sh
        (f"http://sceneparsing.csail.mit.edu/model/pytorch/{_ADE}/",),
        tuple(name.format(20) for name in _EPOCH),
    ),
    PublishedModel(
        "inception",
        "inception",
        "Inception-v3 of 2015, the network of the Fréchet Inception Distance",
        "Apache-2.0 (network by Google)",
        95_628_359,
        # https://github.com/mseitzer/pytorch-fid, src/pytorch_fid/inception.py
        ("https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/",),
        ("pt_inception-2015-12-05-6726825d.pth",),
        # as several programs that download it check
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ),
)
MODEL_ZOO = {model.name: model for model in _MODELS}
"""The published models, by name."""

RECORDS = "ganatomy-fetched.json"
"""The file in which a folder's records are kept."""


def published_model(name: str) -> PublishedModel:
    """Return the published model of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in MODEL_ZOO:
        raise UnknownName("published model", name, MODEL_ZOO)
    return MODEL_ZOO[name]


def locate(argument: str) -> Path:
    """Return a file or folder that exists, else the fetched model of that name; fetched files are verified.

    Raises:
        BadFile: there is neither, the model is not fetched yet, or a file changed since it was; says what to do.
    """
    path = Path(argument)
    if not path.exists():
        path = _fetched(argument)
    folder = path if path.is_dir() else path.parent
    for file, record in records(folder).items():
        there = folder / file
        if path in (folder, there) and there.is_file() and file_sha256(there) != record.sha256:
            raise BadFile(
                f"{there}: changed since it came on {record.date} from {record.source}; delete it, and fetch it again"
            )
    return path


def _fetched(name: str) -> Path:
    if name not in MODEL_ZOO:
        close = difflib.get_close_matches(name, MODEL_ZOO, n=1)
        raise BadFile(f"{name}: no such file" + (f"; did you mean the published {close[0]}?" if close else ""))
    model = MODEL_ZOO[name]
    if missing := model.missing:
        raise BadFile(
            f"{name} is not fetched yet: no {', '.join(missing)} in {model.directory}; "
            f"get it ({model.bytes / 1e6:.0f} MB) by: ganatomy models fetch {name}"
        )
    path = model.path(model.directory)
    if model.sha256 and not records(model.directory) and file_sha256(path) != model.sha256:
        raise BadFile(f"{path}: not the published file, its sha256 is another; delete it, and fetch it again")
    return path


def fetch_model(
    name: str, source: str | None = None, to: Path | None = None, progress: Progress | None = None
) -> dict[str, Record]:
    """Fetch the missing or damaged files of a published model, and record them.

    Args:
        name: of the model.
        source: instead of the published address, the address or path of a folder that holds the files under their
            names, or of the one file. Without it, GANATOMY_MIRROR may be an address with the files at NAME/FILE.
        to: the folder to fetch into; else the model's own in the cache.
        progress: of the download.

    Returns:
        The record of each file.

    Raises:
        UnknownName: no such model.
        BadFile: it cannot be fetched, is not what was fetched before, or cannot be written.
        BadValue: the source is neither a path nor an address.
    """
    model = published_model(name)
    directory = model.directory if to is None else to
    progress = progress or NullProgress()
    try:
        with _locked(directory, progress):
            found = records(directory)
            for file in model.files:
                found[file] = _fetch_file(model, directory / file, found.get(file), source, progress)
                content = {each: asdict(record) for each, record in found.items()}
                write_text(directory / RECORDS, json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise BadFile(f"cannot fetch into {directory} ({error}); give another directory") from error
    return {file: found[file] for file in model.files}


def _fetch_file(
    model: PublishedModel, target: Path, before: Record | None, source: str | None, progress: Progress
) -> Record:
    """Fetch one file unless it is there as recorded; return its record."""

    def check(sha256: str) -> str | None:
        if model.sha256 and sha256 != model.sha256:
            return f"its sha256 is {sha256[:16]}…, but that of the published file is {model.sha256[:16]}…"
        if before is None or sha256 == before.sha256:
            return None
        return (
            f"its sha256 is {sha256[:16]}…, but that of the file first fetched on {before.date} was "
            f"{before.sha256[:16]}…; to accept the new one, delete {target.parent / RECORDS}"
        )

    if target.is_file():
        sha256 = file_sha256(target)
        if before is None and source is None:
            _check_beginning(target, target.name)
            if wrong := check(sha256):
                raise BadFile(f"{target}: {wrong}; delete it, and fetch it again")
            return _record(target, sha256, "put there by hand")
        if before is not None and before.sha256 == sha256:
            return before

    if source is not None and Path(source).exists():
        sha256, origin = _copy(model, Path(source), target, check)
    else:
        addresses = _addresses(model, target.name, source)
        others = (target.with_name(file) for file in model.files)
        missing = [other.name for other in others if other == target or not other.is_file()]
        folder = addresses[0].removesuffix(target.name)
        by_hand = f"get {', '.join(missing)} by hand from {folder} and put it into {target.parent}"
        sha256, origin = download(addresses, target, progress, check, by_hand)
    return _record(target, sha256, origin)


def _record(target: Path, sha256: str, source: str) -> Record:
    return Record(sha256, target.stat().st_size, source, time.strftime("%Y-%m-%d"))


def _addresses(model: PublishedModel, file: str, source: str | None) -> list[str]:
    mirror = os.environ.get("GANATOMY_MIRROR")
    if source is None:
        bases = (f"{mirror.rstrip('/')}/{model.name}/",) if mirror else model.bases
        return [base + file for base in bases]
    checked_address(source)
    whole = len(model.files) == 1 and source.endswith(Path(file).suffix)
    return [source if whole else f"{source.rstrip('/')}/{file}"]


def _copy(model: PublishedModel, source: Path, target: Path, check: Check) -> tuple[str, str]:
    if source.is_file() and len(model.files) > 1:
        raise BadFile(f"{source} is one file, and {model.name} is {', '.join(model.files)}; give their folder")
    path = source / target.name if source.is_dir() else source
    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    _check_beginning(path, target.name)
    with atomic_write(target) as temporary:
        shutil.copyfile(path, temporary)
        sha256 = file_sha256(temporary)
        if wrong := check(sha256):
            raise BadFile(f"{path}: {wrong}")
    return sha256, str(path.resolve())


def _check_beginning(path: Path, name: str) -> None:
    with path.open("rb") as file:
        if wrong := wrong_beginning(file.read(512), name):
            raise BadFile(f"{path}: {wrong}")


def named_digits(file: str, sha256: str) -> bool | None:
    """Return whether a sha256 begins with the digits in a file's name, as on PyTorch's hub; None without digits.

    >>> named_digits("proggan_kitchen-67f1e16c.pth", "67f1e16c" + 56 * "0"), named_digits("labels.json", 64 * "0")
    (True, None)
    """
    digits = re.search(r"-([0-9a-f]{8,})\.", file)
    return sha256.startswith(digits[1]) if digits else None


def records(directory: Path) -> dict[str, Record]:
    """Return the records of the files in a folder."""
    path = directory / RECORDS
    try:
        content = read_json(path)
        return {file: Record(**record) for file, record in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadFile(f"{path}: not the records of fetched files ({error}); delete it and fetch again") from error


@contextlib.contextmanager
def _locked(directory: Path, progress: Progress) -> Iterator[None]:
    """Lock a folder; wait for another process that fetches into it."""
    import fcntl  # not on every system, and only needed here

    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.begin("another process is fetching it; waiting", 1)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            finally:
                progress.end()
        yield
