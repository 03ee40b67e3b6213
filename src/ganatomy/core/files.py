"""Files that are there whole or not at all; and those of others, which may be anything, read within bounds."""

import contextlib
import errno
import json
import os
import re
import secrets
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

MOST = 1 << 24
"""Bytes of a text that are read; what a reader of ours takes is far smaller, unless it says so."""
UNFOLDS = 100
"""How many times its size an archive may hold, beyond `MOST`; weights that were packed hold less than twice."""
OF_THE_MACHINE = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EMFILE", "ENFILE", "ENOMEM", "ESTALE")
)
"""Errors that no file and no code of ours makes: no room, a disk that fails, too many open files, no memory."""
DAMAGE = (
    *(LookupError, ArithmeticError, TypeError, ValueError, AttributeError, RuntimeError, EOFError, OSError),
    *(MemoryError, struct.error),
)
"""Raised by readers of damaged or hostile files."""
_SURROGATE = re.compile(r"\\ud[89a-f]", re.IGNORECASE)
"""How JSON escapes either half of a letter beyond the first 65,536."""


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary name next to `path` to write to; move it into place when the block ends well, else remove it.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic_write(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less what the umask withholds
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    os.close(descriptor)
    try:
        yield temporary
        temporary.chmod(mode)  # who wrote may have put a file of another mode there
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_text(path: Path, most: int = MOST) -> str:
    """Return the text of a file that may be anything: no pipe is waited for, and none is read that is too large."""
    kind = require_regular_file(path)
    if kind.st_size > most:
        raise ValueError(f"{kind.st_size} bytes, of at most {most}")
    return path.read_text(encoding="utf-8-sig")  # of Windows, some begin with a byte order mark


def require_regular_file(path: Path) -> os.stat_result:
    """Return the size and times of a file, once it is certain that it is one."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "no file but a pipe or a device", str(path))
    return found


def read_json(path: Path, most: int = MOST) -> Any:
    """Return what a JSON file holds; see `read_text`."""
    return loads_json(read_text(path, most))


def loads_json(text: str | bytes) -> Any:
    """Return what JSON says; raises ValueError for what is none, and for half a letter, which no file can hold."""
    try:
        found = json.loads(text)
        if _SURROGATE.search(text if isinstance(text, str) else text.decode(errors="replace")):
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeEncodeError:
        raise ValueError("half a letter") from None
    return found


def check_zip_ratio(archive: ZipFile, size: int) -> None:
    """Refuse a zip of `size` bytes whose files would take many times that."""
    if (whole := sum(each.file_size for each in archive.infolist())) > UNFOLDS * size + MOST:
        raise ValueError(f"{size} bytes that unfold to {whole}")
