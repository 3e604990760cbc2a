"""What a model's layers do, recorded: equal to what they say alone, and nothing is changed."""

from __future__ import annotations

import runpy
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import attenergy
from attenergy.attention import EnergyAttention, EnergyTransformerBlock, LanguageModel, Transformer
from attenergy.attention.mixers import HypernetworkAttention, TokenMixing
from attenergy.attention.models.trace import trace

ROOT = Path(__file__).resolve().parents[3]
softmax = partial(HypernetworkAttention, normalize="softmax", value_network="linear")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def model(make_layer, layers=2, **options) -> Transformer:
    sizes = {"outputs": 3, "layers": layers, "width": 8, "heads": 2, "mlp": 12}
    sizes |= {"positions": "relative", "kind": "vector", "size": 5, "length": 6} | options
    return Transformer(make_layer=make_layer, **sizes).double()


def lse(**settings):
    return partial(EnergyAttention, 8, 2, "lse", **{"steps": 3, **settings})


X = torch.randn(2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
PADDED = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])


def test_a_layer_alone_says_the_same():
    layer = lse(energy_per_step=True)().double()
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    known = layer(x, is_causal=True, trace=True)
    seen = trace(layer, x, is_causal=True)
    assert torch.equal(seen.out, layer(x, is_causal=True))
    (one,) = seen
    assert one.weights.shape == (3, 2, 2, 6, 6)
    torch.testing.assert_close(one.weights[-1], known.weights)
    for name in ("states", "energies", "residuals", "entropies"):
        torch.testing.assert_close(getattr(one, name), getattr(known.relaxation, name))
    # The weights of the first state are those of the first step's own energy, by hand.
    p = layer.projections
    scores = (
        one.states[0] @ p.keys(x).mT * layer.earlier[0].parameters_.values()["beta"].view(2, 1, 1)
    )
    hidden = torch.ones(6, 6, dtype=torch.bool).triu(1)
    torch.testing.assert_close(one.weights[0], scores.masked_fill(hidden, -torch.inf).softmax(-1))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("mask", [None, PADDED])
def test_every_block_and_step_of_a_model(mask, is_causal):
    whole = model(lse()).eval()
    seen = whole.trace(X, mask=mask, is_causal=is_causal)
    with torch.no_grad():
        assert torch.equal(seen.out, whole(X, mask=mask, is_causal=is_causal))
    assert [each.name for each in seen] == ["blocks.0.mixer", "blocks.1.mixer"]
    for each in seen:
        assert each.states.shape == (3, 2, 2, 6, 4)
        assert each.energies.shape == each.entropies.shape == (3, 2, 2, 6)
        assert each.residuals.shape == (2, 2, 2, 6)
        assert (each.energies.diff(dim=0) <= 1e-12).all()  # the law of descent
        torch.testing.assert_close(each.weights.sum(-1), torch.ones(3, 2, 2, 6).double())
        if is_causal:
            assert not each.weights.triu(1).any()
        if mask is not None:
            assert not each.weights[:, 1, :, :, 4:].any()
    assert not any(t.requires_grad for t in (seen.out, *seen.energies.values()))


def test_weights_of_a_model_do_not_change_its_output():
    for layer, states in ((lse(), 3), (lse(read="state"), 4), (partial(softmax, 8, 2), 1)):
        whole = model(layer)
        y, weights = whole(X, need_weights=True)
        assert torch.equal(y, whole(X))
        assert [w.shape for w in weights] == [(states, 2, 2, 6, 6)] * 2
        y.sum().backward()
        assert whole.blocks[0].mixer.projections.out.weight.grad is not None
        some, rows = whole(X, need_weights=True, rows=slice(4, 6))
        torch.testing.assert_close(some, y[:, 4:])
        torch.testing.assert_close(rows[1][..., -2:, :], weights[1][..., 4:, :])


def test_layers_without_weights_or_energy_say_so():
    mixing = model(partial(TokenMixing, 8, 2, length=6), positions="none")
    with pytest.raises(ValueError, match="block 0 gives no weights: TokenMixing has neither"):
        mixing(X, need_weights=True)
    hidden = model(partial(EnergyAttention, 8, 2, "ising_mean_field"), positions="none")
    seen = trace(hidden, X)
    assert seen[0].energies is not None
    assert seen[0].weights is None
    assert "has no weights over patterns" in seen[0].missing
    assert seen[0].missing in str(seen)
    with pytest.raises(ValueError, match=r"block 0 gives no weights: .*`attenergy.trace`"):
        hidden(X, need_weights=True)
    assert trace(model(lse()), X, need_weights=False).weights == {}


def test_groups_of_heads_stand_side_by_side():
    whole = model(lambda: attenergy.make_layer("lse+sparsemax", embed_dim=8, num_heads=2))
    seen = trace(whole, X)
    assert [each.name for each in seen][:2] == [f"blocks.0.mixer.groups.{g}" for g in (0, 1)]
    y, weights = whole(X, need_weights=True)
    assert torch.equal(y, whole(X))
    assert weights[0].shape == (1, 2, 2, 6, 6)
    assert torch.equal(weights[1][:, :, :1], seen["blocks.1.mixer.groups.0"].weights)
    uneven = model(
        lambda: attenergy.HeadGroups([EnergyAttention(8, 1, "lse", steps=n) for n in (1, 2)])
    )
    with pytest.raises(ValueError, match=r"block 0 gives no weights of one shape: \[\(1, 2, 1"):
        uneven(X, need_weights=True)


class Twice(nn.Module):
    """A model of a user's own that calls one layer twice, and a drop-in."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = lse(steps=2)()
        self.mha = attenergy.EnergyMultiheadAttention(8, 2, energy="lse", batch_first=True)
        self.mixer = softmax(8, 2)
        self.block = EnergyTransformerBlock(8, 2, memories=4, steps=2)
        self.fails = False

    def forward(self, x, *, context):
        x = self.shared(self.shared(x))
        x = x + self.mha(x, context, context, need_weights=False)[0]
        if self.fails:
            raise RuntimeError("a mistake of the user's")
        return self.block(self.mixer(x))


def test_a_model_of_ones_own():
    whole = Twice().double()
    x, context = torch.randn(2, 3, 8).double(), torch.randn(2, 5, 8).double()
    seen = attenergy.trace(whole, x, context=context)
    names = [each.name for each in seen]
    assert names == ["shared", "shared (2)", names[2], "mixer", "block"]
    assert names[2].startswith("mha")
    assert seen[2].weights.shape == (1, 2, 2, 3, 5)
    torch.testing.assert_close(
        seen[2].weights[-1].mean(1),
        whole.mha(whole.shared(whole.shared(x)), context, context)[1],
    )
    assert seen["mixer"].weights.shape == (1, 2, 2, 3, 3)
    assert seen["block"].energies.shape == (3, 2)
    assert torch.equal(seen.out, whole(x, context=context))
    with pytest.raises(ValueError, match="did you mean 'mixer'"):
        seen["mixr"]


def test_nothing_of_the_model_is_changed_even_if_it_fails():
    whole = Twice().double()
    whole.fails = True
    x = torch.randn(2, 3, 8).double()
    with pytest.raises(RuntimeError, match="a mistake of the user's"):
        trace(whole, x, context=x)
    assert whole.shared.watch is None
    assert not any(m._forward_hooks for m in whole.modules())
    with pytest.raises(ValueError, match="Linear holds no layer of an energy"):
        trace(nn.Linear(3, 3), x)


def test_gradients_where_they_are_wanted():
    whole = model(lse())
    seen = trace(whole, X, keep_graph=True)
    seen["blocks.1.mixer"].energies.sum().backward()
    beta = next(whole.blocks[1].mixer.energy.parameters())
    assert beta.grad is not None
    assert beta.grad.abs().sum() > 0


def test_training_with_dropout_goes_on_as_it_would():
    for layer in (lse(dropout=0.5), partial(softmax, 8, 2, dropout=0.5)):
        whole = model(layer).train()
        torch.manual_seed(3)
        plain, after = whole(X), torch.rand(())
        torch.manual_seed(3)
        seen = trace(whole, X)
        assert torch.equal(seen.out, plain)
        assert torch.equal(torch.rand(()), after)
        assert all((w.sum(-1) - 1).abs().max() < 1e-9 for w in seen.weights.values())
        assert whole.training
        assert all(m.training for m in whole.modules())


def test_a_language_model():
    whole = LanguageModel(
        vocabulary=7, length=6, width=8, heads=2, layers=2, mlp=0, make_layer=lse()
    ).double()
    tokens = torch.tensor([[1, 2, 3, 4]])
    y, weights = whole(tokens, need_weights=True)
    assert torch.equal(y, whole(tokens))
    assert [w.shape for w in weights] == [(3, 1, 2, 4, 4)] * 2
    assert not weights[0].triu(1).any()


def test_the_example_runs(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["trace.py", "--steps", "1"])
    runpy.run_path(str(ROOT / "examples" / "trace.py"), run_name="__main__")
    assert "blocks.1.mixer head 3: energy falls by" in capsys.readouterr().out
