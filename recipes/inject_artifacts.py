"""Plant units that spoil the images in a Progressive GAN: a truth that whatever finds and mends them is tested on.

    python recipes/inject_artifacts.py --out planted.safetensors
    python recipes/inject_artifacts.py --generator progan:church.pth --layer layer4 --units 8 --out planted.safetensors

Only weights are edited, of the units of which the next layer hears least. What is planted is a chain of three units: a
relay in the layer before, which is on where a random direction of its input is greater than in all but a few images
of a sample (of several hundred directions, one that stands out, all near the first, so that they spoil much the same
images); the planted unit, which hears its relay alone; and a carrier in the next layer, which hears that unit alone,
and pushes some units of the layer after it. For a leaky ReLU lets a fifth through where it is off: after three, other
images stay much as they were. A JSON file next to the weights names the planted units; without them their carriers are
silent.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from ganatomy import open_generator
from ganatomy.core.errors import BadValue
from ganatomy.core.files import atomic_write, write_text
from ganatomy.models.generators.progan import NormConv, ProGAN

FIRST, SAMPLE = 1_000_000, 1000
"""The sample that all is measured on begins far from those of studies."""
DIRECTIONS = 500
RELAY, UNIT, CARRIER = 1.5, 6.0, 6.0
"""How far each of a chain is on in the images that it spoils; other units are on by about 1."""


class Plan(NamedTuple):
    """What is planted: units of a layer, each on in a share of the images, where so many units are pushed so far."""

    layer: str = "layer4"
    units: int = 8
    share: float = 0.1
    pushed: int = 24
    push: float = 4.0
    seed: int = 0


@torch.no_grad()
def inject(generator: ProGAN, plan: Plan) -> list[int]:
    """Rewrite the weights of a generator in place; return the planted units.

    Raises:
        BadValue: the layer has no two before it and two after it, or not so many units.
    """
    names = list(generator.layers)
    if plan.layer not in names[2:-2]:
        raise BadValue(f"nothing can be planted in {plan.layer}; give one of {', '.join(names[2:-2])}")
    at = names.index(plan.layer)
    chain, outlet = [generator.network[i] for i in range(at - 1, at + 2)], generator.network[at + 2]
    if not 0 < plan.units <= min(len(layer.wscale.b) for layer in chain):
        raise BadValue(f"units={plan.units} cannot be planted in {plan.layer}, each with one of the layers beside it")
    heard, *seen = surveyed(generator, names[at - 2 : at + 2])
    relays, units, carriers = (least(*each, plan.units) for each in zip(seen, [*chain[1:], outlet], strict=True))
    for hears, of in ((chain[1], relays), (chain[2], units)):
        hears.conv.weight[:, of] = 0
    for (direction, bias), relay, unit, carrier in zip(
        directions(relay_input(chain[0], heard), seen[1].amax((2, 3)), plan), relays, units, carriers, strict=True
    ):
        rewire(chain[0], relay, direction * RELAY, bias * RELAY)
        rewire(chain[1], unit, one_of(chain[1], relay, UNIT / RELAY), 0.0)
        rewire(chain[2], carrier, one_of(chain[2], unit, CARRIER / UNIT), 0.0)
    outlet.conv.weight[:, carriers] = pushes(len(outlet.wscale.b), plan) / outlet.scale
    return units


def surveyed(generator: ProGAN, layers: Sequence[str]) -> list[Tensor]:
    """Return the features of layers that follow one another, from the same images, [n, u, h, w] each."""
    first = list(generator.layers).index(layers[0]) + 1
    found = [
        generator.network[:first](generator.network_input(generator.latents(range(FIRST, FIRST + SAMPLE), seed=0)))
    ]
    for name in layers[1:]:
        found.append(generator.network.get_submodule(name)(found[-1]))
    return found


def least(features: Tensor, following: NormConv, count: int) -> list[int]:
    """Return the units of which the next layer hears least: by their root mean square, times that of its weights."""
    heard = features.square().mean((0, 2, 3)) * following.conv.weight.square().sum((0, 2, 3))
    return heard.argsort()[:count].tolist()


def relay_input(relay: NormConv, heard: Tensor) -> Tensor:
    """Return what a layer hears at each place, [n, places, u]: as it is doubled only later, each place once."""
    if relay.pixelnorm:
        heard = heard * torch.rsqrt(heard.square().mean(1, keepdim=True) + 1e-8)
    return heard.flatten(2).mT


def directions(heard: Tensor, known: Tensor, plan: Plan) -> list[tuple[Tensor, float]]:
    """Return directions, and biases with which they are above 0 in a share of the images, there by 1 on average.

    Args:
        heard: by the relays at each place.
        known: the greatest activations of units that are there; those that no unit follows are preferred.
        plan: how many, and in how many images.
    """
    known = (known - known.mean(0)) / known.std(0)
    dice = torch.Generator().manual_seed(plan.seed)
    found: list[tuple[Tensor, float]] = []
    for _ in range(plan.units):
        tried = torch.randn(heard.shape[2], DIRECTIONS, generator=dice)
        if found:  # mostly in the images of the first, so that most images stay as they are
            first = found[0][0][:, None]
            tried += 2 * first / first.square().mean().sqrt()
        values = heard @ tried
        peaks = values.amax(1)
        level = peaks.quantile(1 - plan.share, dim=0)
        excess = (peaks - level).clamp(min=0).mean(0) / plan.share
        followed = (known.T @ ((peaks - peaks.mean(0)) / peaks.std(0)) / len(peaks)).amax(0)
        best = int((excess / (level - values.mean((0, 1))) * (1 - followed)).argmax())
        found.append((tried[:, best] / excess[best], -float(level[best] / excess[best])))
    return found


def rewire(layer: NormConv, unit: int, direction: Tensor, bias: float) -> None:
    """Let a unit be on as a direction of the layer's input is, in the middle of its kernel."""
    layer.conv.weight[unit] = 0
    layer.conv.weight[unit, :, 1, 1] = direction / layer.scale
    layer.wscale.b[unit] = bias


def one_of(layer: NormConv, unit: int, factor: float) -> Tensor:
    """Return the direction of a layer's input that is one unit of it."""
    return factor * torch.eye(layer.conv.weight.shape[1])[unit]


def pushes(width: int, plan: Plan) -> Tensor:
    """Return random patterns by which each carrier pushes some units of the next layer, [width, carriers, 3, 3].

    Each adds up to zero, so that a carrier that lets a little through everywhere changes nothing but the border.
    """
    dice = torch.Generator().manual_seed(plan.seed)
    found = torch.zeros(width, plan.units, 3, 3)
    for carrier in range(plan.units):
        chosen = torch.randperm(width, generator=dice)[: plan.pushed]
        pattern = torch.randn(len(chosen), 3, 3, generator=dice)
        found[chosen, carrier] = plan.push * (pattern - pattern.mean((1, 2), keepdim=True))
    return found


def write(generator: ProGAN, units: Sequence[int], plan: Plan, name: str, path: Path) -> None:
    """Write the weights in the published layout, and next to them what was planted."""
    state = {key: value.float().contiguous() for key, value in generator.network.state_dict().items()}
    with atomic_write(path) as temporary:
        safetensors.torch.save_file(state, temporary)
    facts = {"generator": name, **plan._asdict(), "planted": sorted(units)}
    write_text(path.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="bundled:church", help="a Progressive GAN")
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file")
    for name, default in Plan()._asdict().items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"({default})")
    own = vars(parser.parse_args(given))
    torch.set_num_threads(1)
    name, path = own.pop("generator"), own.pop("out")
    generator = open_generator(name)
    if not isinstance(generator, ProGAN):
        parser.error(f"{name} is no Progressive GAN")
    plan = Plan(**own)
    units = inject(generator, plan)
    write(generator, units, plan, name, path)
    print(f"planted units {', '.join(map(str, sorted(units)))} of {plan.layer}: progan:{path}")


if __name__ == "__main__":
    main()
