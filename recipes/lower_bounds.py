"""Print the oldest versions that pyproject.toml allows of what users install, as constraints for pip: ``make minimum``.

Tools for development and the guide stay at their newest.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
TOOLS = ("dev", "docs")


def lower_bounds(project: dict[str, Any]) -> list[str]:
    """Return ``name==version`` of every requirement ``name>=version`` of the package and its extras.

    Raises:
        ValueError: a requirement has no lower bound.
    """
    extras = project.get("optional-dependencies", {})
    requirements = [*project["dependencies"], *(each for name in extras if name not in TOOLS for each in extras[name])]
    bounds = set()
    for requirement in requirements:
        if re.match(rf"{project['name']}\[", requirement):
            continue  # extras of its own
        found = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
        if found is None:
            raise ValueError(f"{requirement!r} is no name>=version")
        bounds.add("==".join(found.groups()))
    return sorted(bounds)


if __name__ == "__main__":
    print("\n".join(lower_bounds(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"])))
