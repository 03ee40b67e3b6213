"""A `ganatomy.Monitor` as a callback of Lightning; needs ``pip install 'ganatomy[lightning]'``.

>>> from ganatomy.training.lightning import MonitorCallback                                           # doctest: +SKIP
>>> Trainer(callbacks=[MonitorCallback("generator", out="runs/monitor", latent=(64,))])      # doctest: +SKIP

Importing this module loads no Lightning; `MonitorCallback` becomes a callback of the one that is installed when it is
first asked for.
"""

import operator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.training.monitor import Monitor, Sample

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


class CallbackMixin:
    """Looks at a network of the Lightning module while the trainer trains it; in the first process only.

    Steps are ``trainer.global_step``, which counts optimizer steps: two a batch where generator and discriminator have
    one each. Numbers and images go to the trainer's TensorBoard, if it has one and no other board is given.

    Args:
        network: where the network is in the Lightning module, ``generator`` or ``ema.module``; "" for all of it.
        sample: as of `Monitor`.
        options: all other arguments of `Monitor`: out, latent, layers, every, budget, …

    Attributes:
        monitor: once the training has begun.
    """

    def __init__(self, network: str = "", sample: Sample | None = None, **options: Any) -> None:
        super().__init__()
        self._path, self._sample, self._options = network, sample, options
        self.monitor: Monitor | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Find the network, and try a snapshot.

        Raises:
            BadValue: there is no such network.
        """
        if not trainer.is_global_zero:
            return
        try:
            network = operator.attrgetter(self._path)(pl_module) if self._path else pl_module
        except AttributeError:
            names = ", ".join(name for name, _ in pl_module.named_children())
            raise BadValue(f"{type(pl_module).__name__} has no {self._path!r}; it has {names}") from None
        options = {"board": _board(trainer), **self._options}
        self.monitor = Monitor(network, self._sample, **options)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Dissect, if it is time to."""
        if self.monitor is not None:
            self.monitor(trainer.global_step)


def _board(trainer: Any) -> Any:
    boards = (getattr(logger, "experiment", None) for logger in trainer.loggers)
    return next((board for board in boards if hasattr(board, "add_scalar") and hasattr(board, "add_image")), None)


if TYPE_CHECKING:
    MonitorCallback = CallbackMixin


def __getattr__(name: str) -> Any:
    if name != "MonitorCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = type(name, (CallbackMixin, _callback()), {"__module__": __name__, "__doc__": CallbackMixin.__doc__})
    globals()[name] = made
    return made


def _callback() -> type:
    """Return Lightning's class of callbacks.

    Raises:
        BadModel: Lightning is not installed.
    """
    for package in _PACKAGES:
        try:
            found: type = import_module(package).Callback
        except ModuleNotFoundError:
            continue
        return found
    raise BadModel("Lightning is not installed; run: pip install 'ganatomy[lightning]'")
