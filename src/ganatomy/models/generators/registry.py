"""The names under which generators, and other models to dissect, are opened."""

import torch

from ganatomy.core.devices import find_device
from ganatomy.core.errors import BadModel
from ganatomy.core.registry import Registry
from ganatomy.models.generators.protocol import Generator, Subject

GENERATORS: Registry[Subject] = Registry("generator", "device")


def open_generator(spec: str, device: str | torch.device = "cpu") -> Generator:
    """Open a generator by name: ``bundled:church``, ``progan:FILE``, ``torch:package.module:callable?key=value``.

    Raises:
        UnknownName: no such family, model or option.
        BadFile: the weights are not what they should be.
        BadModel: the module is no generator.
    """
    opened = open_subject(spec, device)
    if not isinstance(opened, Generator):
        raise BadModel(f"{spec} looks at images and draws none: it can be dissected, and its accuracy measured")
    return opened


def open_subject(spec: str, device: str | torch.device = "cpu") -> Subject:
    """Open a model to dissect by name: any generator, or a classifier, ``classifier:package.module:callable``.

    Raises:
        UnknownName, BadFile, BadModel: as `open_generator`.
    """
    return GENERATORS.open(spec, device=find_device(device))
