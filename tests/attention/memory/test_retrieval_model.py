"""Retrieval by untrained layers against memories written by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attenergy.attention import make_layer
from attenergy.attention.loading import build
from attenergy.attention.memory.retrieval_model import Retrieval
from attenergy.attention.saving.format import LayerArguments, ModelArguments
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)
D, N, B = 17, 7, 40  # odd, so that no sum of theirs is 0


def corrupted(p: float) -> Tensor:
    patterns = torch.randint(0, 2, (B, N, D)).double() * 2 - 1
    query = patterns[:, :1] * torch.where(torch.rand(B, 1, D) < p, -1.0, 1.0)
    return torch.cat([patterns, query], dim=1)


def by_hand(inputs: Tensor, weigh, steps: int) -> Tensor:
    """xi <- sign(X' w(X xi)), one sample after the other."""
    rows = []
    for sample in inputs:
        X, xi = sample[:-1], sample[-1]
        for _ in range(steps):
            moved = X.T @ weigh(X @ xi)
            xi = torch.where(moved == 0, xi, moved.sign())
        rows.append(xi)
    return torch.stack(rows)


RULES = {
    "softmax": lambda s: s.softmax(-1),
    "lse": lambda s: s.softmax(-1),
    "linear": lambda s: s,
    "squared_kernel": lambda s: s**2 / (s**2).sum(),
    "mean": lambda s: torch.ones_like(s) / len(s),
}


@pytest.mark.parametrize("name", RULES)
def test_an_update_is_what_the_layer_weighs(name: str) -> None:
    torch.manual_seed(1)
    inputs = corrupted(0.25)
    layer = make_layer(name, embed_dim=D, num_heads=1, registry=REGISTRY)
    model = Retrieval(layer.double(), steps=3)
    logits = model(inputs)
    assert logits.shape == (B, D, 2)
    assert torch.equal(logits[..., 0], -logits[..., 1])
    assert torch.equal(logits[..., 1].sign(), by_hand(inputs, RULES[name], 3))
    assert not any(p.requires_grad for p in model.parameters())


def test_hidden_patterns_are_not_there() -> None:
    inputs = corrupted(0.2)
    model = Retrieval(make_layer("softmax", embed_dim=D, num_heads=1).double(), steps=2)
    mask = torch.ones(B, N + 1, dtype=torch.bool)
    mask[:, 1] = False
    without = torch.cat([inputs[:, :1], inputs[:, 2:]], dim=1)
    torch.testing.assert_close(model(inputs, mask=mask), model(without))


def test_a_description_builds_it() -> None:
    layer = LayerArguments(name="lse", spec=REGISTRY.energies["lse"], embed_dim=D, num_heads=1)
    arguments = ModelArguments(
        layer=layer,
        kind="memory",
        size=D,
        length=N + 1,
        outputs=2,
        layers=5,
        mlp=0,
        positions="none",
    )
    model = build(arguments)
    assert isinstance(model, Retrieval)
    assert model.steps == 5


@pytest.mark.parametrize("name", REGISTRY.energies)
def test_every_energy_runs_or_says_why_not(name: str) -> None:
    model = Retrieval(
        make_layer(name, embed_dim=D, num_heads=1, registry=REGISTRY).double(), steps=2
    )
    if not model.layer.energy.reads_patterns:
        with pytest.raises(ValueError, match="takes no context"):
            model(corrupted(0.1))
        return
    logits = model(corrupted(0.1))
    assert logits.shape == (B, D, 2)
    assert logits.isfinite().all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        Retrieval(make_layer("softmax", embed_dim=D, num_heads=1), steps=0)
    with pytest.raises(ValueError, match="one head of the patterns' width"):
        Retrieval(make_layer("softmax", embed_dim=D, num_heads=2, head_dim=4), steps=1)
    with pytest.raises(ValueError, match="Linear has no projections"):
        Retrieval(torch.nn.Linear(2, 2), steps=1)


def test_without_signs_the_state_is_the_answer() -> None:
    torch.manual_seed(2)
    patterns = torch.randn(B, N + 1, D, dtype=torch.float64)
    layer = make_layer("lse", embed_dim=D, num_heads=1, registry=REGISTRY)
    model = Retrieval(layer.double(), steps=2, signs=False)
    X, xi = patterns[:, :-1], patterns[:, -1:]
    for _ in range(2):
        xi = (xi @ X.mT).softmax(-1) @ X
    torch.testing.assert_close(model(patterns), xi.mT)


@pytest.mark.parametrize(("outputs", "signs"), [(1, False), (2, True)])
def test_a_description_says_whether_signs_are_taken(outputs: int, signs: bool) -> None:
    layer = LayerArguments(name="lse", spec=REGISTRY.energies["lse"], embed_dim=D, num_heads=1)
    sizes = {"size": D, "length": N + 1, "outputs": outputs, "layers": 1, "mlp": 0}
    model = build(ModelArguments(layer=layer, kind="memory", positions="none", **sizes))
    assert isinstance(model, Retrieval)
    assert model.signs == signs
