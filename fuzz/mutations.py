"""What can be wrong with files: bits, lengths, names, numbers, nesting; and things that are no files at all.

A sample is a tree: what lies under each path. All that happens to it follows from a seed, so any finding can be had
again.
"""

import io
import json
import os
import random
import struct
import zipfile
import zlib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any


class FileAnomaly(Enum):
    """What may lie where a file is expected."""

    MISSING = "missing"
    EMPTY = "empty"
    FOLDER = "folder"
    PIPE = "pipe"  # nobody writes into it: who opens it waits for ever
    ENDLESS = "link to /dev/zero"
    DANGLING = "link to nothing"
    OUTSIDE = "link to a file outside"
    ITSELF = "link to itself"
    HUGE = "a terabyte of zeros"


Tree = Mapping[str, bytes | FileAnomaly]

NAMES = ["../../x", "/etc/passwd", "a/../../b", "x\0y", "\ud800", "", " ", ".", "a" * 5000, "<script>alert(1)</script>"]
NAMES += ["\x1b[2J\x1b]0;x\x07", "=1+1", "-rf", "torch:os:system?command=id", "a\nb", "file:///etc/passwd", "\u202e"]
NUMBERS = [0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**63), 10**12, 10**30, 1e308, float("nan"), float("inf"), 0.5]
HOSTILE: list[Any] = [None, True, [], {}, [[]], {"": None}, *NAMES, *NUMBERS]
DEEP = 100_000
DEPTHS = {b"[": b"]", b'{"a":': b"}"}
ENDS = struct.Struct("<Q"), struct.Struct("<I"), struct.Struct(">I"), struct.Struct("<H")


def mutated(tree: Tree, rng: random.Random) -> Tree:
    """Return a tree with one of its files damaged, or replaced by an anomaly."""
    path = rng.choice(sorted(tree))
    content = tree[path]
    if isinstance(content, FileAnomaly) or rng.random() < 0.04:
        return {**tree, path: rng.choice(list(FileAnomaly))}
    if rng.random() < 0.02:  # under another name
        rest = {name: other for name, other in tree.items() if name != path}
        return {**rest, str(Path(path).with_stem(rng.choice(["..x", "a b", "x" * 200, "\u202e", "-"]))): content}
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        content = changed(content, rng)
    return {**tree, path: content}


def changed(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes of a file, changed in a way that its format would let through, or in any way at all."""
    knows = [change for test, change in FORMATS if test(content)]
    if knows and rng.random() < 0.7:
        return knows[0](content, rng)
    return rng.choice(BLIND)(bytearray(content), rng)


def write_tree(tree: Tree, root: Path) -> None:
    """Write a tree."""
    for name, content in tree.items():
        path = root / name.replace("\0", "")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            _write_anomaly(content, path)


def _write_anomaly(anomaly: FileAnomaly, path: Path) -> None:
    links = {
        FileAnomaly.ENDLESS: "/dev/zero",
        FileAnomaly.DANGLING: "nowhere",
        FileAnomaly.OUTSIDE: "/etc/hostname",
        FileAnomaly.ITSELF: path.name,
    }
    if anomaly in links:
        path.symlink_to(links[anomaly])
    elif anomaly is FileAnomaly.PIPE:
        os.mkfifo(path)
    elif anomaly is FileAnomaly.FOLDER:
        path.mkdir()
    elif anomaly is not FileAnomaly.MISSING:
        path.touch()
        if anomaly is FileAnomaly.HUGE:
            os.truncate(path, 1 << 40)


def _flip(content: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _cut(content: bytearray, rng: random.Random) -> bytes:
    return bytes(content[: rng.randrange(len(content) + 1)])


def _splice(content: bytearray, rng: random.Random) -> bytes:
    """Copy a part to another place, over what is there or between it; or leave it out."""
    size = rng.choice([1, 4, 16, 256, 4096])
    start, end = (rng.randrange(len(content) + 1) for _ in range(2))
    part = content[start : start + size]
    kind = rng.randrange(3)
    content[end : end + (0 if kind == 1 else size)] = b"" if kind == 2 else part
    return bytes(content)


def _number(content: bytearray, rng: random.Random) -> bytes:
    """Put a number that is too large where a length might be; mostly near the beginning or the end, as those are."""
    form = rng.choice(ENDS)
    if len(content) < form.size:
        return bytes(content)
    near = min(len(content) - form.size, 64)
    last = len(content) - form.size
    place = rng.choice([rng.randint(0, near), last - rng.randint(0, near), rng.randint(0, last)])
    most = (1 << 8 * form.size) - 1
    form.pack_into(content, place, rng.choice([0, 1, most, most >> 1, (most >> 1) + 1, rng.randint(0, most)]))
    return bytes(content)


def _noise(content: bytearray, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    content[place:place] = rng.randbytes(rng.choice([1, 2, 16, 300]))
    return bytes(content)


def _digits(content: bytearray, rng: random.Random) -> bytes:
    """Write a number in digits in the place of another."""
    places = [i for i, byte in enumerate(content[:200_000]) if 48 <= byte < 58]
    if places:
        i = rng.choice(places)
        content[i : i + 1] = rng.choice([b"99999999999999999999", b"-1", b"0", b"1e999", b"", b"9" * 5000])
    return bytes(content)


BLIND = [_flip, _flip, _cut, _splice, _number, _noise, _digits]


def json_changed(content: bytes, rng: random.Random) -> bytes:
    """Replace a value or a name somewhere in JSON, write one twice, or nest it deeper than anyone can read."""
    kind = rng.random()
    if kind < 0.05:
        opens = rng.choice(sorted(DEPTHS))
        closed = DEPTHS[opens] * (DEEP if rng.random() < 0.5 else 0)
        return opens * DEEP + b"1" + closed
    value = json.loads(content)
    holders = list(_holders(value))
    if not holders:
        return json.dumps(rng.choice(HOSTILE)).encode()
    holder = rng.choice(holders)
    key = rng.choice(sorted(holder) if isinstance(holder, dict) else range(len(holder)))
    if kind < 0.15:
        del holder[key]
    elif kind < 0.25 and isinstance(holder, dict):
        holder[rng.choice(NAMES)] = holder.pop(key)
    elif kind < 0.3:
        holder[key] = "\ue000deep\ue001"
    elif kind < 0.35:
        holder[key] = rng.choice(holders)
        with_loop = _dumped(holder[key])
        return with_loop if with_loop is not None else content
    else:
        holder[key] = rng.choice(HOSTILE)
    text = _dumped(value) or content
    return text.replace(b'"\\ue000deep\\ue001"', b"[" * DEEP + b"]" * DEEP)


def _dumped(value: Any) -> bytes | None:
    try:
        return json.dumps(value).encode()
    except ValueError:  # it holds itself
        return None


def _holders(value: Any) -> Any:
    if isinstance(value, dict | list):
        if value:
            yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from _holders(each)


def _is_json(content: bytes) -> bool:
    if content[:1] not in (b"{", b"["):
        return False
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def zip_changed(content: bytes, rng: random.Random) -> bytes:
    """Change an entry, its name, or what is said of its size, in a zip that is whole otherwise."""
    entries = _entries(content)
    if not entries:
        return content
    kind = rng.random()
    names = sorted(entries)
    name = rng.choice(names)
    if kind < 0.1:
        entries[rng.choice(["../../x.png", "/tmp/x.png", "a\\..\\b.png", "\u202e.png", name + "/"])] = entries[name]
    elif kind < 0.2:
        del entries[name]
    elif kind < 0.25:
        entries[name] = bytes(100 << 20)  # packs to a thousandth
    elif kind < 0.3:
        entries[name] = entries[rng.choice(names)]
    else:
        entries[name] = changed(entries[name], rng)
    return packed(entries, zipfile.ZIP_DEFLATED if kind < 0.25 or rng.random() < 0.1 else zipfile.ZIP_STORED)


def packed(entries: Mapping[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, how)
    return file.getvalue()


def _entries(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:  # it was damaged before
        return {}


def safetensors_changed(content: bytes, rng: random.Random) -> bytes:
    """Change the head, and say its new length."""
    head = content[8 : 8 + int.from_bytes(content[:8], "little")]
    new = json_changed(head, rng) if _is_json(head) else changed(head, rng)
    return len(new).to_bytes(8, "little") + new + content[8 + len(head) :]


def _is_safetensors(content: bytes) -> bool:
    return len(content) > 10 and content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content)


def png_changed(content: bytes, rng: random.Random) -> bytes:
    """Change what the head of a PNG says, with a check sum that fits."""
    head = bytearray(content[12:29])
    if rng.random() < 0.4:
        head[4:12] = struct.pack(">II", *(rng.choice([0, 1, 100_000, 2**31 - 1, 16]) for _ in range(2)))
    else:
        head[rng.randrange(4, 17)] = rng.randrange(256)
    return content[:12] + bytes(head) + struct.pack(">I", zlib.crc32(head)) + content[33:]


def tiff_changed(content: bytes, rng: random.Random) -> bytes:
    """Change the number, kind, count or value of a tag of a TIFF of little-endian numbers."""
    start = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[start : start + 2], "little")
    place = start + 2 + 12 * rng.randrange(max(1, count))
    if place + 12 > len(content):
        return content
    changed = bytearray(content)
    values = [0, 1, 2, 3, 4, 5, 8, 12, 16, 32, 64, 255, 65535, (1 << 32) - 1, rng.randrange(1 << 32)]
    offset, form = rng.choice([(0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"), (8, "<I"), (8, "<I")])
    tags = [258, 259, 262, 266, 273, 274, 277, 284, 317, 320, 322, 338, 339]
    value = rng.choice(tags if offset == 0 else values)
    struct.pack_into(form, changed, place + offset, min(value, (1 << 8 * struct.calcsize(form)) - 1))
    return bytes(changed)


def parquet_changed(content: bytes, rng: random.Random) -> bytes:
    """Change the footer of a Parquet file, or the head of one of its pages: numbers of seven bits a byte."""
    import pyarrow.parquet as pq

    try:
        footer = pq.read_metadata(io.BytesIO(content))
    except Exception:  # it was damaged before
        return _flip(bytearray(content), rng)
    changed, size = bytearray(content), footer.serialized_size
    if rng.random() < 0.5 and footer.num_row_groups and footer.num_columns:
        group = footer.row_group(rng.randrange(footer.num_row_groups))
        column = group.column(rng.randrange(footer.num_columns))
        place = rng.choice([column.data_page_offset, column.dictionary_page_offset or column.data_page_offset])
        place += rng.randrange(24)
    else:
        place = len(content) - 8 - rng.randrange(1, size + 1)
    changed[min(place, len(content) - 1)] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return bytes(changed)


FORMATS = [
    (lambda content: content.startswith(b"PAR1") and content.endswith(b"PAR1"), parquet_changed),
    (lambda content: content.startswith(b"II*\0") and len(content) > 16, tiff_changed),
    (lambda content: content.startswith(b"PK\3\4"), zip_changed),
    (lambda content: content.startswith(b"\x89PNG") and len(content) > 33, png_changed),
    (_is_safetensors, safetensors_changed),
    (_is_json, json_changed),
]
