"""No analysis changes the model that it reads, nor the random numbers of its caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attenergy import EnergyAttention
from attenergy.analysis import (
    attention_calls,
    attention_paths,
    diagnose,
    drop_layers,
    energy_along_depth,
    fixed_points,
    latent_code,
    redundancy,
)
from attenergy.analysis.result import finite
from attenergy.analysis.untouched import untouched

N, L, E, H = 12, 4, 8, 2


class Counted(nn.Module):
    """x + dropout(attention(norm(x))), with running means and a count of its calls."""

    calls: Tensor

    def __init__(self, own: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(E)
        self.attention: nn.Module = (
            EnergyAttention(E, H, energy="lse", steps=2)
            if own
            else nn.MultiheadAttention(E, H, dropout=0.2, batch_first=True)
        )
        self.dropout, self.own = nn.Dropout(0.2), own
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = self.norm(x.mT).mT
        out = self.attention(y) if self.own else self.attention(y, y, y)[0]
        return x + self.dropout(out)


class Model(nn.Module):
    def __init__(self, own: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Counted(own), Counted(own)])
        self.out = nn.Linear(E, 2)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.out(x[:, -1])  # type: ignore[no-any-return]


def state_of(model: nn.Module) -> dict[str, Any]:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "values": {name: tensor.detach().clone() for name, tensor in tensors.items()},
        "tensors": {name: id(tensor) for name, tensor in tensors.items()},
        "gradients": {n: (p.requires_grad, p.grad) for n, p in model.named_parameters()},
        "training": [part.training for part in model.modules()],
        "hooks": [len(p._forward_hooks) + len(p._forward_pre_hooks) for p in model.modules()],
        "random": torch.get_rng_state(),
    }


LABELS = torch.arange(N) % 2
ANALYSES: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "calls": attention_calls,
    "fixed points": lambda m, x: fixed_points(m, x, max_steps=5, states=8, samples=1),
    "energy": energy_along_depth,
    "laws": diagnose,
    "code": lambda m, x: latent_code(m, x, LABELS, permutations=1, tsne=False),
    "redundancy": lambda m, x: redundancy(m, [x], random_orders=1),
    "paths": lambda m, x: attention_paths(m, [x], [LABELS], shuffles=20, draws=1),
    "smaller": lambda m, x: drop_layers(m, ["blocks.0.attention"], x),
}


#: A layer of its own or PyTorch's, and the mode of training: all pairs with an analysis, of which
#: the two that differ in both are always tried.
MODELS = [
    *((False, False), (True, True)),
    *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ((False, True), (True, False))),
]


@pytest.mark.parametrize(("own", "training"), MODELS)
@pytest.mark.parametrize("name", ANALYSES)
def test_the_model_and_the_random_state_stay(name: str, own: bool, training: bool) -> None:
    torch.manual_seed(0)
    model = Model(own).train(training)
    x = torch.randn(N, L, E)
    before = state_of(model)
    ANALYSES[name](model, x)
    after = state_of(model)
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_the_same_twice_of_a_model_in_training_mode() -> None:
    torch.manual_seed(0)
    model, x = Model(own=False), torch.randn(N, L, E)
    first, second = (diagnose(model, x) for _ in range(2))
    assert finite(first.numbers()) == finite(second.numbers())


def test_buffers_that_are_shared_stay_shared() -> None:
    model = nn.ModuleList([nn.BatchNorm1d(2), nn.BatchNorm1d(2)])
    model[1].running_mean = mean = model[0].running_mean
    with untouched(model):
        assert model[0].running_mean is model[1].running_mean is not mean
        model[0](torch.ones(3, 2))
    assert model[0].running_mean is model[1].running_mean is mean
    assert mean is not None
    assert not mean.any()
