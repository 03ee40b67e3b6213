"""The user guide. Warnings are fatal: ``make docs``."""

import importlib.metadata
import os
import runpy
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "ganatomy"
release = importlib.metadata.version("ganatomy")
copyright = "the authors of ganatomy, Apache-2.0"
html_title = f"ganatomy {release}"
html_theme = "furo"
ROOT = Path(__file__).parents[1]
build = runpy.run_path(str(ROOT / "hatch_build.py"))
if repository := build["address"](ROOT):
    html_theme_options = {
        "source_repository": f"{repository}/",
        "source_branch": build["BRANCH"],
        "source_directory": "docs/",
    }
html_static_path = ["static"]
html_css_files = ["pages.css"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_design"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
html_math_renderer = "mathml"  # which browsers draw by themselves: no script, no network
myst_heading_anchors = 3
nb_execution_mode = "off"  # the test suite executes the notebooks
exclude_patterns = ["_build", "*-tables.md"]  # tables are parts of other pages
templates_path: list[str] = []

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_use_ivar = True

# Names without a page: those of other projects (nothing is fetched to find theirs), and our own inner ones.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(torch|numpy|np|pandas|pd|pathlib|collections|jaxtyping|typing|contextlib|abc|rich|PIL|matplotlib)\..*",
    ),
    (r"py:.*", r"(Path|Any|Callable|Mapping|Sequence|Iterator|Tensor|optional|range|Float|Integer|DataFrame)"),
    (
        r"py:.*",
        r"ganatomy\.(stats\..*|training\.dictionaries\..*"
        r"|experiments\.(choosing|dissection_stats|top_images|scoring|tables)\..*|study\.([AMRS]|lock\..*)"
        r"|engines\.(Engine|A)|models\.segmenters\.unet\.UNet|models\.generators\.suffix_runner\..*"
        r"|experiments\.(causal\.setting_spec\.Setting|causal\.shown\.Extremes|result\.R)"
        r"|report\.(causal\.section\.Section|charts\..*|tables\.Table))",
    ),
    (
        r"py:class",
        r"[a-z_]+|UnitCard|Resampled|Result|Axes",
    ),  # fields that a docstring names together: "batch, shard: …"
    (r"py:class", r"'[\w #]+'"),  # axes of a tensor
]


def inline_formula(writer: Any, node: nodes.math) -> None:
    """Write a formula of a line as MathML."""
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def formula(writer: Any, node: nodes.math_block) -> None:
    """Write a formula that stands alone as MathML."""
    writer.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Show what pages say only where the repository has an address, and draw formulas."""

    def shown(_app: Any, _page: str, source: list[str]) -> None:
        source[0] = build["with_address"](source[0], repository)

    app.connect("source-read", shown)
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
