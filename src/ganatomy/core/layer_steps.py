"""Names of layers beyond those of modules: ``block@step`` of models that sample in steps, ``module~update``."""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from ganatomy.core.errors import BadValue


class LayerAtStep(NamedTuple):
    """A layer in parts: the block, and the step from 1; None where the layer is no layer of a step."""

    block: str
    step: int | None = None


def split_layer(layer: str) -> LayerAtStep:
    """Return block and step of a layer.

    >>> split_layer("up1@3"), split_layer("layer4"), split_layer("attn2@3:words")
    (LayerAtStep(block='up1', step=3), LayerAtStep(block='layer4', step=None), LayerAtStep(block='attn2:words', step=3))
    """
    found = re.fullmatch(r"(.+)@([1-9]\d{0,8})(:\w+)?", layer)
    return LayerAtStep(found[1] + (found[3] or ""), int(found[2])) if found else LayerAtStep(layer)


def at_step(block: str, step: int | str | None) -> str:
    """Return the layer of a block at a step, or at steps that follow on each other; without one, the block.

    >>> at_step("up1", 3), at_step("attn2:words", "1..8")
    ('up1@3', 'attn2@1..8:words')
    """
    name, part = re.fullmatch(r"(.*?)(:\w+)?", block, re.DOTALL).groups("")  # type: ignore[union-attr]  # it fits all
    return block if step is None else f"{name}@{step}{part}"


def each_step(layer: str) -> Iterator[str]:
    """Yield the layers that a block at steps which follow on each other stands for; of any other layer itself.

    >>> list(each_step("up1@2..4")), list(each_step("attn2@1..2:words")), list(each_step("up1@3"))
    (['up1@2', 'up1@3', 'up1@4'], ['attn2@1:words', 'attn2@2:words'], ['up1@3'])
    """
    found = re.fullmatch(r"(.+)@([1-9]\d{0,8})\.\.([1-9]\d{0,8})(:\w+)?", layer)
    if found is None or int(found[2]) > int(found[3]):
        yield layer
    else:
        yield from (at_step(found[1] + (found[4] or ""), step) for step in range(int(found[2]), int(found[3]) + 1))


UPDATE = "~update"
"""Ends the name of the layer that is what a module adds to its input."""


def update_of(layer: str) -> str:
    """Return the name of the update of a layer.

    >>> update_of("up1@3"), update_of("layer4")
    ('up1~update@3', 'layer4~update')
    """
    block, step = split_layer(layer)
    return at_step(block + UPDATE, step)


def updated(layer: str) -> str:
    """Return the layer whose update a layer is; of others themselves.

    >>> updated("up1~update@3"), updated("layer4~update"), updated("layer4")
    ('up1@3', 'layer4', 'layer4')
    """
    block, step = split_layer(layer)
    return at_step(block.removesuffix(UPDATE), step)


def read_steps(text: str) -> range:
    """Return the steps that ``1..8`` or ``3`` says.

    >>> list(read_steps("6..8")), list(read_steps("3"))
    ([6, 7, 8], [3])

    Raises:
        BadValue: it says none.
    """
    found = re.fullmatch(r"\s*(\d{1,9})\s*(?:\.\.\s*(\d{1,9})\s*)?", text)
    steps = range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(0)
    if not steps or steps[0] < 1:
        raise BadValue(f"at_steps={text}: give the first step and the last, 1..8, or one step, 3")
    return steps


def nearest_layers(layers: Collection[str], window: Sequence[str]) -> list[str]:
    """Return those of a window that are among layers; else the step of its block nearest to its middle.

    >>> nearest_layers(["up1@1", "up1@4", "up2@4"], ["up1@3", "up1@4"]), nearest_layers(["up1@1", "up1@4"], ["up1@3"])
    (['up1@4'], ['up1@4'])
    """
    if inside := [layer for layer in window if layer in layers]:
        return inside
    block = split_layer(window[0]).block
    known = [layer for layer in layers if split_layer(layer).block == block and split_layer(layer).step]
    return [middle_layer(known, window)]


def middle_layer(layers: Collection[str], window: Sequence[str]) -> str:
    """Return that layer of a block whose step is nearest to the middle of a window.

    >>> middle_layer(["up1@1", "up1@3", "up1@4"], ["up1@1", "up1@2", "up1@3", "up1@4"])
    'up1@3'
    """
    middle = (split_layer(window[0]).step or 0) + (len(window) - 1) / 2
    return min(layers, key=lambda layer: abs((split_layer(layer).step or 0) - middle))


def is_window(layers: Sequence[str]) -> bool:
    """Return whether these are one block at several steps."""
    parts = [split_layer(layer) for layer in layers]
    return len(parts) > 1 and len({part.block for part in parts}) == 1 and parts[0].step is not None


def spanned(layers: Sequence[str]) -> list[str]:
    """Return layers in short: those of one block at steps that follow on each other as one.

    >>> spanned(["up1@1", "up1@2", "up1@3", "up2@3", "layer4"])
    ['up1@1..3', 'up2@3', 'layer4']
    """
    return [_written(group) for group in _groups(layers)]


def _groups(layers: Sequence[str]) -> Iterator[list[LayerAtStep]]:
    group: list[LayerAtStep] = []
    for part in map(split_layer, layers):
        last = group[-1] if group else None
        if last is None or last.step is None or part != (last.block, last.step + 1):
            if group:
                yield group
            group = []
        group.append(part)
    if group:
        yield group


def _written(group: Sequence[LayerAtStep]) -> str:
    first, last = group[0], group[-1]
    if first.step is None:
        return first.block
    return at_step(first.block, f"{first.step}..{last.step}" if len(group) > 1 else first.step)
