"""A URL is data: it names a place in the cache, never one outside, and the way back is the same."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mistakes import mistake

from ganatomy.core.errors import BadValue
from ganatomy.remote import display_path, local_path, url_of
from ganatomy.remote.paths import is_plain


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("GANATOMY_CACHE", str(root))
    return root.resolve() / "studies"


def test_paths_stay_what_they_are(tmp_path: Path) -> None:
    for path in ("runs/church", "/x/y", "a:b", "C:/x", "~/x", str(tmp_path)):
        assert local_path(path) == Path(path)
        assert url_of(Path(path)) is None
        assert display_path(Path(path)) == path


@pytest.mark.parametrize(
    ("url", "copy"),
    [
        ("s3://bucket/runs/church", "s3/bucket/runs/church"),
        ("s3://bucket/runs//church/", "s3/bucket/runs/church"),
        ("S3://bucket/runs/church", "s3/bucket/runs/church"),
        ("memory://church", "memory/church"),
        ("memory:///church", "memory/church"),
        ("file:///tmp/church", "file/%/tmp/church"),
        ("local:///tmp/church", "file/%/tmp/church"),
        ("hdfs:///runs/church", "hdfs/%/runs/church"),
        ("sftp://me@host:22/runs/a b", "sftp/me@host%3A22/runs/a b"),
        ("abfs://box@account.dfs.core.windows.net/x", "abfs/box@account.dfs.core.windows.net/x"),
        ("gs://bucket/50%/ä*", "gs/bucket/50%25/ä%2A"),
    ],
)
def test_a_url_has_a_working_copy(cache: Path, url: str, copy: str) -> None:
    assert local_path(url) == cache / copy
    assert local_path(str(url_of(local_path(url)))) == cache / copy


def test_a_path_made_of_a_url_is_taken_for_the_url(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("s3://bucket/x", "memory://x", "file:///tmp/x"):
        assert local_path(Path(url)) == local_path(url)
    monkeypatch.chdir(tmp_path)
    Path("s3:", "bucket").mkdir(parents=True)  # a directory that is called so
    assert local_path(Path("s3:/bucket")) == Path("s3:/bucket")


def test_the_neighbours_of_a_study_are_those_of_its_url() -> None:
    study = local_path("s3://bucket/runs/church")
    beside = study.with_name(f"{study.name}-causal") / "layer4" / "ablate-material-water"
    assert url_of(beside) == "s3://bucket/runs/church-causal/layer4/ablate-material-water"
    assert url_of(study / "study.json") == display_path(study / "study.json") == "s3://bucket/runs/church/study.json"


def test_a_cache_behind_a_link_is_the_same_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "near"))
    assert url_of(tmp_path / "near" / "studies" / "s3" / "b" / "x") == "s3://b/x"
    assert url_of(local_path("s3://b/x")) == "s3://b/x"


def test_without_a_home_paths_are_paths_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANATOMY_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as it does where nobody knows the user
    assert url_of(tmp_path) is None
    assert display_path(Path("a\0b")) == "a\0b"
    with mistake("bad-value", "GANATOMY_CACHE"):
        local_path("s3://bucket/x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert url_of(tmp_path / "loop") is None


@pytest.mark.parametrize(
    ("url", "fact"),
    [
        ("s3://KEY:sEcReT@bucket/x", "password"),
        ("s3://KEY:sE/cReT@bucket/x", "password"),
        ("s3://bucket/x?key=sEcReT", "protocol://host/path"),
        ("simplecache::s3://bucket/x", "simplecache::s3://bucket/x"),
        ("s3://bucket/a::zip", "protocol://host/path"),
        ("s3://bucket/../../x", "s3://bucket/../../x"),
        ("s3://bucket/a/./x", "s3://bucket/a/./x"),
        ("s3://bucket", "s3://bucket/study"),
        ("s3:///", "s3:///"),
        ("memory://", "memory://"),
        ("file://tmp/x", "file:///tmp/x"),
        ("https://host/x", "https://"),
    ],
)
def test_what_no_study_can_lie_at_is_refused_without_its_secrets(url: str, fact: str) -> None:
    with mistake("bad-value", fact) as caught:
        local_path(url)
    assert "cReT" not in str(caught.value)


URLS = st.from_regex(r"[a-z][a-z0-9+.-]{1,8}", fullmatch=True).flatmap(
    lambda protocol: st.text(max_size=60).map(lambda rest: f"{protocol}://{rest}")
)


@settings(max_examples=60, deadline=None)
@given(URLS)
@example("s3://b/%2e%2e/%2F/x")
@example("s3://b/\x00/\n/x")
@example("s3://b/.. /x")
@example("s3://b/\udcff")
@example("memory://~/x")
def test_no_url_leaves_the_cache_and_each_is_found_again(url: str) -> None:
    root = local_path("s3://a/b").parents[2]
    try:
        copy = local_path(url)
    except BadValue:
        return
    assert copy.resolve().is_relative_to(root)
    assert copy.resolve() != root
    assert not any(part in ("..", ".") or "\0" in part for part in copy.parts)
    again = url_of(copy)
    assert again is not None
    assert local_path(again) == copy


@given(st.text(max_size=30))
@example("..")
@example(".lock")
@example("a/b")
@example("generated images.npz")
def test_a_plain_name_is_one_part_of_a_path(name: str) -> None:
    if is_plain(name):
        assert Path("/a", name).parent == Path("/a")
        assert Path("/a", name).resolve() == Path("/a", name)
    assert is_plain("generated images.part-003-of-016.partial.npz")
