"""What every page of ours is made with: templates, styles, words for facts, how to cite."""

import functools
import hashlib
import json
from base64 import b64encode
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

CITATION = """\
@inproceedings{bau2019gandissect,
  title     = {{GAN} Dissection: Visualizing and Understanding Generative Adversarial Networks},
  author    = {Bau, David and Zhu, Jun-Yan and Strobelt, Hendrik and Zhou, Bolei and
               Tenenbaum, Joshua B. and Freeman, William T. and Torralba, Antonio},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2019}
}
"""


@functools.cache
def template(name: str, *packages: str) -> jinja2.Template:
    """Return one of our templates; what it uses and is not given is an error.

    Args:
        name: of the file.
        packages: that have templates of their own, to be looked in first.
    """
    folders = [Path(str(files(package) / "templates")) for package in (*packages, "ganatomy.report")]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["humanize"] = humanize
    style = static("report.css") + static("causal.css")
    scripts = {name: static(f"{name}.js") for name in ("sort", "theme")}
    environment.globals |= {"citation": CITATION, "policy": policy, "style": style, **scripts}
    return environment.get_template(name)


def static(name: str) -> str:
    """Return the text of a style or a script."""
    return (files("ganatomy.report") / "static" / name).read_text(encoding="utf-8")


def policy(*scripts: str) -> str:
    """Return what a page may do: show what is in it, and run these scripts and that of the theme; nothing else.

    >>> policy().partition(";")[0], policy("1").rpartition(" ")[2]
    ("default-src 'none'", "'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s='")
    """
    digests = [hashlib.sha256(script.encode()).digest() for script in (static("theme.js"), *scripts)]
    only = " ".join(["script-src", *(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)])
    shown = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return f"{shown}; {only}"


def script_json(value: Any) -> str:
    """Return JSON that can neither end the script element that holds it nor begin another, or a comment."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def humanize(value: Any) -> str:
    """Return a fact as a person would write it.

    >>> humanize({"layers": ("layer1", "layer2"), "seed": 0, "resolution": None})
    'layers layer1, layer2; seed 0; resolution –'
    """
    if value is None or value == () or value == []:
        return "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(humanize, value))
    if isinstance(value, dict):
        return "; ".join(f"{k} {humanize(v)}" for k, v in value.items())
    return str(value)


def model_name(generator: str) -> str:
    """Return the name of a generator without its options, as a heading has it."""
    return generator.partition("?")[0].rstrip(":")
