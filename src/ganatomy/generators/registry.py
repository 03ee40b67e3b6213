"""The names under which generators are opened."""

import torch

from ganatomy.devices import find_device
from ganatomy.generators.protocol import Generator
from ganatomy.registry import Registry

GENERATORS: Registry[Generator] = Registry("generator")


def open_generator(spec: str, device: str | torch.device = "cpu") -> Generator:
    """Open a generator by name: ``bundled:church``, ``progan:FILE``, ``torch:package.module:callable?key=value``.

    Raises:
        UnknownName: no such family, model or option.
        BadFile: the weights are not what they should be.
        BadModel: the module is no generator.
    """
    import ganatomy.generators.families  # noqa: F401  the built-in families register themselves

    return GENERATORS.open(spec, device=find_device(device))
