"""The training of a sparse autoencoder, which goes on where it was stopped, to the same bits on one device."""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.training.sae.autoencoder import NAMES, Autoencoder, Loss
from ganatomy.training.sae.places import BATCH, Places

RATE, FALLING = 4e-3, 0.2
"""Learning rate of Adam, and the share of all steps, at the end, over which it falls to 0."""
BETAS = (0.9, 0.999)
DEAD = 100
"""Steps without being active after which a feature is dead."""
REVIVED = 100
"""Steps after which dead features begin anew, while the learning rate is whole (resampling, Bricken et al. 2023)."""
RECENT = 50
"""Steps over which the scores that are shown are averaged."""
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class Recent:
    """Scores of the last steps of a training."""

    variance_explained: float
    l0: float
    dead_share: float

    def __str__(self) -> str:
        return f"variance explained {self.variance_explained:.1%}, L0 {self.l0:.1f}, dead {self.dead_share:.1%}"


class Training:
    """An autoencoder, its optimiser, and how far it is.

    Args:
        places: what it is trained on; of no images it stays as it begins.
        features, sparsity: how many there are, and how many may be active at a place.
        revival: whether dead features begin anew.

    Attributes:
        step: how many steps are done.
        steps: how many there are.

    Raises:
        BadValue: a number that is too small, or more active features than there are.
        BadModel: the layer is NaN, Inf, or the same everywhere.
    """

    def __init__(self, places: Places, features: int, sparsity: int, revival: bool = True) -> None:
        for name, value in (("features", features), ("sparsity", sparsity)):
            if value < 1:
                raise BadValue(f"{name}={value} is too few; give at least 1")
        if places.images < 0:
            raise BadValue(f"images={places.images} is too few; give 0 for an untrained one, or more")
        if sparsity > features:
            raise BadValue(f"sparsity={sparsity}: more active features than there are; give 1 to {features}")
        self.places, self._revival = places, revival
        first = places.first()
        if not bool((first != first[0]).any()):
            raise BadModel(f"layer {places.layer} is the same everywhere; there is nothing to learn")
        self.model = Autoencoder(first, features, sparsity, places.seed)
        parameters = [getattr(self.model, name) for name in NAMES]
        self._optimiser = torch.optim.Adam(parameters, RATE, BETAS)
        self._idle = torch.zeros(features, dtype=torch.int64, device=first.device)
        self.step, self.steps = 0, places.steps()
        self._unexplained, self._active = first.new_tensor(1.0), first.new_tensor(0.0)

    @property
    def recent(self) -> Recent:
        """Scores of the last steps."""
        dead = float((self._idle >= DEAD).double().mean())
        return Recent(1 - float(self._unexplained), float(self._active), dead)

    def run(self, after_step: Callable[[], None] = lambda: None) -> None:
        """Do the steps that are left."""
        sizes = [self.places.steps(block) for block in range(self.places.blocks)]
        for block, start in enumerate(itertools.accumulate(sizes, initial=0)):
            if block == len(sizes) or start + sizes[block] <= self.step:
                continue
            for batch in self.places.batches(block)[self.step - start :]:
                self._learn(batch)
                after_step()

    def _learn(self, batch: Tensor) -> None:
        left = 1 - self.step / self.steps
        for group in self._optimiser.param_groups:
            group["lr"] = RATE * min(1.0, left / FALLING)
        self._optimiser.zero_grad()
        loss = self.model.loss(batch)
        loss.value.backward()  # type: ignore[no-untyped-call]
        self.model.project_gradient()
        self._optimiser.step()
        self.model.normalise()
        self._idle = torch.where(loss.active.any(0), 0, self._idle + 1)
        self.step += 1
        self._show(loss)
        if self._revival and self.step % REVIVED == 0 and left > FALLING:
            self._revive(loss)

    def _revive(self, loss: Loss) -> None:
        """Have dead features begin anew, and forget what the optimiser knows of them."""
        dead = (self._idle >= DEAD).nonzero()[:, 0]
        if not len(dead) or not bool(loss.missed.any()):
            return
        self.model.begin_anew(dead, loss.missed, torch.Generator().manual_seed(self.step))
        for name, axis in zip(NAMES[:3], (1, 0, 0), strict=True):
            for moment in MOMENTS[:2]:
                self._optimiser.state[getattr(self.model, name)][moment].index_fill_(axis, dead, 0.0)
        self._idle[dead] = 0

    def _show(self, loss: Loss) -> None:
        weight = 1 / min(self.step, RECENT)
        self._unexplained = torch.lerp(self._unexplained, loss.value.detach(), weight)
        self._active = torch.lerp(self._active, loss.active.sum(1).float().mean(), weight)

    def seconds(self, steps: int = 3, images: int = 8) -> float:
        """Return about how long the steps that are left take here; it tries some, and leaves the training as it was."""
        if self.step == self.steps:
            return 0.0
        kept = self.state()
        self.places.of(range(1))  # the first pass of a network is slower
        start = time.perf_counter()
        places = self.places.of(range(images))
        each = (time.perf_counter() - start) / images
        batch = places.repeat(-(-BATCH // len(places)), 1)[:BATCH]
        start = time.perf_counter()
        for _ in range(steps):
            self._learn(batch)
        step = (time.perf_counter() - start) / steps
        self.load(kept)
        share = 1 - self.step / self.steps
        return each * self.places.images * share + step * (self.steps - self.step)

    def state(self) -> dict[str, Tensor]:
        """Return all that the rest of the training depends on, beside its plan."""
        found = {name: getattr(self.model, name).detach() for name in (*NAMES, "scale")}
        found |= {"idle": self._idle, "seen": torch.tensor(self.step)}
        found |= {"shown": torch.stack([self._unexplained, self._active])}
        for name, own in zip(NAMES, self._optimiser.state_dict()["state"].values(), strict=False):
            found |= {f"{name}.{moment}": own[moment] for moment in MOMENTS}
        return {name: value.cpu().clone().contiguous() for name, value in found.items()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state.

        Raises:
            BadValue: it is of another training.
        """
        expected = {name: value.shape for name, value in self.state().items() if "." not in name}
        if begun := "W_enc.step" in state:
            expected |= {f"{name}.{moment}": expected[name] for name in NAMES for moment in MOMENTS[:2]}
            expected |= {f"{name}.step": torch.Size() for name in NAMES}
        for name, shape in expected.items():
            if name not in state or state[name].shape != shape:
                raise BadValue(f"its tensor {name} is missing, or of another shape")
        for name in (*NAMES, "scale"):
            getattr(self.model, name).copy_(state[name])
        device = self._idle.device
        self._idle, self.step = state["idle"].to(device), int(state["seen"])
        self._unexplained, self._active = state["shown"].to(device).unbind()
        moments = [{moment: state[f"{name}.{moment}"] for moment in MOMENTS} for name in NAMES if begun]
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": dict(enumerate(moments))})
