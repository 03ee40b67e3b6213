"""Engines by name, for whoever types them: ``local``, ``processes``, ``ray``, ``ray://HOST:PORT``."""

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.engines import Engine, local
from ganatomy.engines.cpus import usable

ENGINES = ("local", "processes", "ray", "ray://HOST:PORT")


def open_engine(
    name: str | None = None,
    *,
    workers: int | None = None,
    devices: Sequence[str] = (),
    gpus_per_worker: float = 0.0,
    device: str = "cpu",
) -> AbstractContextManager[Engine]:
    """Return an engine, which counts the shards of a study, for a ``with`` block; after it nothing of it is left.

    >>> import ganatomy
    >>> with ganatomy.open_engine("processes", workers=4) as engine:                   # doctest: +SKIP
    ...     result = ganatomy.dissect("bundled:church", out="study", engine=engine)

    Args:
        name: ``local``: here, one shard after the other; ``processes``: of this machine; ``ray``: the cluster that runs
            here, or a new one of this machine; ``ray://HOST:PORT``: that cluster. None: processes where workers or
            devices are given, else local.
        workers: how many there are; None for one a core, or one a GPU. Of Ray: as many as there is room for.
        devices: of each process ``cpu``, or the number of a GPU.
        gpus_per_worker: the share of a GPU that each worker of Ray takes; 0 for workers on CPUs.
        device: ``cpu`` or ``cuda``: where processes compute if `devices` does not say.

    Raises:
        UnknownName: there is no such engine.
        BadValue: options that it does not have, or devices that are not here.
        EngineError: Ray is not installed.
    """
    chosen = name or ("processes" if workers is not None or devices else "local")
    cluster = chosen == "ray" or chosen.startswith("ray://")
    if not cluster and chosen not in ENGINES:
        raise UnknownName("engine", chosen, ENGINES)
    if workers is not None and workers < 1:
        raise BadValue(f"workers={workers} is too few; give at least 1")
    if not 0 <= gpus_per_worker < float("inf"):
        raise BadValue(f"gpus_per_worker={gpus_per_worker} is no share of a GPU; give 0.25, or 1")
    if gpus_per_worker and not cluster:
        raise BadValue(f"gpus_per_worker is for Ray; engine {chosen} takes devices, such as 0,1,2,3")
    if devices and chosen != "processes":
        raise BadValue(f"devices are for the engine processes, not for {chosen}; leave them out")
    if chosen == "local":
        if workers is not None:
            raise BadValue(f"workers={workers} are for engine processes or ray, not for local; leave them out")
        return contextlib.nullcontext(local)
    if cluster:
        from ganatomy.engines.ray import Ray

        return Ray(None if chosen == "ray" else chosen, workers, 1.0, gpus_per_worker)
    if devices and workers is not None:
        raise BadValue("workers and devices both say how many processes there are; give one of them")
    from ganatomy.engines.processes import Processes

    return Processes(devices or _default_devices(workers, device))


def engine_of(engine: str | Engine, device: str = "cpu") -> AbstractContextManager[Engine]:
    """Return an engine for a ``with`` block: one that is named, or one that is open, and stays so."""
    return open_engine(engine, device=device) if isinstance(engine, str) else contextlib.nullcontext(engine)


def driver_device(device: str, devices: Sequence[str]) -> str:
    """Return where the process that gives out the work computes what is not counted by the shard.

    Args:
        device: what was asked for; ``auto`` is the first of `devices` that is a GPU, else what `choose_device` says.
        devices: of the workers, if they were given.

    Raises:
        BadValue: CPU here and GPU there, or the other way round.

    >>> driver_device("cpu", ()), driver_device("auto", ("2", "3")), driver_device("cuda:1", ("2", "3"))
    ('cpu', 'cuda:2', 'cuda:1')
    """
    cards = [each for each in devices if each != "cpu"]
    if device == "auto":
        if devices:
            return f"cuda:{cards[0].removeprefix('cuda:')}" if cards else "cpu"
        from ganatomy.core.devices import choose_device

        return choose_device(device)
    if devices and (device == "cpu") == bool(cards):
        raise BadValue(
            f"device {device} and devices {','.join(devices)}: CPU and GPU round differently; leave the device out"
        )
    return device


def _default_devices(workers: int | None, device: str) -> list[str]:
    if device == "cpu":
        return ["cpu"] * (workers or usable())
    import torch

    here = torch.cuda.device_count()
    return [str(i % max(here, 1)) for i in range(workers or here)]
