"""A block that uses a network under training leaves no trace, whatever it does and however it ends."""

import contextlib
import random

import numpy as np
import pytest
import torch
from mistakes import mistake
from training_nets import LATENT, Training

from ganatomy.training.preserve_state import preserve_state


def disturb(training: Training) -> None:
    network = training.network
    network(torch.randn(3, LATENT))
    network.train()(torch.randn(3, LATENT))  # batch norm, dropout and spectral norm write in this mode
    network.norm.register_forward_hook(lambda *_: None)
    network.memory = torch.ones(3)
    network.drawn = torch.ones(7)
    network.seen.append(0)
    del network.calls
    random.random()
    np.random.rand()  # noqa: NPY002
    torch.rand(2)


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_as_it_was(fails: bool) -> None:
    training = Training()
    training.step()
    before = training.everything()
    with contextlib.suppress(ZeroDivisionError), preserve_state(training.network):
        assert not any(part.training for part in training.network.modules())
        assert not torch.is_grad_enabled()
        disturb(training)
        training.network.calls = 0
        now = training.everything()
        changed = {name for name in before if now[name] != before[name]}
        assert {"drawn", "norm.running_mean", "middle.weight_u", "torch", "numpy", "python", "hooks norm"} <= changed
        if fails:
            raise ZeroDivisionError
    assert training.everything() == before
    assert torch.is_grad_enabled()
    assert not hasattr(training.network, "memory")


def test_each_part_has_its_own_mode_again() -> None:
    network = Training().network
    network.norm.eval()
    network.start.weight.requires_grad_(False)
    with preserve_state(network):
        network.train()
    assert network.training
    assert not network.norm.training
    assert network.drop.training
    assert not network.start.weight.requires_grad


def test_buffers_are_the_same_tensors_as_before() -> None:
    network = Training().network
    mean = network.norm.running_mean
    with preserve_state(network):
        network.norm.running_mean.add_(1)
        network.norm.running_mean = torch.ones(8)
    assert network.norm.running_mean is mean
    assert not mean.any()


def test_autocasting_is_off_inside_and_on_again_after() -> None:
    network = Training().network
    with torch.autocast("cpu", torch.bfloat16):
        with preserve_state(network):
            assert network.start(torch.zeros(2, LATENT)).dtype == torch.float32
        assert network.start(torch.zeros(2, LATENT)).dtype == torch.bfloat16


def test_settings_of_the_training_do_not_reach_in() -> None:
    network = Training().network
    torch.set_default_device("meta")
    try:
        with torch.inference_mode(), preserve_state(network):
            assert not torch.is_inference_mode_enabled()
            assert torch.zeros(1).device.type == "cpu"
        assert torch.zeros(1).device.type == "meta"
    finally:
        torch.set_default_device(None)


def test_a_network_that_writes_to_its_weights_is_refused() -> None:
    network = Training().network
    with mistake("bad-model", "weights"), preserve_state(network):
        network.start.weight.mul_(2)


def test_a_backward_pass_may_come_after() -> None:
    network = Training().network
    loss = network(torch.randn(4, LATENT)).square().sum()
    with preserve_state(network):
        network(torch.randn(4, LATENT))
    loss.backward()
    assert all(weight.grad is not None for weight in network.parameters())
