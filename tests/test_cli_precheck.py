"""Mistakes in names are found before torch is loaded."""

import subprocess
import sys

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
        ("dissect bundled:church --segmenter net.pth --out x", "did you mean unet:net.pth?"),
        ("ablate nowhere --layer layer4", "nowhere holds no study; there is nothing of that name"),
        ("compare nowhere --out x", "nowhere holds no study; there is nothing of that name"),
    ],
)
def test_names_that_open_nothing(words: str, message: str) -> None:
    with pytest.raises(GanatomyError) as caught:
        check_names(parse(words.split()))
    assert message in str(caught.value)


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
