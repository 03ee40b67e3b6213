"""The reader of foreign pickles: what it reads, and that nothing in a file runs, or ends in another error."""

import contextlib
import functools
import io
import os
import pickle
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mistakes import mistake
from stylegan_files import Kept, stylegan2, stylegan3, write

from ganatomy.core.errors import BadFile
from ganatomy.models.weights import StubObject, read_pickle

END = b"."


def read(tmp_path: Path, content: bytes) -> Any:
    path = tmp_path / "some.pkl"
    path.write_bytes(content)
    return read_pickle(path)


def refused(tmp_path: Path, content: bytes, *facts: str) -> str:
    with mistake("bad-file", tmp_path / "some.pkl", *facts) as caught:
        read(tmp_path, content)
    return str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_data_come_as_they_are(tmp_path: Path, protocol: int) -> None:
    if protocol == 2:
        data: Any = {
            "s": {"x", 1},
            "a": [1, -(2**70), 2.5, "ü", None, True, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
            7: {},
        }
    else:
        data = {
            "a": (b"bytes", np.float64(0.5), np.bool_(False), np.int64(7)),
            "b": OrderedDict(x=1),
            "c": {"x", 1},
            "d": set(),
        }
    got = read(tmp_path, pickle.dumps(data, protocol))
    assert got == data
    assert all(type(each) in (bytes, float, bool, int) for each in got["a"]) or protocol == 2


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("code", ["<f4", ">i2", "|b1", "<u8"])
def test_arrays_come_as_lists(tmp_path: Path, protocol: int, order: Any, code: str) -> None:
    array = np.array([[1, 0, 3], [4, 5, 0]]).astype(code).copy(order)
    assert read(tmp_path, pickle.dumps([array, array], protocol)) == [array.tolist()] * 2


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4),
        torch.arange(12.0).reshape(3, 4).t()[1:, ::2],
        torch.tensor(3.5),
        torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
        torch.arange(3, dtype=torch.int64),
        torch.ones(2, dtype=torch.bfloat16),
        torch.nn.Parameter(torch.ones(2, 2)),
    ],
)
def test_tensors_come_as_tensors(tmp_path: Path, tensor: torch.Tensor) -> None:
    got, again = read(tmp_path, pickle.dumps((tensor, tensor)))
    assert torch.equal(got, tensor.detach())
    assert (got.dtype, got.requires_grad, again is got) == (tensor.dtype, False, True)


def test_an_empty_state_is_none(tmp_path: Path) -> None:
    assert read(tmp_path, asm(name("dnnlib.util", "EasyDict"), b")\x81", "a", 1, b"s", b"}b")) == {"a": 1}


def test_networks_come_as_records_and_their_source_is_left(tmp_path: Path) -> None:
    got = read_pickle(write(tmp_path / "net.pkl", G_ema=Kept("Generator", {"w_avg": torch.ones(2)}, z_dim=3)))
    network = got["G_ema"]
    assert isinstance(network, StubObject)
    assert (network.kind, network.state["z_dim"]) == ("Generator", 3)
    assert network.state["_buffers"]["w_avg"].tolist() == [1, 1]
    assert "module_src" not in str(vars(network))


class Runs:
    """Pickles as a call."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.arguments = (call, arguments)

    def __reduce__(self) -> Any:
        return self.arguments


CALLS = {
    "posix.system": (os.system, "touch {}"),
    "builtins.eval": (eval, "open({!r}, 'w')"),
    "builtins.exec": (exec, "open({!r}, 'w')"),
    "builtins.getattr": (getattr, "", "__class__"),
    "io.open": (io.open, "{}", "w"),
    "torch.serialization.load": (torch.load, "{}"),
    "torch._utils._rebuild_tensor": (torch._utils._rebuild_tensor, 1),
    "pickle.loads": (pickle._loads, b"."),  # type: ignore[attr-defined]
    "functools.partial": (functools.partial, os.system, "touch {}"),
    "numpy.load": (np.load, "{}"),
    "torch.jit._script.load": (torch.jit.load, "{}"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("called", CALLS)
def test_what_calls_anything_else_is_refused_by_name_and_not_run(tmp_path: Path, called: str, protocol: int) -> None:
    marker = tmp_path / "ran"
    call, *arguments = CALLS[called]
    arguments = [each.format(str(marker)) if isinstance(each, str) else each for each in arguments]
    name = called.split(".")[-1].strip("_")
    for content in (Runs(call, *arguments), {"G_ema": [Runs(call, *arguments)]}):
        assert name in refused(tmp_path, pickle.dumps(content, protocol))
    assert not marker.exists()


def asm(*parts: bytes | str | int) -> bytes:
    """Put a pickle together: bytes are instructions, text and numbers are pushed."""
    out = b"\x80\x04"
    for part in parts:
        if isinstance(part, bytes):
            out += part
        elif isinstance(part, int):
            out += b"J" + struct.pack("<i", part)
        else:
            out += b"\x8c" + bytes([len(part)]) + part.encode()
    return out + END


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


PERSISTENT = name("torch_utils.persistence", "_reconstruct_persistent_obj")
TENSOR = name("torch._utils", "_rebuild_tensor_v2")
STORAGE = name("torch.storage", "_load_from_bytes")
ODICT = name("collections", "OrderedDict")


def storage_file(
    count: int = 2, kind: str = "FloatStorage", raw: bytes = b"\0" * 8, written: int = 2, view: Any = None
) -> bytes:
    location = b"(X\x07\x00\x00\x00storagectorch\n" + kind.encode() + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    location += inner(count) + inner(view) + b"tQ"
    head = [pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    return b"".join([*head, b"\x80\x02" + location + END, pickle.dumps(["0"], 2), struct.pack("<q", written), raw])


def inner(value: Any) -> bytes:
    """Return the instructions that push a value."""
    return pickle.dumps(value, 2)[2:-1]


def pushed(raw: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(raw)) + raw


FOUR = STORAGE + pushed(storage_file(4, raw=np.arange(4, dtype="<f4").tobytes(), written=4)) + b"\x85R"


@pytest.mark.parametrize(
    ("instructions", "fact"),
    [
        ([b"(", b"iposix\nsystem\n"], "'posix.system'"),
        ([b"(", name("collections", "OrderedDict"), b"o"], "instruction OBJ"),
        ([b"\x82\x01"], "instruction EXT1"),
        ([b"Pid\n"], "instruction PERSID"),
        (["id", b"Q"], "not a whole pickle"),
        ([ODICT, b")", b"}", b"\x92"], "instruction NEWOBJ_EX"),
        ([name("dnnlib.tflib.network", "Network")], "legacy.py"),
        ([name("os", "x" * 300)], f"'os.{'x' * 77}'"),
        (["os\nx", "y\x1b[31m", b"\x93"], r"'os\nx.y\x1b[31m'"),
        ([b"}", b"}", "a", 1, b"sb"], "TypeError"),  # a state for a dictionary
        ([name("builtins", "set"), b"]", b")", b"a\x85R"], "TypeError"),  # a tuple in a set
        ([ODICT, b"]", b"R"], "TypeError"),
        ([ODICT, b"]\x85", b"R"], "TypeError"),  # what it would be filled with would be hashed
        ([b"}", b"]", 1, b"s"], "TypeError"),  # a list as a key
        ([b"}", b")\x85", 1, b"s"], "TypeError"),  # a tuple as a key
        ([b"\x8f", b"(", b")", b"\x90"], "TypeError"),  # a tuple in a set
        ([b"]", b"(", b"}", b"u"], "TypeError"),
        ([b"}", b"(", "a", b"u"], "ValueError"),  # a key without a value
        ([1, 2, b"a"], "TypeError"),  # append to a number
        ([b"R"], "IndexError"),
        ([b"("], "IndexError"),
        ([1, 2, b"(", b"\x86"], "IndexError"),  # takes from below a mark
        ([b"j\x05\x00\x00\x00"], "KeyError"),
        ([PERSISTENT, b"}\x85R"], "KeyError"),
        ([PERSISTENT, b"]\x85R"], "TypeError"),
        ([PERSISTENT, b"}", "class_name", 1, b"s", "state", b"}s", b"\x85R"], "TypeError"),
        ([name("numpy", "dtype"), "O8", b"\x85R"], "ValueError"),
        ([name("numpy", "dtype"), "f8", b"\x85R", b"(", 3, "O", b"tb"], "ValueError"),
        (
            [name("numpy.core.multiarray", "scalar"), name("numpy", "dtype"), "f8", b"\x85R", "abc", b"\x86R"],
            "TypeError",
        ),
        ([STORAGE, b"C\x02ab", b"\x85R"], "IndexError"),
        ([TENSOR, b"(", b"C\x02ab", 0, b")", b")", b"\x89", b"}", b"tR"], "TypeError"),
    ],
)
def test_hostile_instructions_are_refused(tmp_path: Path, instructions: list[Any], fact: str) -> None:
    refused(tmp_path, asm(*instructions), fact)


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (5,), (1,)),
        (1, (4,), (1,)),
        (0, (2, 2), (1, 3)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2**40,), (0,)),  # one number, seen as many
        (0, (2**70,), (0,)),
        (0, (2,), (1, 1)),
        (0, (1,) * 9, (1,) * 9),
        (0, (2.0,), (1,)),
        (0, "ab", (1, 1)),
        (2**70, (1,), (1,)),
    ],
)
def test_a_tensor_that_reaches_out_of_its_storage_is_refused(
    tmp_path: Path, offset: int, size: Any, stride: tuple[int, ...]
) -> None:
    parts = b"".join(map(inner, (offset, size, stride)))
    refused(tmp_path, asm(TENSOR, b"(", FOUR, parts, b"\x89}tR"), "not a whole pickle")


def test_strides_of_sizes_of_one_may_be_anything(tmp_path: Path) -> None:
    parts = b"".join(map(inner, (1, (1, 3), (2**60, 1))))
    assert read(tmp_path, asm(TENSOR, b"(", FOUR, parts, b"\x89}tR")).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("file", "fact"),
    [
        (storage_file(count=2**40, written=2**40), "ValueError"),  # more than there is
        (storage_file(count=1), "ValueError"),
        (storage_file(written=3), "ValueError"),
        (storage_file(raw=b"\0" * 7), "ValueError"),
        (storage_file(count=-1, written=-1), "ValueError"),
        (storage_file(kind="load"), "'torch.load'"),
        (storage_file(view=("key", 0, 1)), "TypeError"),
        (pickle.dumps(Runs(os.system, "true"), 2), "'posix.system'"),
        (storage_file()[:40], "ValueError"),
    ],
)
def test_a_storage_within_that_is_hostile_is_refused(tmp_path: Path, file: bytes, fact: str) -> None:
    assert read(tmp_path, asm(STORAGE, pushed(storage_file()), b"\x85R"))
    refused(tmp_path, asm(STORAGE, pushed(file), b"\x85R"), fact)


def test_a_storage_within_a_storage_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, asm(STORAGE, pushed(asm(FOUR)), b"\x85R"), "'torch.storage._load_from_bytes'")


def test_the_same_bytes_are_not_unfolded_again_and_again(tmp_path: Path) -> None:
    """A few instructions could ask for a gigabyte: the bytes are in the file once, and fetched a thousand times."""
    raw = storage_file(count=250_000, raw=b"\0" * 1_000_000, written=250_000)
    once = b"h\x01h\x00\x85R"
    start = [pushed(raw), b"q\x00", STORAGE, b"q\x01"]
    assert read(tmp_path, asm(*start, once))
    refused(tmp_path, asm(*start, once * 1000), "unfold")


def test_deep_nesting_is_harmless(tmp_path: Path) -> None:
    """Tuples within each other; the hash of many more, as a key would need it, overflows Python's own stack."""
    deep = b")" + b"\x85" * 20_000
    assert isinstance(read(tmp_path, asm(deep)), tuple)
    refused(tmp_path, asm(b"}", deep, 1, b"s"), "TypeError")


def test_numbers_whose_hashes_collide_are_no_keys(tmp_path: Path) -> None:
    refused(tmp_path, pickle.dumps({i * (2**61 - 1): 0 for i in range(4)}), "TypeError")


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04", b"PK\x03\x04", b"\x80\x04\x95", b"hello", b"\x80\x04K\x01", b"."]
)
def test_what_is_no_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    refused(tmp_path, content, "not a whole pickle")


def test_a_warning_about_text_is_no_other_way_out(tmp_path: Path) -> None:
    refused(tmp_path, b"S'\\d'\n.", "instruction STRING")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with mistake("bad-file", tmp_path / "none.pkl"):
        read_pickle(tmp_path / "none.pkl")
    with mistake("bad-file", tmp_path, "Is a directory"):
        read_pickle(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    directory = tmp_path_factory.mktemp("whole")
    networks = [stylegan2(0, 8), stylegan3(0)]
    return [write(directory / "net.pkl", G=1, G_ema=each).read_bytes() for each in networks]


def read_or_refused(tmp_path: Path, content: bytes) -> None:
    with contextlib.suppress(BadFile):
        read(tmp_path, content)


SHARED_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FLIPS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3)


@settings(SHARED_FOLDER, max_examples=50)
@given(st.integers(0, 1), st.integers(0, 10**6), FLIPS)
def test_a_damaged_file_is_read_or_refused(
    tmp_path: Path, whole: list[bytes], which: int, cut: int, flips: Any
) -> None:
    content = bytearray(whole[which])
    for place, value in flips:
        content[place % len(content)] = value
    if not flips:
        del content[cut % len(content) :]
    read_or_refused(tmp_path, bytes(content))


OPCODES = sorted(opcode.code.encode("latin-1") for opcode in pickletools.opcodes)


@settings(SHARED_FOLDER, max_examples=200)
@given(st.lists(st.sampled_from(OPCODES), max_size=40))
def test_any_instructions_are_read_or_refused(tmp_path: Path, instructions: list[bytes]) -> None:
    start = [1, "a", b"(", b"]", b"}", PERSISTENT, TENSOR, STORAGE, b"q\x00q\x61"]
    read_or_refused(tmp_path, asm(*start, b"".join(instructions)))
