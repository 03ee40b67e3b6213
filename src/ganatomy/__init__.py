"""See what each unit of a generative image model draws, prove it, and repair it.

>>> import ganatomy
>>> result = ganatomy.dissect("bundled:church", images=200)      # doctest: +SKIP
>>> result.units                                                 # doctest: +SKIP

Importing this package loads nothing heavy: each public name is fetched when it is first used, from where
``__init__.pyi`` says.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

_HOMES = {
    name: module
    for module, name in re.findall(
        r"^from (\S+) import (\w+) as", Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"), re.MULTILINE
    )
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("ganatomy")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ganatomy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
