"""Where tensors live and how exactly they are computed, by name."""

import torch

from ganatomy.errors import BadValue, UnknownName

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def find_device(name: str | torch.device) -> torch.device:
    """Return the device of that name, once it is certain that it is there.

    Raises:
        BadValue: there is no such device on this machine.

    >>> find_device("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise BadValue(f"no device {str(name)!r} here; there are: {', '.join(known)}") from error
    return device


def find_dtype(name: str) -> torch.dtype:
    """Return the number format of that name, in which a model computes; what it takes and gives is float32 throughout.

    Raises:
        UnknownName: there is no such format.

    >>> find_dtype("bfloat16")
    torch.bfloat16
    """
    if name not in DTYPES:
        raise UnknownName("dtype", name, DTYPES)
    return DTYPES[name]
