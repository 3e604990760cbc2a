"""Blocks with layers of their own, and groups of heads with different energies."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import attenergy
from attenergy.attention import Decoder, EnergyAttention, HeadGroups, LanguageModel, Transformer
from attenergy.attention.factory import describe_layers
from attenergy.attention.models.rows import at_rows, states_apart
from attenergy.attention.saving.description import read_description
from attenergy.attention.saving.format import GroupsArguments
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)
SIZES = {"outputs": 5, "width": 16, "heads": 4, "mlp": 8, "kind": "token", "size": 7, "length": 9}


def moved(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def grouped(name="lse:1+rbm:3", **settings):
    with float64():
        return moved(attenergy.make_layer(name, embed_dim=16, num_heads=4, **settings))


def transformer(layers, positions="relative", **options) -> Transformer:
    with float64():
        return moved(Transformer(layers=layers, positions=positions, **(SIZES | options)))


def by_hand(layer, x, context, mask, field):
    """Every group's heads alone, joined before one output map."""
    reads, maps, bias, first = [], [], 0.0, 0
    for group in layer.groups:
        last, p = first + group.num_heads, group.projections
        own = [part if part.shape[1] == 1 else part[:, first:last] for part in (mask, field)]
        xi, X, v = p.heads(x, context)
        s = xi @ X.mT
        values = group.energy.parameters_.values()  # (H, 1, 1)
        if "c" in values:  # binary hidden units
            z = values["beta"] * (s + values["c"]) + own[1]
            weights = torch.sigmoid(z).masked_fill(~own[0], 0.0)
        else:
            z = values["beta"] * s + own[1]
            weights = z.masked_fill(~own[0], -torch.inf).softmax(-1)
        reads.append(weights @ v)
        maps.append(p.out.weight)
        bias, first = bias + p.out.bias, last
    joined = torch.cat(reads, 1).transpose(1, 2).flatten(2)
    return joined @ torch.cat(maps, 1).mT + bias


@pytest.mark.parametrize("per_head", [False, True])
def test_groups_are_their_heads_alone_and_joined(per_head: bool) -> None:
    layer = grouped()
    x, context = torch.randn(2, 5, 16).double(), torch.randn(2, 6, 16).double()
    mask = torch.rand(2, 4 if per_head else 1, 5, 6) > 0.3
    mask[..., 0] = True
    field = torch.randn(1, 4 if per_head else 1, 5, 6).double()
    results = []
    for compute in (layer, lambda x, c, mask, field: by_hand(layer, x, c, mask, field)):
        a, b = x.clone().requires_grad_(), context.clone().requires_grad_()
        out = compute(a, b, mask=mask, field=field)
        wanted = [a, b, *layer.parameters()]
        grads = torch.autograd.grad(out.square().sum(), wanted, allow_unused=True)
        results.append([out, *(torch.zeros(()) if g is None else g for g in grads)])
    for got, expected in zip(*results, strict=True):
        assert_close(got, expected, rtol=1e-9, atol=1e-10)


def test_causality_weights_and_hidden_patterns() -> None:
    layer = grouped("lse+rbm")
    x = torch.randn(2, 5, 16).double()
    out, weights = layer(x, is_causal=True, need_weights=True)
    assert weights.shape == (2, 4, 5, 5)
    assert weights.triu(1).abs().max() == 0
    later = x.clone()
    later[:, 3:] += 1
    assert_close(layer(later, is_causal=True)[:, :3], out[:, :3])
    hidden = torch.tensor([True, True, True, False, False])[None, None, None].expand(2, 1, 1, 5)
    assert_close(layer(x, mask=hidden), layer(x, x[:, :3]), rtol=1e-10, atol=1e-12)


def test_a_group_says_what_it_cannot() -> None:
    x = torch.randn(1, 3, 16).double()
    with pytest.raises(ValueError, match="weights"):
        grouped("lse+learned")(x, need_weights=True)
    with pytest.raises(ValueError, match="broadcast"):
        grouped("lse+rbm")(x, mask=torch.ones(1, 2, 3, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="one embed_dim, got 8, 16"):
        HeadGroups([EnergyAttention(8, 2), EnergyAttention(16, 2)])
    with pytest.raises(TypeError, match="got Linear"):
        HeadGroups([torch.nn.Linear(8, 8)])
    with pytest.raises(ValueError, match="at least one"):
        HeadGroups([])


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("lse/rbm", "has 2 layers"),
        ("lse+rmb", "did you mean 'rbm'"),
        ("lse:1+rbm:4", "multiple of 5"),
    ],
)
def test_names_that_make_no_layer(name: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        attenergy.make_layer(name, embed_dim=16, num_heads=4)


def test_settings_of_one_group_and_of_all() -> None:
    layer = grouped("lse+rbm", steps=2, **{"b.beta": 3.0})
    assert [group.steps for group in layer.groups] == [2, 2]
    assert layer.groups[1].given["beta"] == 3.0
    with pytest.raises(ValueError, match=r"a\.NAME \(lse\)"):
        grouped("lse+rbm", **{"c.beta": 3.0})


@pytest.mark.parametrize(
    ("layers", "positions"),
    [("lse/hyla+rbm", "relative"), (["softmax", "lse:1+rbm:3", "lse"], "rotary")],
)
def test_a_saved_stack_is_the_same(layers, positions: str, tmp_path) -> None:
    model, x = transformer(layers, positions), torch.randint(7, (2, 9))
    assert model.positions_used == positions
    model.save_pretrained(tmp_path / "model")
    assert_close(Transformer.from_pretrained(tmp_path / "model").eval()(x), model(x))
    second = attenergy.load(tmp_path / "model", index=1)
    assert isinstance(second, HeadGroups)
    second.save_pretrained(tmp_path / "layer")
    x = torch.randn(2, 9, 16).double()
    assert_close(attenergy.load(tmp_path / "layer").eval()(x), second.eval()(x))
    assert "block 2: " in (tmp_path / "model" / "README.md").read_text()
    assert isinstance(read_description(tmp_path / "layer"), GroupsArguments)


@pytest.mark.parametrize("layers", ["lse/learned", "lse+learned/lse"])
def test_positions_that_one_layer_cannot_have_go_to_the_inputs(layers: str) -> None:
    model = transformer(layers, "relative")
    assert model.positions_used == "absolute"
    assert model(torch.randint(7, (2, 9))).shape == (2, 9, 5)


def test_the_last_block_alone_at_some_positions() -> None:
    model, x = transformer("lse/lse+rbm"), torch.randint(7, (2, 9))
    last = model.blocks[-1].mixer
    assert states_apart(last)
    assert not states_apart(grouped("lse+graph_hopfield"))
    assert_close(model(x, rows=slice(4, 6)), model(x)[:, 4:6])
    z = torch.randn(2, 9, 16).double()
    assert_close(at_rows(last, z, slice(2, 4), is_causal=True), last(z, is_causal=True)[:, 2:4])


@pytest.mark.parametrize(
    ("layers", "positions", "kinds"),
    [
        ("lse/linear/lse+rbm", "none", ("projected", "streamed", "groups")),
        ("lse:1+rbm:3/softmax", "relative", ("groups", "projected")),
        ("lse+rbm/lse", "rotary", ("groups", "projected")),
        ("lse/graph_memory", "none", ("projected", "none")),
    ],
)
def test_decoding_equals_the_whole(layers: str, positions: str, kinds) -> None:
    with float64():
        sizes = {"vocabulary": 7, "length": 9, "width": 16, "heads": 4, "mlp": 8}
        model = moved(LanguageModel(layers=layers, positions=positions, **sizes))
    assert model.caching == kinds
    tokens, decoder = torch.randint(7, (2, 9)), Decoder(model)
    if "none" in kinds:
        assert decoder.caches is None
        return
    with torch.no_grad():
        pieces = [decoder.extend(part) for part in tokens.split([4, 1, 3, 1], 1)]
        assert_close(torch.cat(pieces, 1), model(tokens), rtol=1e-11, atol=1e-11)


def test_equal_parameters_but_for_the_output_biases() -> None:
    def count(name):
        layer = attenergy.make_layer(name, embed_dim=16, num_heads=4)
        return sum(parameter.numel() for parameter in layer.parameters())

    assert count("softmax+hyla") == count("softmax") + 16


def test_a_layer_of_ones_own_in_a_stack() -> None:
    model = transformer(
        ["softmax", "0.5*|xi|^2 - lse(X @ xi)", lambda xi, X: -((X @ xi) ** 2).sum()]
    )
    assert model(torch.randint(7, (2, 9))).shape == (2, 9, 5)
    assert model.blocks[1].mixer.energy.spec.formula == "0.5*|xi|^2 - lse(X @ xi)"


def test_what_layers_must_be() -> None:
    with pytest.raises(ValueError, match="2 blocks need make_layer"):
        transformer(2)
    with pytest.raises(ValueError, match="without make_layer"):
        transformer(["lse"], make_layer=lambda: None)
    with pytest.raises(ValueError, match="a layer for every block"):
        transformer([])
    made = [lambda **_: EnergyAttention(16, 4), lambda **_: EnergyAttention(16, 4, "rbm")]
    model = transformer(2, make_layer=made)
    titles = [block.mixer.energy.spec.title for block in model.blocks]
    assert titles == [REGISTRY.energies[name].title for name in ("lse", "rbm")]
    with pytest.raises(ValueError, match="3 blocks need"):
        transformer(3, make_layer=made)


def test_descriptions_of_a_stack() -> None:
    layers = describe_layers(
        REGISTRY.variant("lse/hyla:1+rbm:3"),
        {"1.steps": 2, "2b.beta": 0.5},
        embed_dim=16,
        num_heads=4,
    )
    assert [layer.name for layer in layers] == ["lse", "hyla+rbm"]
    assert layers[0].settings == {"steps": 2}
    assert [(g.num_heads, g.head_dim, g.settings) for g in layers[1].groups] == [
        (1, 4, {}),
        (3, 4, {"beta": 0.5}),
    ]


def test_the_example(tmp_path, capsys) -> None:
    root = Path(__file__).resolve().parents[3]
    runpy.run_path(str(root / "examples" / "stack.py"))["main"](tmp_path, trials=3, steps=2)
    assert "loaded again, equal: True" in capsys.readouterr().out
