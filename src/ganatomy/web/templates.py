"""The HTML of the pages, in the language of the report."""

from functools import cache
from importlib.resources import files
from typing import Any

import jinja2


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (files("ganatomy.web") / "templates" / name).read_text("utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def page(name: str, **facts: Any) -> str:
    """Return a page; what it uses and is not given is an error."""
    return _environment().get_template(name).render(**facts)
