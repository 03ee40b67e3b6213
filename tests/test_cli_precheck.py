"""Mistakes in names are found before torch is loaded."""

import subprocess
import sys

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
