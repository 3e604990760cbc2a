"""What an attention module carries stays with it when it gets an energy."""

from __future__ import annotations

import types

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.energies import make_energy
from tests.attention.conftest import REGISTRY, draw
from tests.attention.integrations.conftest import (
    WIDTHS,
    B,
    E,
    H,
    L,
    S,
    energise,
    plain,
)

NAMES = list(REGISTRY.energies)


def inputs(widths="packed"):
    keys = (draw(B, S, 6), draw(B, S, 3)) if widths == "three" else (draw(B, S, E),) * 2
    return (draw(B, L, E), *keys)


def old_weight_norm(module, name):
    with pytest.warns(FutureWarning):
        torch.nn.utils.weight_norm(module, name)


def half(name):
    return lambda a: prune.random_unstructured(a, name, 0.5)


CHANGES = {
    "nothing": ("packed", lambda a: None),
    "weight norm, out": ("packed", lambda a: parametrizations.weight_norm(a.out_proj)),
    "weight norm, in": ("packed", lambda a: parametrizations.weight_norm(a, "in_proj_weight")),
    "spectral norm": ("packed", lambda a: parametrizations.spectral_norm(a, "in_proj_weight")),
    "orthogonal": ("three", lambda a: parametrizations.orthogonal(a, "q_proj_weight")),
    "own": ("packed", lambda a: parametrize.register_parametrization(a, "in_proj_bias", nn.Tanh())),
    "old weight norm": ("packed", lambda a: old_weight_norm(a, "in_proj_weight")),
    "old weight norm, three": ("three", lambda a: old_weight_norm(a, "v_proj_weight")),
    "pruned, in": ("packed", half("in_proj_weight")),
    "pruned, bias": ("packed", half("in_proj_bias")),
    "pruned, three": ("three", half("k_proj_weight")),
    "pruned, added": ("three", half("bias_v")),
    "pruned, out": ("packed", lambda a: prune.random_unstructured(a.out_proj, "weight", 0.5)),
}


@pytest.mark.parametrize("copying", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights_act_as_before(change, copying):
    """Also after a step of training, and when another energy comes and goes."""
    widths, apply = CHANGES[change]
    theirs = plain(widths)
    apply(theirs)
    theirs.eval()  # spectral norm goes on at each call in training
    given, names = inputs(widths), theirs.state_dict().keys()
    want = theirs(*given)
    before = {name: value.clone() for name, value in theirs.state_dict().items()}
    if copying:
        ours = EnergyMultiheadAttention.from_multihead(theirs, registry=REGISTRY)
    else:
        ours = energise(theirs)
        assert ours is theirs
    torch.testing.assert_close(ours(*given), want)
    assert {n for n in ours.state_dict() if not n.startswith("heads.")} == names
    energise(ours, "uhop")
    energise(ours)
    torch.testing.assert_close(ours(*given), want)
    optimiser = torch.optim.SGD(ours.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        ours(*given)[0].square().sum().backward()
        assert all(p.grad is not None for p in ours.parameters())
        optimiser.step()
    assert not torch.allclose(ours(*given)[0], want[0])
    if copying:
        assert all(torch.equal(theirs.state_dict()[name], before[name]) for name in names)


def test_what_is_frozen_stays_frozen():
    layer = nn.TransformerDecoderLayer(E, H, 16, batch_first=True).requires_grad_(False)
    layer.self_attn.in_proj_bias.requires_grad_(True)
    energise(layer)
    thawed = {name for name, p in layer.named_parameters() if p.requires_grad}
    beta = "heads.energy.parameters_.raw.beta"
    assert thawed == {"self_attn.in_proj_bias", f"self_attn.{beta}", f"multihead_attn.{beta}"}


def test_ties_are_kept_within_between_and_outside():
    model = nn.ModuleDict({"a": plain(), "b": plain(), "c": plain("three"), "e": nn.Linear(E, E)})
    model.a.in_proj_weight, model.a.out_proj = model.b.in_proj_weight, model.b.out_proj
    model.c.q_proj_weight = model.c.out_proj.weight
    model.e.weight = model.b.out_proj.weight
    model.twice = model.a
    before = dict(model.named_parameters(remove_duplicate=False))
    energise(model)
    after = dict(model.named_parameters(remove_duplicate=False))
    assert all(after[name] is parameter for name, parameter in before.items())
    assert all("heads." in name for name in after.keys() - before.keys())
    assert model.twice is model.a


def test_hooks_of_every_kind_go_on():
    calls, layer = [], plain()
    note = lambda name: lambda *_, **__: calls.append(name)  # noqa: E731
    layer.register_forward_pre_hook(note("before"))
    layer.register_forward_pre_hook(note("before, keywords"), with_kwargs=True)
    layer.register_forward_hook(note("after"))
    layer.register_forward_hook(note("always"), always_call=True, with_kwargs=True)
    layer.register_full_backward_pre_hook(note("gradient before"))
    layer.register_full_backward_hook(note("gradient"))
    layer.register_state_dict_pre_hook(note("state"))
    layer.register_state_dict_post_hook(note("state after"))
    layer.register_load_state_dict_pre_hook(note("load"))
    layer.register_load_state_dict_post_hook(note("loaded"))
    layer.in_proj_weight.register_hook(note("weight"))
    layer.in_proj_weight.register_post_accumulate_grad_hook(note("accumulated"))

    def called(attention):
        calls.clear()
        x = draw(B, L, E).requires_grad_()
        attention(x, x, value=x)[0].sum().backward()
        attention.load_state_dict(attention.state_dict())
        return sorted(calls)

    want = called(layer)
    assert len(want) == 12
    twin = EnergyMultiheadAttention.from_multihead(layer, registry=REGISTRY)
    of_copies = [name for name in want if name not in ("weight", "accumulated")]
    assert called(twin) == of_copies
    assert called(energise(layer)) == want
    handle = layer.register_forward_hook(note("later"))
    energise(layer, "rbm")
    assert called(layer) == sorted([*want, "later"])
    handle.remove()
    assert called(layer) == want


def test_a_copy_calls_the_same_probes():
    """Not copies of them, whose records nobody would look at."""

    class Probe:
        seen = 0

        def note(self, *_):
            self.seen += 1

        __call__ = note

    called, bound, layer = Probe(), Probe(), plain()
    layer.register_forward_hook(called)
    layer.register_forward_pre_hook(bound.note)
    EnergyMultiheadAttention.from_multihead(layer, registry=REGISTRY)(*inputs())
    assert (called.seen, bound.seen) == (1, 1)


def test_hooks_get_the_module_that_was_exchanged():
    layer, seen = plain(), []
    layer.register_load_state_dict_pre_hook(lambda module, *_: seen.append(module))
    twin = EnergyMultiheadAttention.from_multihead(layer, registry=REGISTRY)
    for one in (twin, energise(layer)):
        one.load_state_dict(one.state_dict())
    assert [s is one for s, one in zip(seen, (twin, layer), strict=True)] == [True, True]


def test_buffers_attributes_mode_and_type_are_kept():
    model = nn.ModuleDict({"a": plain().float().bfloat16().eval(), "b": plain().train()})
    model.a.register_buffer("count", torch.ones(1), persistent=False)
    model.a.note = "mine"
    energise(model)
    assert model.a.note == "mine"
    assert model.a.count is model.a._buffers["count"]
    assert "count" not in dict(model.a.state_dict())
    assert not model.a.heads.training
    assert model.b.heads.training
    assert {p.dtype for p in model.a.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.b.parameters()} == {torch.float64}


class Rotated(nn.MultiheadAttention):
    def forward(self, query, key, value, **more):
        return super().forward(query.roll(1, -1), key, value, **more)


class Turned(Rotated):
    pass


class Merging(nn.MultiheadAttention):
    def merge_masks(self, *args):
        return super().merge_masks(*args)


class Named(nn.MultiheadAttention):
    """Only made and shown differently."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.label = "x"

    def extra_repr(self):
        return self.label


class Adapted(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def with_own_forward(attention):
    attention.forward = types.MethodType(lambda self, *args, **more: (args[0], None), attention)


def with_adapted_output(attention):
    attention.out_proj = Adapted(E, E).double()


@pytest.mark.parametrize(
    ("cls", "change", "message"),
    [
        (Rotated, None, r"'a' is a Rotated with its own forward"),
        (Turned, None, r"'a' is a Turned with its own forward"),
        (Merging, None, r"'a' is a Merging with its own merge_masks"),
        (Rotated, CHANGES["weight norm, in"][1], r"'a' is a Rotated with its own forward"),
        (nn.MultiheadAttention, with_own_forward, "'a' is a MultiheadAttention with its own forw"),
        (nn.MultiheadAttention, with_adapted_output, r"'a\.out_proj' is a Adapted"),
        (
            nn.MultiheadAttention,
            lambda a: setattr(a, "out_proj", nn.Sequential(a.out_proj)),
            r"'a\.out_proj' is a Sequential",
        ),
    ],
)
def test_what_computes_something_else_is_refused(cls, change, message):
    """By name, and the model stays as it was."""
    model = nn.ModuleDict({"first": plain(), "a": plain(cls=cls)})
    if change is not None:
        change(model.a)
    with pytest.raises(ValueError, match=message):
        energise(model)
    assert type(model.first) is nn.MultiheadAttention
    with pytest.raises(ValueError, match=message.replace("'a", "'attention")):
        EnergyMultiheadAttention.from_multihead(model.a)
    with pytest.raises(ValueError, match="did you mean 'lse'"):
        energise(nn.ModuleDict({"first": model.first}), "lsee")
    assert type(model.first) is nn.MultiheadAttention


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match="model must be a torch module, got str"):
        energise("model")
    with pytest.raises(TypeError, match=r"attention must be an nn\.MultiheadAttention, got Linear"):
        EnergyMultiheadAttention.from_multihead(nn.Linear(2, 2))


def test_quantisable_attention_is_refused():
    quantizable = pytest.importorskip("torch.ao.nn.quantizable")
    model = nn.ModuleDict({"a": quantizable.MultiheadAttention(E, H)})
    with pytest.raises(ValueError, match="'a' is a MultiheadAttention with its own "):
        energise(model)


def test_a_sub_class_that_computes_the_same_is_exchanged():
    layer, given = plain(cls=Named), inputs()
    want = layer(*given)
    torch.testing.assert_close(energise(layer)(*given), want)
    assert layer.label == "x"
    assert isinstance(layer, EnergyMultiheadAttention)


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name, widths):
    given = inputs(widths)
    if not make_energy(name, dim=4, registry=REGISTRY).reads_patterns:
        if widths == "three":  # it adds patterns, which such an energy does not take
            with pytest.raises(ValueError, match="of the states alone"):
                energise(plain(widths), name)
            return
        given = (given[0],) * 3
    ours = energise(plain(widths), name)
    ours(*given)[0].square().sum().backward()
    assert [n for n, p in ours.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.usefixtures("lone_process_group")
def test_distributed_training_goes_on():
    for name in ("uhop", "learned", "classical_hopfield", "energy_transformer"):
        layer = energise(nn.TransformerEncoderLayer(E, H, 16, batch_first=True), name)
        model = nn.parallel.DistributedDataParallel(layer)
        for _ in range(2):
            model(torch.randn(B, L, E)).sum().backward()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_empty_inputs(name, masked):
    """No samples, no queries, no keys: the shapes of PyTorch, and gradients."""
    ours = energise(plain(), name, steps=2)
    alike = not ours.heads.energy.reads_patterns or ours.heads.energy.states_interact
    for b, length, stored in ((0, 4, 4), (2, 0, 0), (0, 0, 0), (2, 0, 5), (2, 4, 0)):
        if alike and length != stored:
            continue
        x = draw(b, length, E).requires_grad_()
        keys = x if alike else draw(b, stored, E)
        mask = torch.zeros(length, stored).bool() if masked else None
        out, weights = ours(x, keys, keys, attn_mask=mask)
        assert out.shape == (b, length, E)
        assert weights is None or weights.shape == (b, length, stored)
        again = ours(x, keys, keys, attn_mask=mask, need_weights=False)[0]
        torch.testing.assert_close(again, out)
        if stored == 0 and ours.heads.read == "weights":
            torch.testing.assert_close(out, ours.out_proj.bias.expand_as(out))
        ours.zero_grad()
        out.square().sum().backward()
        assert all(p.grad is not None for p in ours.parameters() if p.requires_grad)
