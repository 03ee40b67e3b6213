"""``ganatomy models``, ``models fetch`` and ``layers``: what they print, and what scripts get."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_words import save_words

from ganatomy.cli import main
from ganatomy.cli.arguments import build
from ganatomy.core.fingerprint import file_sha256
from ganatomy.models.generators.progan import progan_network
from ganatomy.models.weights import MODEL_ZOO

ROOT = Path(__file__).parents[1]
FILE = MODEL_ZOO["progan-church"].files[0]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GANATOMY_MIRROR", raising=False)
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    return tmp_path


@pytest.fixture
def church(here: Path) -> Path:
    """A small generator under the name of a published file."""
    torch.save(progan_network(8, [8, 8, 4, 4]).state_dict(), here / FILE)
    return here / FILE


def test_what_can_be_fetched_is_listed_with_size_and_licence(answer: Callable[..., str]) -> None:
    text = answer("models")
    for model in MODEL_ZOO.values():
        assert f"  {model.name}\n" in text
        assert f"{model.bytes / 1e6:.0f} MB; licence: {model.licence}; not fetched" in text
    published = json.loads(answer("models", "--json"))["published"]
    assert [own["name"] for own in published] == list(MODEL_ZOO)
    assert not any(own["fetched"] for own in published)
    for asked in (["--list"], []):
        assert answer("models", "fetch", *asked) in text
        assert json.loads(answer("models", "fetch", *asked, "--json"))["published"] == published


def test_a_published_model_has_a_card(answer: Callable[..., str]) -> None:
    text = answer("models", "upp")
    assert f"{MODEL_ZOO['upp'].bases[0]}labels.json" in text
    assert json.loads(answer("models", "upp", "--json"))["spec"] == "unified:upp"


def test_a_model_is_fetched_and_told_how_to_open(church: Path, here: Path, answer: Callable[..., str]) -> None:
    text = answer("models", "fetch", "progan-church", "--from", str(church))
    assert f"cache/progan-church/{FILE}" in text
    assert f"sha256 {file_sha256(church)} (does not begin with the digits in its name)" in text
    assert "licence: CC BY-NC 4.0" in text
    assert text.endswith("open it as progan:progan-church\n")
    told = json.loads(answer("models", "fetch", "progan-church", "--json"))
    assert told["files"][FILE]["sha256"] == file_sha256(church)
    assert "fetched: progan:progan-church" in answer("models")
    assert len(json.loads(answer("layers", told["spec"], "--json"))["layers"]) == 4
    text = answer("models", "fetch", "progan-church", "--from", str(here), "--to", "mine")
    assert text.endswith(f"open it as progan:mine/{FILE}\n")
    answer("layers", f"progan:mine/{FILE}")


def test_a_file_that_came_unencrypted_says_so(church: Path, answer: Callable[..., str], here: Path) -> None:
    answer("models", "fetch", "progan-church", "--from", str(church))
    record = here / "cache/progan-church/ganatomy-fetched.json"
    record.write_text(record.read_text().replace(str(church), "http://gandissect.csail.mit.edu/models/x.pth"))
    assert "came unencrypted, so anybody on the way" in answer("models", "fetch", "progan-church")


def test_mistakes_are_one_line(refused: Callable[..., None]) -> None:
    refused(["models", "progan-curch"], "progan-church")
    refused(["models", "fetch", "progan-curch"], "progan-church")
    refused(["models", "fetch", "upp"], "GANATOMY_OFFLINE")
    refused(["models", "fetch", "upp", "--to"], "ganatomy models fetch --help")
    refused(["models", "fetch", "upp", "--too", "x"], "ganatomy models fetch", "'--too'")


def test_help_of_fetch(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["models", "fetch", "--help"])
    assert capsys.readouterr().out.startswith("usage: ganatomy models fetch")
    with pytest.raises(SystemExit):
        main(["models", "--help"])
    assert "ganatomy models fetch NAME" in " ".join(capsys.readouterr().out.split())


def test_every_option_of_fetch_is_documented() -> None:
    guide = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    commands = next(action for action in build()._actions if action.dest == "==SUPPRESS==")
    options = commands.choices["models"].own["fetch"]._option_string_actions  # type: ignore[index]
    assert {"--from", "--to", "--list", "--json"} < options.keys()
    assert "ganatomy models fetch" in guide
    assert [option for option in options if option not in guide and option not in ("-h", "--help")] == []


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.grow, self.act, self.flat = nn.ConvTranspose2d(6, 8, 18), nn.ReLU(), nn.Flatten()
        self.paint = nn.Conv2d(8, 3, 1)

    def forward(self, z):
        self.flat(z)
        return self.paint(self.act(self.grow(z))).tanh()
"""


def test_layers_are_listed_in_forward_order_with_what_they_take(here: Path, answer: Callable[..., str]) -> None:
    (here / "net_of_layers.py").write_text(NET)
    spec = "torch:net_of_layers:Net?latent=6x1x1"
    told = json.loads(answer("layers", spec, "--json"))
    assert told["image"] == [18, 18]
    facts = {"units": 8, "height": 18, "width": 18, "dtype": "float32", "bytes": 4 * 8 * 18 * 18}
    assert told["layers"] == [{"layer": "grow", **facts}, {"layer": "act", **facts}]
    assert told["others"]["flat"] == "is not spatial: its output is [b, 6]"
    assert told["others"]["paint"] == "draws the image itself"
    text = answer("layers", spec)
    assert re.search(r"grow +8 +18×18 +float32 +10 kB", text)
    assert "2 layers that can be dissected; images of 18×18" in text
    assert re.search(r"flat +is not spatial: its output is \[b, 6\]\n", text)


def test_blocks_are_listed_once_and_directions_apart(here: Path, answer: Callable[..., str]) -> None:
    words = f"basis:{save_words(here / 'words.pt')}?steps=3&directions=rotation&count=5"
    for layer, plain in (("up1@2", True), ("up1@2..3", True), ("up1@1..3", False)):
        told = json.loads(answer("layers", f"{words}&layer={layer}", "--json"))
        units = {own["layer"]: own["units"] for own in told["layers"]}
        assert units[layer] == 5
        assert ("up1" in units) == plain
        assert not [name for name in units if "@" in name and name != layer]
        assert told["steps"] == 3
    assert re.search(r"up1@1..3 +5 +\d+×\d+", answer("layers", f"{words}&layer=up1@1..3"))


def test_a_layer_that_is_none_says_where_layers_are_listed(
    here: Path, refused: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "net_of_layers.py").write_text(NET)
    spec = "torch:net_of_layers:Net?latent=6x1x1"
    refused(["dissect", spec, "--layers", "gorw", "--out", "study"], "grow", f"ganatomy layers '{spec}'")
    assert main(["dissect", "torch:net_of_layers:Nett", "--layers", "grow", "--out", "study"]) == 2
    assert "ganatomy layers" not in capsys.readouterr().err


def test_layers_of_nothing(refused: Callable[..., None]) -> None:
    refused(["layers", "progan:church.pth"], "church.pth")
