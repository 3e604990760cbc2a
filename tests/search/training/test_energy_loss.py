from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attenergy.attention import (
    EnergyAttention,
    EnergyLookup,
    EnergyTransformerBlock,
    make_layer,
    trace,
)
from attenergy.attention.models.transformer import Transformer
from attenergy.energies.factory import class_of
from attenergy.registry import ArgumentError, EnergyLossSpec, TrainingSpec, load_registry
from attenergy.search.training.energy_loss import EnergyLoss, make_energy_loss

HEADS, WIDTH = 2, 6
REGISTRY = load_registry(plugins=False)


def spec(kind: str, weight: float = 1.0) -> EnergyLossSpec:
    return EnergyLossSpec.model_validate({"kind": kind, "weight": weight})


def value_of(model: nn.Module, kind: str, x: Tensor, there: Tensor | None = None) -> Tensor:
    loss = EnergyLoss(model, spec(kind))
    mask = None if there is None else there[:, None, None, :]
    with loss.recording(there):
        model(x) if mask is None else model(x, mask=mask)
        return loss.value()


def by_hand(
    q: Tensor, k: Tensor, beta: float, there: Tensor, kind: str, field: Tensor | None = None
) -> float:
    """The term of log-sum-exp for q, k (B, H, L, D), one state and one pattern after the other."""
    batch, heads, length, width = q.shape

    def energy(b: int, h: int, i: int, of: int) -> float:
        seen = [j for j in range(length) if there[of, j]]
        scores = [
            beta * float(q[b, h, i] @ k[of, h, j])
            + (0.0 if field is None else float(field[h, i, j]))
            for j in seen
        ]
        total = sum(math.exp(score) for score in scores)
        return (0.5 * float(q[b, h, i] @ q[b, h, i]) - math.log(total) / beta) / math.sqrt(width)

    means = []
    for h in range(heads):
        values = []
        for b in range(batch):
            for i in range(length):
                if there[b, i]:
                    own = energy(b, h, i, b)
                    other = math.exp(-energy(b, h, i, (b - 1) % batch))
                    share = math.exp(-own) / (math.exp(-own) + other)
                    values.append(own if kind == "minimise" else -math.log(share))
        means.append(sum(values) / len(values))
    return sum(means) / len(means)


def heads_of(layer: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    maps = (layer.projections.query, layer.projections.key)
    q, k = (each(x).unflatten(-1, (HEADS, -1)).transpose(1, 2).detach() for each in maps)
    return q, k


@pytest.mark.parametrize("kind", ["minimise", "contrast"])
@pytest.mark.parametrize("name", ["lse", "softmax"])
def test_the_value_is_that_of_the_formula(name: str, kind: str) -> None:
    torch.manual_seed(0)
    layer = make_layer(name, embed_dim=WIDTH, num_heads=HEADS).double()
    x = torch.randn(3, 4, WIDTH, dtype=torch.float64)
    there = torch.ones(3, 4, dtype=torch.bool)
    there[1, 2:] = False
    q, k = heads_of(layer, x)
    beta = 1 / math.sqrt(WIDTH / HEADS)
    expected = by_hand(q, k, beta, there, kind)
    assert value_of(layer, kind, x, there).item() == pytest.approx(expected, rel=1e-6)
    whole = by_hand(q, k, beta, torch.ones_like(there), kind)
    assert value_of(layer, kind, x).item() == pytest.approx(whole, rel=1e-6)
    assert whole != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", ["minimise", "contrast"])
def test_softmax_attention_counts_as_one_step_of_log_sum_exp(kind: str) -> None:
    """With a field, causal, and with hidden patterns."""
    torch.manual_seed(1)
    softmax, lse = (
        make_layer(n, embed_dim=WIDTH, num_heads=HEADS).double() for n in ("softmax", "lse")
    )
    lse.load_state_dict({**lse.state_dict(), **softmax.state_dict()})
    x = torch.randn(3, 4, WIDTH, dtype=torch.float64)
    field = torch.randn(1, HEADS, 4, 4, dtype=torch.float64)
    values = []
    for layer in (softmax, lse):
        loss = EnergyLoss(layer, spec(kind))
        with loss.recording():
            layer(x, field=field, is_causal=True)
            values.append(loss.value().item())
    assert values[0] == pytest.approx(values[1], rel=1e-6)


@pytest.mark.parametrize("kind", ["minimise", "contrast"])
def test_padding_changes_nothing(kind: str) -> None:
    torch.manual_seed(2)
    model = Transformer(
        outputs=3, layers=["lse", "softmax"], width=WIDTH, heads=HEADS, mlp=0,
        positions="relative", kind="token", size=9, length=6,
    ).double()  # fmt: skip
    tokens = torch.randint(9, (3, 4))
    padded = torch.cat([tokens, torch.randint(9, (3, 2))], 1)
    there = torch.arange(6).expand(3, 6) < 4
    loss = EnergyLoss(model, spec(kind))
    values = []
    for inputs, mask in ((tokens, None), (padded, there)):
        with loss.recording(mask):
            model(inputs, mask=mask)
            values.append(loss.value().item())
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    with loss.recording(there, slice(3, 4)):  # the last block computes one position alone
        model(padded, mask=there, rows=slice(3, 4))
        assert math.isfinite(loss.value().item())


def test_the_energy_is_that_of_the_state_after_all_moves() -> None:
    torch.manual_seed(3)
    layer = EnergyAttention(WIDTH, HEADS, energy="lse", steps=4).double()
    x = torch.randn(2, 5, WIDTH, dtype=torch.float64)
    energies = trace(layer, x)[0].energies
    assert energies is not None
    ends = energies[-1] / math.sqrt(WIDTH / HEADS)
    assert value_of(layer, "minimise", x).item() == pytest.approx(ends.mean().item(), rel=1e-6)


def test_a_joint_energy_counts_once_for_each_state() -> None:
    torch.manual_seed(4)
    layer = EnergyAttention(WIDTH, HEADS, energy="energy_transformer").double()
    x = torch.randn(2, 5, WIDTH, dtype=torch.float64)
    ends = trace(layer, x)[0].energies
    assert ends is not None
    expected = ends[-1].mean().item() / 5 / math.sqrt(WIDTH / HEADS)
    assert value_of(layer, "minimise", x).item() == pytest.approx(expected, rel=1e-6)
    block = EnergyTransformerBlock(WIDTH, HEADS, steps=2).double()
    total = trace(block, x)[0].energies
    assert total is not None
    expected = total[-1].mean().item() / 5 / math.sqrt(WIDTH)
    assert value_of(block, "minimise", x).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["minimise", "contrast"])
@pytest.mark.parametrize("name", ["softmax", "lse", "rbm", "lse+softmax"])
def test_gradients_reach_what_makes_states_and_patterns(name: str, kind: str) -> None:
    torch.manual_seed(5)
    layer = make_layer(name, embed_dim=WIDTH, num_heads=HEADS).double()
    value_of(layer, kind, torch.randn(3, 4, WIDTH, dtype=torch.float64)).backward()
    reached = {n for n, p in layer.named_parameters() if p.grad is not None and p.grad.any()}
    wanted = ("projections.query.weight", "projections.key.weight")
    assert all(any(name.endswith(each) for name in reached) for each in wanted)
    assert not any("projections.value" in name or "projections.out" in name for name in reached)


@pytest.mark.parametrize("kind", ["minimise", "contrast"])
def test_every_energy_of_the_registry_takes_a_term(kind: str) -> None:
    """Finite, with gradients, where patterns are hidden; or refused, without stored patterns."""
    torch.manual_seed(6)
    x, there = torch.randn(3, 4, 8), torch.ones(3, 4, dtype=torch.bool)
    there[0, 3:] = False
    refused = set()
    for name in (*REGISTRY.energies, "softmax", "hyla_softmax"):
        layer = make_layer(name, embed_dim=8, num_heads=2, registry=REGISTRY)
        try:
            value = value_of(layer, kind, x, there)
        except ArgumentError:
            refused.add(name)
            continue
        value.backward()
        grads = [p.grad for p in layer.parameters() if p.grad is not None]
        assert value.isfinite(), name
        assert all(grad.isfinite().all() for grad in grads), name
        assert any(grad.any() for grad in grads), name
    alone = {n for n, s in REGISTRY.energies.items() if not class_of(s).reads_patterns}
    assert refused == (alone if kind == "contrast" else set())


def test_a_recording_leaves_the_model_and_its_answers_alone() -> None:
    layer = make_layer("lse+softmax", embed_dim=WIDTH, num_heads=HEADS)
    x = torch.randn(2, 3, WIDTH)
    before = layer(x)
    loss = EnergyLoss(layer, spec("minimise"))
    with loss.recording():
        assert torch.equal(layer(x), before)
    for module in layer.modules():
        assert getattr(module, "watch", None) is None
        assert getattr(module, "watch_end", None) is None
    with pytest.raises(RuntimeError, match="no layer has been called"):
        loss.value()


def test_samples_with_the_same_patterns_teach_no_contrast() -> None:
    """Control: nothing tells the own patterns from those of the others."""
    layer = make_layer("lse", embed_dim=WIDTH, num_heads=HEADS).double()
    x = torch.randn(1, 4, WIDTH, dtype=torch.float64).expand(3, -1, -1)
    value = value_of(layer, "contrast", x)
    assert value.item() == pytest.approx(math.log(2))
    value.backward()
    for parameter in layer.parameters():
        assert parameter.grad is None or parameter.grad.abs().max() < 1e-12


@pytest.mark.parametrize(
    ("layer", "kind", "why"),
    [
        (lambda: make_layer("hyla", embed_dim=WIDTH, num_heads=HEADS), "minimise", "has no energy"),
        (lambda: make_layer("lse+linear", embed_dim=WIDTH, num_heads=HEADS), "minimise", "has no"),
        (lambda: nn.Linear(2, 2), "minimise", "Linear has no layer of an energy"),
        (
            lambda: EnergyAttention(WIDTH, HEADS, energy="energy_transformer"),
            "contrast",
            "without stored patterns",
        ),
        (lambda: EnergyTransformerBlock(WIDTH, HEADS), "contrast", "without stored patterns"),
        (
            lambda: EnergyLookup(WIDTH, HEADS, energy="lse", num_patterns=3),
            "contrast",
            "the same for all samples",
        ),
    ],
)
def test_layers_that_cannot_have_it_say_so(
    layer: Callable[[], nn.Module], kind: str, why: str
) -> None:
    with pytest.raises(ArgumentError, match=why):
        EnergyLoss(layer(), spec(kind))


def test_a_batch_of_one_has_nothing_to_contrast_with() -> None:
    layer = make_layer("lse", embed_dim=WIDTH, num_heads=HEADS)
    training = TrainingSpec(steps=1, batch_size=1, energy_loss="contrast:1")
    with pytest.raises(ArgumentError, match="batch_size of 2"):
        make_energy_loss(layer, training)
    assert make_energy_loss(layer, TrainingSpec(steps=0, energy_loss="contrast:1")) is None
