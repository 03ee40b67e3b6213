"""A disk that fills up: one line, nothing finished is lost, and it goes on to the same bits once there is room."""

import errno
import os
import re
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import DISSECT, IN_A_WORLD_OF_ITS_OWN, Stage, differing, files

from ganatomy.cli import main, models_verbs

PASSING = re.compile(r"\.partial\.|steps/validation\.npz$")
"""Files that are there only until a study is finished."""
COMMANDS = {
    "dissect": (*DISSECT, "--out", "made"),
    "ablate": ("ablate", "study", "--layer", "layer2", "--units", "2", "--images", "20", "--out", "made"),
    "ace": ("ace", "study", "--layer", "layer2", "--concept", "ball", "--top", "4", "--images", "16", "--out", "made"),
    "monitor": ("monitor", "planted:", "--steps", "1", *DISSECT[2:], "--out", "made"),
}
STEP = 96
"""Kilobytes by which the disk grows: less than most files, so that it fills up at nearly every one of them."""
DIFFERS = {"monitor": ("times.csv",), "ablate": ("report.html",), "ace": ("report.html",)}
"""Files that log how long it took, or link to what lies on another disk."""


@pytest.fixture(scope="module")
def apart() -> Iterator[Stage]:
    """A stage that may mount."""
    mount = [*IN_A_WORLD_OF_ITS_OWN, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", "/mnt"]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing may be mounted here, not even in a world of one's own")
    stage = Stage(own_world=True)
    yield stage
    stage.close()


@pytest.mark.slow
@pytest.mark.parametrize("verb", COMMANDS)
def test_a_disk_that_is_full_again_and_again_loses_nothing(
    stage: Stage, apart: Stage, here: Path, tmp_path: Path, verb: str
) -> None:
    command = COMMANDS[verb]
    assert stage.run(here, *command).code == 0
    whole = files(here / "made")
    disk = tmp_path / "disk"
    disk.mkdir()
    apart.shell("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(disk))
    try:
        apart.shell("ln", "-s", str(here / "study"), str(disk / "study"))
        full, size, kept = 0, 4, dict[str, str]()
        while True:
            ended = apart.run(disk, *command)
            found = apart.files(disk / "made")
            finished = {name: digest for name, digest in found.items() if not PASSING.search(name)}
            assert not [name for name in found if name.endswith(".tmp")]
            assert kept.items() <= finished.items(), "something that was finished is lost"
            if ended.code == 0:
                break
            assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
            assert "No space left on device" in ended.err
            told = ("study.json", "index.html", *DIFFERS.get(verb, ()))  # what says how far it is, or how long it took
            kept = {name: digest for name, digest in finished.items() if not any(part in name for part in told)}
            full, size = full + 1, size + STEP
            apart.shell("mount", "-o", f"remount,size={size}k", str(disk))
        assert full > 1
        apart.shell("mount", "-o", f"remount,size={size + 4096}k", str(disk))
        assert apart.run(disk, *command).code == 0, "with room for all, pages link each other"
        found = apart.files(disk / "made")
        assert differing(whole, found, but=DIFFERS.get(verb, ())) == []
    finally:
        apart.shell("umount", str(disk))


def test_a_disk_that_is_made_read_only_is_one_line_and_what_is_there_is_shown(
    apart: Stage, stage: Stage, here: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    apart.shell("mount", "-t", "tmpfs", "tmpfs", str(disk))
    try:
        apart.shell("cp", "-r", str(here / "study"), str(disk))
        before = apart.files(disk)
        apart.shell("mount", "-o", "remount,ro", str(disk))
        shown = apart.run(disk, "show", "study")
        assert (shown.code, shown.err) == (0, "")
        assert shown.out == stage.run(here, "show", "study").out
        for command in (COMMANDS["ablate"], (*DISSECT, "--out", "made")):
            refused = apart.run(disk, *command)
            assert (refused.code, refused.err.count("\n")) == (2, 1), refused.err
            assert "cannot write made (Read-only file system)" in refused.err
        assert apart.files(disk) == before
    finally:
        apart.shell("umount", str(disk))


@pytest.mark.parametrize("stream", ["out", "err"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_answer_that_cannot_be_written_is_told_in_one_line(stage: Stage, here: Path, stream: str) -> None:
    argv = ("models",) if stream == "out" else ("dissect", "planted:", "--images", "0", "--out", "made")
    ended = stage.run(here, f"full-{stream}", *argv)
    assert ended.code == 2
    said = "ganatomy: cannot go on (No space left on device); what is finished is kept: mend that, and "
    said += "run the same command again\n"
    assert ended.err == (said if stream == "out" else "")


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EIO, 2), (errno.EMFILE, 2), (errno.EROFS, 2), (errno.ENOENT, None)]
)
def test_what_the_machine_refuses_is_one_line_and_what_we_do_wrong_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, code: int | None
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number), "/some/file")

    monkeypatch.setattr(models_verbs, "models", refused)
    if code is None:
        with pytest.raises(OSError, match="/some/file"):
            main(["models"])
    else:
        assert main(["models"]) == code
        assert capsys.readouterr().err.startswith(f"ganatomy: cannot go on /some/file ({os.strerror(number)}); what")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_too_little_memory_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def refused(*_: object) -> None:
        raise error

    monkeypatch.setattr(models_verbs, "models", refused)
    assert main(["models"]) == 2
    assert capsys.readouterr().err.startswith("ganatomy: cannot go on (not enough memory); what is finished is kept")


@pytest.mark.slow
def test_too_many_open_files_are_told_in_one_line(stage: Stage, here: Path) -> None:
    ended = stage.run(here, "files", "4", *DISSECT, "--out", "made")
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert "Too many open files" in ended.err
    assert stage.run(here, *DISSECT, "--out", "made").code == 0
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 4
