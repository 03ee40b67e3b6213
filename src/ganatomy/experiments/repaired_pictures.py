"""The same images without some units: drawn, described by features, and shown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganatomy.edit import Intervention
from ganatomy.errors import BadValue
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.described import PROBE, Described, Setting, describe_real
from ganatomy.progress import report_progress
from ganatomy.types import Images

Units = Sequence[int]


@dataclass(frozen=True, eq=False)
class Redrawn:
    """Images before and after: first those in which the units are greatest, then as many plain ones.

    Attributes:
        ids: int64 [n].
        pictures: uint8 [n, trials, H, W, 3].
    """

    ids: Tensor
    pictures: Tensor

    def state_dict(self) -> dict[str, Tensor]:
        """Return both."""
        return {"ids": self.ids, "pictures": self.pictures}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "Redrawn":
        """Make them again."""
        return cls(**state)


def switched_off(setting: Setting, units: Units) -> list[Intervention]:
    """Return the edits that switch some units of the layer off; none for no units."""
    shape = setting.source.shape(setting.spec.layer)
    return [Intervention.ablate(setting.spec.layer, shape, units)] if units else []


@torch.no_grad()
def describe_repaired(setting: Setting, trials: Sequence[Units], ids: range) -> Described:
    """Describe one shard without each set of units; what comes before the layer is computed once.

    Returns:
        One row an image: the features of each trial, one after the other, and the peaks of all units before any edit.
    """
    spec, generator = setting.spec, setting.source.models.generator
    edits = [switched_off(setting, own) for own in trials]
    features: list[Tensor] = []
    peaks: list[Tensor] = []
    for part in setting.source.parts(ids, spec.batch):
        z = generator.latents(part, spec.seed)
        seen = generator.observe(z, [spec.layer])
        r = seen.features[spec.layer]
        images = (generator.render(own[0](r), spec.layer, z) if own else seen.images for own in edits)
        features.append(torch.cat([setting.features(each.clamp(-1, 1)) for each in images], 1))
        peaks.append(r.amax((2, 3)))
        report_progress(len(part))
    return Described.of(features, peaks)


def redrawn(setting: Setting, units: Units, ids: range) -> Iterator[tuple[Images, range]]:
    """Draw images without some units, batch by batch."""
    spec, generator, edits = setting.spec, setting.source.models.generator, switched_off(setting, units)
    for part in setting.source.parts(ids, spec.batch):
        yield generator.edited(generator.latents(part, spec.seed), edits), part


def redraw(setting: Setting, trials: Sequence[Units], ids: Sequence[int]) -> Redrawn:
    """Draw some images in every way, to be shown."""
    each = [[next(redrawn(setting, units, range(i, i + 1)))[0] for units in trials] for i in ids]
    pictures = [torch.stack([as_bytes(image)[0] for image in own]).permute(0, 2, 3, 1) for own in each]
    return Redrawn(torch.tensor(ids), torch.stack(pictures))


def greatest(peaks: Float[Tensor, "M u"], top: int) -> Int64[Tensor, " top"]:
    """Return the images in which any of some units is greatest: each unit lends its top images, by turns.

    An image counts by its best place in the order of any unit, so no unit's scale matters. Of equal places, such as
    the first of two units, the lower number comes first. What is equal in many images has the last of their places: a
    unit that is off everywhere lends none.

    >>> greatest(torch.tensor([[1.0, 0.0], [9.0, 0.0], [2.0, 0.0], [0.0, 5.0]]), 3).tolist()
    [1, 3, 2]

    Raises:
        BadValue: a unit is NaN or Inf.
    """
    if not bool(peaks.isfinite().all()):
        raise BadValue("units are NaN or Inf in some images, and these cannot be ranked")
    columns = peaks.T.contiguous()
    places = len(peaks) - torch.searchsorted(columns.sort(1).values, columns)
    return places.amin(0).argsort(stable=True)[:top]


def repairing_seconds(setting: Setting, numbers: int, trials: Sequence[Units], textures: int) -> float:
    """Say how long it will take to draw and describe all images in every way, from a few of them."""
    spec = setting.spec
    few = min(PROBE, spec.images, spec.reals)
    for _ in range(2):  # what is done once is done the first time
        start = perf_counter()
        describe_repaired(setting, trials, spec.ids()[:few])
        between = perf_counter()
        describe_real(setting, numbers, range(few))
        done = perf_counter()
    return ((spec.images + textures) * (between - start) + spec.reals * (done - between)) / few
