"""What a dissection will take: time, memory and disk, from a look at a few images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from ganatomy.devices import with_memory
from ganatomy.experiments.choosing import KEPT_BYTES
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.models import Models
from ganatomy.experiments.sampling import batch_size, chosen_layers, grid_of, observe
from ganatomy.experiments.shards import CALIBRATION_BYTES, calibration_parts
from ganatomy.generators import LayerShape


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes:
        images: how many are drawn and segmented.
        memory_bytes: greatest need of the tables and of drawing and segmenting one batch, beside the models' weights.
        disk_bytes: of the study.
        seconds: from a probe of one batch on this machine.
    """

    images: int
    memory_bytes: int
    disk_bytes: int
    seconds: float


def forecast(spec: DissectSpec, models: Models) -> Forecast:
    """Say what a run will take."""
    raise NotImplementedError
