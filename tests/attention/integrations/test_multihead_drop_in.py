"""EnergyMultiheadAttention against `nn.MultiheadAttention`, and inside PyTorch's transformers."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from attenergy.attention import EnergyAttention, relax
from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.energies import make_energy
from attenergy.registry import EnergySpec
from tests.attention.conftest import REGISTRY, draw
from tests.attention.integrations.conftest import (
    B,
    E,
    H,
    L,
    S,
    encoder_layer,
    make_multihead,
)

NAMES = list(REGISTRY.energies)
ENERGIES = {n: make_energy(n, dim=4, registry=REGISTRY) for n in NAMES}
WITHOUT_FIELD = [n for n in NAMES if not ENERGIES[n].reads_field and ENERGIES[n].hides_pairs]
ALONE = [n for n in NAMES if not ENERGIES[n].states_interact]


def pair(**options):
    """PyTorch's attention with biases that are not zero, and ours with its weights."""
    theirs = nn.MultiheadAttention(E, H, **options, dtype=torch.float64)
    for bias in (theirs.in_proj_bias, theirs.out_proj.bias):
        nn.init.normal_(bias, std=0.3)
    return theirs, EnergyMultiheadAttention.from_multihead(theirs, registry=REGISTRY)


def hidden_pairs(*shape):
    """True = hidden; every row sees something."""
    hidden = torch.rand(shape) < 0.4
    hidden[..., 0] = False
    return hidden


def as_numbers(hidden):
    return draw(*hidden.shape).masked_fill(hidden, -torch.inf)


def masks(kind, batch):
    attn = hidden_pairs(batch * H, L, S) if "3d" in kind else hidden_pairs(L, S)
    padding = hidden_pairs(batch, S) if batch > 1 or "unbatched" not in kind else hidden_pairs(S)
    if "numbers" in kind:
        attn, padding = as_numbers(attn), as_numbers(padding)
    given = {"attn_mask": attn, "key_padding_mask": padding}
    return {name: mask for name, mask in given.items() if name.split("_")[0] in kind}


KINDS = [
    "none", "attn", "attn 3d", "attn numbers", "attn 3d numbers", "key", "key numbers",
    "attn key", "attn 3d key numbers",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["sequence first", "batch first", "unbatched"])
@pytest.mark.parametrize("more", [False, True])
def test_one_step_of_log_sum_exp_is_pytorchs_attention(kind, layout, more):
    """Values, weights and gradients, with keys of another width and added patterns (`more`)."""
    widths = (E, 6, 3) if more else (E, E, E)
    options = {"kdim": 6, "vdim": 3, "add_bias_kv": True, "add_zero_attn": True} if more else {}
    theirs, ours = pair(batch_first=layout == "batch first", **options)
    sizes = {"batch first": [(B, L), (B, S)], "sequence first": [(L, B), (S, B)]}
    queries, keys = sizes.get(layout, [(L,), (S,)])
    shapes = (queries, keys, keys)
    inputs = [draw(*s, w).requires_grad_() for s, w in zip(shapes, widths, strict=True)]
    given = masks(f"{kind} {layout}", 1 if layout == "unbatched" else B)
    for average in (True, False):
        want = theirs(*inputs, **given, average_attn_weights=average)
        got = ours(*inputs, **given, average_attn_weights=average)
        torch.testing.assert_close(got, want)
    fast, nothing = ours(*inputs, **given, need_weights=False)
    assert nothing is None
    torch.testing.assert_close(fast, want[0])
    chosen = draw(*fast.shape)
    grads = [
        torch.autograd.grad((out * chosen).sum(), [*inputs, layer.out_proj.weight, *packed])
        for out, layer, packed in (
            (want[0], theirs, input_maps(theirs)),
            (fast, ours, input_maps(ours)),
        )
    ]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def input_maps(layer):
    if layer.in_proj_weight is not None:
        return [layer.in_proj_weight]
    return [layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight]


def test_dropout_is_pytorchs():
    """The same draw hides the same weights, and the weights returned are those applied."""
    theirs, ours = pair(dropout=0.4, batch_first=True)
    x = draw(B, L, E)
    torch.manual_seed(3)
    want = theirs(x, x, x, average_attn_weights=False)
    torch.manual_seed(3)
    got = ours(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(got, want)
    assert (got[1] == 0).any()
    ours.eval()
    torch.testing.assert_close(ours(x, x, x)[0], theirs.eval()(x, x, x)[0])


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_causal_hints(need_weights, padded):
    theirs, ours = pair(batch_first=True)
    x, causal = draw(B, L, E), nn.Transformer.generate_square_subsequent_mask(L).double()
    padding = None
    if padded:
        padding = torch.zeros(B, L, dtype=torch.float64)
        padding[0, -1] = -torch.inf
    options = {"key_padding_mask": padding, "need_weights": need_weights, "is_causal": True}
    want = theirs(x, x, x, attn_mask=causal, **options)
    torch.testing.assert_close(ours(x, x, x, attn_mask=causal, **options), want)
    torch.testing.assert_close(ours(x, x, x, **options), want)


def test_a_seed_draws_the_weights_of_pytorchs_attention():
    for options in ({}, {"kdim": 6, "vdim": 3, "add_bias_kv": True}, {"bias": False}):
        torch.manual_seed(1)
        theirs = nn.MultiheadAttention(E, H, **options)
        torch.manual_seed(1)
        ours = EnergyMultiheadAttention(E, H, registry=REGISTRY, **options)
        got, want = ours.state_dict(), theirs.state_dict()
        del got["heads.energy.parameters_.raw.beta"]
        assert got.keys() == want.keys()
        assert all(torch.equal(got[name], want[name]) for name in want)


def test_reset_draws_as_widely_and_forgets_what_the_energy_learned():
    ours = EnergyMultiheadAttention(64, 4, registry=REGISTRY, beta=2.0)
    spread, old = ours.q_proj_weight.std().item(), ours.q_proj_weight.detach().clone()
    with torch.no_grad():
        ours.heads.energy.parameters_.raw["beta"].fill_(5.0)
        ours.in_proj_bias.fill_(1.0)
    ours._reset_parameters()
    assert not torch.equal(ours.q_proj_weight, old)
    for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
        assert getattr(ours, name).std().item() == pytest.approx(spread, rel=0.05)
    torch.testing.assert_close(ours.heads.energy.values()["beta"], torch.full((4, 1, 1), 2.0))
    assert (ours.in_proj_bias == 0).all()


def same_weights(ours, **options):
    """The toolkit's own layer, with the weights of the drop-in."""
    layer = EnergyAttention(E, H, registry=REGISTRY, **options).double()
    maps, p = ours.state_dict(), layer.projections
    biases = maps["in_proj_bias"].chunk(3)
    with torch.no_grad():
        for name, weight, bias in zip(("query", "key", "value"), "qkv", biases, strict=True):
            if hasattr(p, name):
                getattr(p, name).weight.copy_(getattr(ours, f"{weight}_proj_weight"))
                getattr(p, name).bias.copy_(bias)
    p.out.load_state_dict(ours.out_proj.state_dict())
    layer.energy.load_state_dict(ours.heads.energy.state_dict())
    return layer


@pytest.mark.parametrize("name", NAMES)
def test_every_energy_computes_what_its_layer_computes(name):
    ours = make_multihead(name, batch_first=True, steps=2)
    nn.init.normal_(ours.in_proj_bias, std=0.3)
    x, padding = draw(B, L, E), torch.zeros(B, L, dtype=torch.bool)
    padding[0, -1] = padding[1, :2] = True
    layer = same_weights(ours, energy=name, steps=2)
    got, weights = ours(x, x, x, key_padding_mask=padding, average_attn_weights=False)
    torch.testing.assert_close(got, layer(x, mask=~padding[:, None, None]))
    if ENERGIES[name].has_weights:
        want = layer(x, mask=~padding[:, None, None], need_weights=True)[1]
        torch.testing.assert_close(weights, want)
    else:
        assert weights is None


def test_steps_are_taken_by_relaxing_the_queries():
    ours = make_multihead("rbm", batch_first=True, steps=3, step_size=0.7, beta=2.0)
    q, k = draw(1, L, E), draw(1, S, E)
    split = lambda x, w: (x @ w.T).unflatten(-1, (H, E // H)).transpose(1, 2)  # noqa: E731
    xi, X, values = (
        split(x, w) for x, w in zip((q, k, k), input_maps(ours)[0].chunk(3), strict=True)
    )
    energy = ours.heads.energy
    state = relax(energy, xi, X, steps=2, step_size=0.7, backend="eager").state
    read = energy.weights(state, X, None, None) @ values
    want = read.transpose(1, 2).flatten(2) @ ours.out_proj.weight.T
    torch.testing.assert_close(ours(q, k, k)[0], want)


@pytest.mark.parametrize("name", ["lse", "sparsemax", "polynomial", "uhop", "energy_transformer"])
def test_copies_pickles_and_state_dicts_compute_the_same(name):
    ours, other = (make_multihead(name, batch_first=True, steps=2) for _ in range(2))
    x = draw(B, L, E)
    other.load_state_dict(ours.state_dict())
    twins = [copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), other]  # noqa: S301
    want = ours(x, x, x)[0]
    assert all(torch.equal(twin(x, x, x)[0], want) for twin in twins)
    twins[1]._reset_parameters()
    assert not torch.equal(twins[1](x, x, x)[0], want)


@pytest.mark.parametrize("options", [{}, {"energy": "learned", "steps": 2}])
def test_compiles_to_one_graph(options):
    layer = encoder_layer()
    layer.self_attn = make_multihead(batch_first=True, **options)
    layer.double()
    padding = torch.zeros(B, L, dtype=torch.bool)
    padding[0, -1] = True
    x = draw(B, L, E)
    whole = torch.compile(layer, fullgraph=True, backend="eager")
    want = layer(x, src_key_padding_mask=padding)
    torch.testing.assert_close(whole(x, src_key_padding_mask=padding), want)


@pytest.mark.parametrize("name", WITHOUT_FIELD)
def test_energies_without_a_field_take_masks_that_only_hide(name):
    ours, x = make_multihead(name, batch_first=True), draw(B, L, E)
    hidden = hidden_pairs(L, L)
    numbers = torch.zeros(L, L, dtype=torch.float64).masked_fill(hidden, -torch.inf)
    want = ours(x, x, x, attn_mask=hidden, need_weights=False)[0]
    torch.testing.assert_close(ours(x, x, x, attn_mask=numbers, need_weights=False)[0], want)
    assert not torch.allclose(ours(x, x, x, need_weights=False)[0], want)
    with pytest.raises(ValueError, match="reads no field h: the mask may hide patterns only"):
        ours(x, x, x, attn_mask=numbers + 0.5)


def test_a_compiled_layer_refuses_them_too():
    ours, x = make_multihead("learned", batch_first=True), draw(B, L, E)
    whole = torch.compile(ours, fullgraph=True, backend="eager")
    zeros = torch.zeros(L, L, dtype=torch.float64)
    torch.testing.assert_close(
        whole(x, x, x, attn_mask=zeros, need_weights=False)[0],
        ours(x, x, x, need_weights=False)[0],
    )
    with pytest.raises(RuntimeError, match="reads no field h"):
        whole(x, x, x, attn_mask=zeros + 0.5, need_weights=False)


def test_a_mask_of_numbers_is_learned():
    ours, x = make_multihead(batch_first=True), draw(B, L, E)
    bias = draw(L, L).masked_fill(torch.eye(L).bool(), -torch.inf).requires_grad_()
    ours(x, x, x, attn_mask=bias)[0].square().sum().backward()
    assert (bias.grad.diagonal() == 0).all()
    assert (bias.grad != 0).sum() == L * L - L


def test_a_query_that_sees_nothing_reads_nothing():
    ours, x = make_multihead(batch_first=True), draw(B, L, E).requires_grad_()
    nn.init.normal_(ours.out_proj.bias)
    blocked = torch.zeros(L, L, dtype=torch.bool)
    blocked[1] = True
    out, weights = ours(x, x, x, attn_mask=blocked)
    torch.testing.assert_close(out[:, 1], ours.out_proj.bias.expand(B, E))
    assert (weights[:, 1] == 0).all()
    (grad,) = torch.autograd.grad(out.square().sum(), x)
    assert grad.isfinite().all()
    lowest = torch.zeros(L, L, dtype=torch.float64)
    lowest[1] = torch.finfo(torch.float64).min
    torch.testing.assert_close(ours(x, x, x, attn_mask=lowest)[0], out)


def test_device_and_dtype_reach_every_parameter():
    ours = EnergyMultiheadAttention(E, H, dtype=torch.bfloat16, device="meta", registry=REGISTRY)
    assert {(p.dtype, p.device.type) for p in ours.parameters()} == {(torch.bfloat16, "meta")}


def test_low_precision_stays_finite_and_close():
    ours = make_multihead(batch_first=True, steps=2).float()
    x = torch.randn(B, L, E)
    want = ours(x, x, x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        got = ours(x, x, x)[0]
    torch.testing.assert_close(got.float(), want, rtol=0.1, atol=0.05)
    x = x.bfloat16()
    torch.testing.assert_close(ours.bfloat16()(x, x, x)[0].float(), want, rtol=0.1, atol=0.05)


def test_an_entry_of_ones_own():
    spec = EnergySpec(title="Twice as sharp", formula="0.5*|xi|^2 - lse(2 * X @ xi + h)/2")
    ours = make_multihead(spec, batch_first=True)
    x = draw(B, L, E)
    want = make_multihead(batch_first=True, beta=2.0)
    want.load_state_dict({**want.state_dict(), **ours.state_dict()})
    torch.testing.assert_close(ours(x, x, x), want(x, x, x))
