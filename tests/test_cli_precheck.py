"""Mistakes in names are found before torch is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ganatomy.cli.arguments import parse
from ganatomy.cli.precheck import check_names
from ganatomy.core.errors import GanatomyError

SECONDS = """
import sys, resource
from ganatomy.cli import main
assert main(sys.argv[1:]) == 2
assert "torch" not in sys.modules
print(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("dissect church --out x", "unknown generator 'church'; did you mean bundled:church or"),
        ("dissect church.pth --out x", "did you mean progan:church.pth or stylegan:church.pth"),
        ("dissect progna:x.pth --out x", "unknown generator 'progna:x.pth'; did you mean progan"),
        ("dissect bundled:chruch --out x", "unknown bundled generator 'chruch'; did you mean church"),
        ("dissect bundled:scenes --out x", "unknown bundled generator 'scenes'; there are: church"),
        ("dissect progan:x.pth --out x", "x.pth: no such file"),
        ("layers progan:x.pth?pixelnorm=no", "x.pth: no such file"),
        (
            "dissect bundled:church --segmenter scenes --out x",
            "unknown segmenter 'scenes'; did you mean bundled:scenes?",
        ),
        (
            "dissect bundled:church --segmenter net.pth --out x",
            "did you mean unet:net.pth or torch:MODULE:CALLABLE?weights=net.pth?",
        ),
        ("ablate nowhere --layer layer4", "nowhere holds no study; there is nothing of that name"),
        ("compare nowhere --out x", "nowhere holds no study; there is nothing of that name"),
    ],
)
def test_names_that_open_nothing(words: str, message: str) -> None:
    with pytest.raises(GanatomyError) as caught:
        check_names(parse(words.split()))
    assert message in str(caught.value)


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dissection and an ablation of it, as far as their records go."""
    facts = {"layers": {"layer1": [2, 4, 4]}, "vocabulary": [["nothing", "nothing"], ["tree", "object"]]}
    for name, kind in (("demo", "dissect"), ("ablation", "effect")):
        (tmp_path / name).mkdir()
        record = {"experiment": kind, "facts": facts | ({"source": "demo"} if kind == "effect" else {})}
        (tmp_path / name / "study.json").write_text(json.dumps(record))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("ablate dem --layer layer1", "did you mean demo?"),
        ("ablate demo --layer layer11", "unknown layer 'layer11'; did you mean layer1?"),
        ("insert demo --layers layer1,leyer1 --concept tree", "unknown layer 'leyer1'"),
        ("ace demo --layer layer1 --concept tre", "unknown concept 'tre'; did you mean tree?"),
        ("ablate ablation --layer layer1", "holds a result of kind effect; give the dissection that it is of: demo"),
    ],
)
def test_what_a_study_has_not_is_found_in_its_record(words: str, message: str) -> None:
    with pytest.raises(GanatomyError) as caught:
        check_names(parse(words.split()))
    assert message in str(caught.value)


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
