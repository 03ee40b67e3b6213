"""Mistakes in names are found before torch is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mistakes import mistake

from ganatomy.cli.arguments import parse
from ganatomy.cli.precheck import check_names

SECONDS = """
import sys, resource
from ganatomy.cli import main
assert main(sys.argv[1:]) == 2
assert "torch" not in sys.modules
print(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
"""


@pytest.mark.parametrize(
    ("words", "code", "fact"),
    [
        ("dissect church --out x", "unknown-name", "bundled:church"),
        ("dissect church.pth --out x", "unknown-name", "progan:church.pth or stylegan:church.pth"),
        ("dissect progna:x.pth --out x", "unknown-name", "progan"),
        ("dissect bundled:chruch --out x", "unknown-name", "church"),
        ("dissect bundled:scenes --out x", "unknown-name", "church"),
        ("dissect progan:x.pth --out x", "bad-file", "x.pth"),
        ("layers progan:x.pth?pixelnorm=no", "bad-file", "x.pth"),
        ("dissect bundled:church --segmenter scenes --out x", "unknown-name", "bundled:scenes"),
        ("dissect bundled:church --segmenter net.pth --out x", "unknown-name", "unet:net.pth"),
        ("ablate nowhere --layer layer4", "study-error", "nowhere"),
        ("compare nowhere --out x", "study-error", "nowhere"),
    ],
)
def test_names_that_open_nothing(words: str, code: str, fact: str) -> None:
    with mistake(code, fact):
        check_names(parse(words.split()))


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dissection and an ablation of it, as far as their records go."""
    facts = {
        "layers": {"layer1": [2, 4, 4], "up1@2": [2, 4, 4]},
        "vocabulary": [["nothing", "nothing"], ["tree", "object"]],
    }
    for name, kind in (("demo", "dissect"), ("ablation", "effect")):
        (tmp_path / name).mkdir()
        record = {"experiment": kind, "facts": facts | ({"source": "demo"} if kind == "effect" else {})}
        (tmp_path / name / "study.json").write_text(json.dumps(record))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize(
    ("words", "code", "facts"),
    [
        ("ablate dem --layer layer1", "study-error", ("dem", "demo")),
        ("ablate demo --layer layer11", "unknown-name", ("layer11", "layer1")),
        ("ablate demo --layer up9 --at-steps 1..4", "unknown-name", ("unknown block 'up9'; did you mean up1?",)),
        ("insert demo --layers layer1,leyer1 --concept tree", "unknown-name", ("leyer1", "layer1")),
        ("ace demo --layer layer1 --concept tre", "unknown-name", ("tre", "tree")),
        ("ablate ablation --layer layer1", "study-error", ("effect", "demo")),
    ],
)
def test_what_a_study_has_not_is_found_in_its_record(words: str, code: str, facts: tuple[str, ...]) -> None:
    with mistake(code, *facts):
        check_names(parse(words.split()))


@pytest.mark.usefixtures("studies")
def test_what_a_study_has_passes() -> None:
    check_names(parse(["insert", "demo", "--layers", "layer1", "--concept", "object:tree"]))
    check_names(parse(["show", "ablation"]))


def test_names_that_may_open_something_pass() -> None:
    for name in (
        "bundled:church",
        "bundled:church?dtype=bfloat16",
        "torch:nets:net?weights=no.pth",
        "planted",
        "progan:x",
    ):
        check_names(parse(["dissect", name, "--out", "x"]))
    check_names(
        parse(["dissect", "basis:progan:no.pth?layer=a&directions=pca", "--segmenter", "clipseg:A/b", "--out", "x"])
    )


@pytest.mark.parametrize("words", ["dissect church --out x", "dissect progan:x.pth --out x", "report nowhere"])
def test_it_loads_no_torch(words: str) -> None:
    run = subprocess.run([sys.executable, "-c", SECONDS, *words.split()], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 0.6, "seconds; 0.25 on a quiet core"
