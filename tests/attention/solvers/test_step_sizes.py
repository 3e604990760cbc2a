"""Step sizes: numbers of every kind, tensors, sequences, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attenergy.attention import relax
from attenergy.energies import make_energy
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)
L, S, D = 4, 5, 6
with float64():
    LSE = make_energy("lse", dim=D, beta=1.0, registry=REGISTRY).requires_grad_(False)
XI, X = torch.randn(2, L, D).double(), torch.randn(2, S, D).double()


def moved(step_size, **options):
    return relax(LSE, XI, X, steps=2, step_size=step_size, **options).state


@pytest.mark.parametrize("solver", ["descent", "fixed_point", "coordinate_descent"])
@pytest.mark.parametrize("kind", [float, np.float16, np.float32, np.float64, torch.tensor])
def test_one_number_of_every_kind(kind, solver):
    torch.testing.assert_close(moved(kind(0.5), solver=solver), moved(0.5, solver=solver))


@pytest.mark.parametrize("kind", [int, np.int8, np.int64, np.uint16, torch.tensor])
def test_whole_numbers(kind):
    torch.testing.assert_close(moved(kind(1)), moved(1.0))


@pytest.mark.parametrize(
    "sequence",
    [[0.5, 1], (np.float32(0.5), np.int64(1)), np.array([0.5, 1.0]), [torch.tensor(0.5), 1.0]],
)
def test_one_for_each_step(sequence):
    torch.testing.assert_close(moved(sequence), moved([0.5, 1.0]))


@pytest.mark.parametrize("wrong", [-0.5, 0.0, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "given",
    [
        float,
        np.float32,
        torch.tensor,
        lambda g: torch.tensor([[1.0], [g], [1.0], [1.0]]),
        lambda g: [1.0, torch.tensor(g)],
        lambda g: [np.float64(g), 1.0],
        lambda g: torch.nn.Parameter(torch.tensor(g)),
    ],
)
def test_what_is_not_above_zero_is_refused(given, wrong):
    with pytest.raises(ValueError, match=r"step_size must be (above 0|a finite number)"):
        moved(given(wrong))


@pytest.mark.parametrize("given", ["auto", np.array(0.5), object(), b"1"])
def test_what_is_no_step_size_is_said(given):
    with pytest.raises(ValueError, match="step_size must be a number above 0, a tensor or a seq"):
        moved(given)
    with pytest.raises(ValueError, match="got True"):
        moved(True)


def test_numbers_that_may_not_be_looked_at_pass():
    """Under `torch.vmap` and while compiling there is no number to look at."""
    gammas = torch.tensor([0.5, 1.0]).double()
    mapped = torch.vmap(moved)(gammas)
    torch.testing.assert_close(mapped, torch.stack([moved(g) for g in gammas]))
    compiled = torch.compile(moved, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(gammas[0]), moved(gammas[0]))


def test_gradients_reach_a_step_size():
    gamma = torch.tensor(0.5).double().requires_grad_()
    moved(gamma).sum().backward()
    assert gamma.grad.abs() > 1e-6
