from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from attenergy.energies import make_energy
from attenergy.registry import TrainingSpec
from attenergy.search.training.schedule import learning_rate, make_optimizer, set_learning_rate


@pytest.mark.parametrize(
    "tag", ["logic", "raven10M_w1000", "raven20M_w1000", "raven20M_w3000", "raven40M_w1000", "tiny"]
)
def test_the_schedule_is_the_reference(
    golden: Callable[[str], dict[str, np.ndarray]], tag: str
) -> None:
    arrays = golden("lr_schedule")
    peak, warmup, total = arrays[f"{tag}/args"]
    rates = [
        learning_rate(int(step), peak=peak, warmup=int(warmup), total=int(total))
        for step in arrays[f"{tag}/step"]
    ]
    # The reference is in single precision, and far from its peak it loses digits.
    np.testing.assert_allclose(rates, arrays[f"{tag}/lr"], rtol=1e-5, atol=2e-7 * peak)


def test_rates_that_can_be_said_in_words() -> None:
    def rate(step: int) -> float:
        return learning_rate(step, peak=1.0, warmup=10, total=100)

    assert rate(0) == 0.0
    assert rate(5) == 0.5
    assert rate(10) == pytest.approx(1.0)
    assert rate(50) == pytest.approx(0.55)  # half of the cosine
    assert [rate(s) for s in range(90, 100)] == pytest.approx([0.1] * 10)


def test_without_a_warm_up_the_first_rate_is_the_peak() -> None:
    assert learning_rate(0, peak=0.5, warmup=0, total=3) == pytest.approx(0.5)


def test_a_warm_up_as_long_as_the_training_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a warm-up of 5 updates needs more than 10 .* got 10"):
        learning_rate(0, peak=1.0, warmup=5, total=10)


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.full((2, 3), 2.0))
        self.bias = nn.Parameter(torch.full((3,), 2.0))
        self.scalar = nn.Parameter(torch.tensor(2.0))
        self.frozen = nn.Parameter(torch.full((2, 2), 2.0), requires_grad=False)
        self.energy = make_energy("lse", dim=4, num_heads=2)


def test_decay_spares_vectors_and_energies() -> None:
    model = Parts()
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = make_optimizer(model, TrainingSpec(steps=10, weight_decay=0.5))
    set_learning_rate(optimizer, 0.1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    factors = {
        name: (value / before[name]).unique().item() for name, value in model.named_parameters()
    }
    inverse_temperature = next(name for name in factors if name.startswith("energy"))
    assert factors == pytest.approx(
        {"matrix": 0.95, "scalar": 0.95, "bias": 1.0, "frozen": 1.0, inverse_temperature: 1.0}
    )


def test_one_update_is_adams() -> None:
    """The first Adam step moves by lr * g / (|g| + eps), whatever the gradient's size."""
    model = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    before = model.weight.detach().clone()
    optimizer = make_optimizer(model, TrainingSpec(steps=10, weight_decay=0.1))
    set_learning_rate(optimizer, 0.01)
    gradient = torch.tensor([[3.0, -0.02]], dtype=torch.float64)
    model.weight.grad = gradient
    optimizer.step()
    moved = -0.01 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(model.weight.detach(), before * (1 - 0.01 * 0.1) + moved)
