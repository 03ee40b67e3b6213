"""Where tensors live, by name."""

import torch

from ganatomy.errors import BadValue


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
