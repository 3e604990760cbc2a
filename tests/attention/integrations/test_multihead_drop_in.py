"""EnergyMultiheadAttention against `nn.MultiheadAttention`, and inside PyTorch's transformers."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from attenergy.attention import EnergyAttention, relax
from attenergy.attention.integrations.heads import EnergyHeads
from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.attention.integrations.replace import replace_attention
from attenergy.energies import domain_of, make_energy
from attenergy.registry import EnergySpec, load_registry
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
NAMES = list(REGISTRY.energies)
ENERGIES = {n: make_energy(n, dim=4, registry=REGISTRY) for n in NAMES}
WITHOUT_FIELD = [n for n in NAMES if not ENERGIES[n].reads_field]
ALONE = [n for n in NAMES if not ENERGIES[n].states_interact]
SPINS = [n for n in NAMES if domain_of(REGISTRY.energies[n]).discrete]
B, L, S, E, H = 2, 4, 5, 8, 2
D = E // H


def make(energy="lse", **options):
    return EnergyMultiheadAttention(E, H, energy=energy, registry=REGISTRY, **options).double()


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
    ours = make(name, batch_first=True, steps=2)
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
    ours = make("rbm", batch_first=True, steps=3, step_size=0.7, beta=2.0)
    q, k = draw(1, L, E), draw(1, S, E)
    split = lambda x, w: (x @ w.T).unflatten(-1, (H, D)).transpose(1, 2)  # noqa: E731
    xi, X, values = (
        split(x, w) for x, w in zip((q, k, k), input_maps(ours)[0].chunk(3), strict=True)
    )
    energy = ours.heads.energy
    state = relax(energy, xi, X, steps=2, step_size=0.7, backend="eager").state
    read = energy.weights(state, X, None, None) @ values
    want = read.transpose(1, 2).flatten(2) @ ours.out_proj.weight.T
    torch.testing.assert_close(ours(q, k, k)[0], want)


@pytest.fixture
def calls(monkeypatch):
    """How often an energy was read, counted at the heads themselves."""

    count, original = [], EnergyHeads.forward

    def counted(self, *args, **kwargs):
        count.append(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(EnergyHeads, "forward", counted)
    return count


def encoder_layer(**options):
    return nn.TransformerEncoderLayer(E, H, 16, 0.0, batch_first=True, **options)


MODULES = {
    "encoder layer": encoder_layer,
    "encoder layer, norm first": lambda: encoder_layer(norm_first=True),
    "encoder": lambda: nn.TransformerEncoder(encoder_layer(), 2, enable_nested_tensor=False),
    "encoder that nests": lambda: nn.TransformerEncoder(encoder_layer(), 2),
    "decoder layer": lambda: nn.TransformerDecoderLayer(E, H, 16, 0.0, batch_first=True),
    "transformer": lambda: nn.Transformer(E, H, 1, 1, 16, 0.0, batch_first=True),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # PyTorch's own encoder
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("training", [True, False])
def test_the_energy_is_called_inside_pytorchs_modules(name, training, calls):
    """Also where PyTorch has a fused path for inference; and computes the same there."""
    theirs = MODULES[name]().double().train(training)
    ours = replace_attention(copy.deepcopy(theirs), registry=REGISTRY)
    attentions = sum(isinstance(m, nn.MultiheadAttention) for m in theirs.modules())
    x, memory = draw(B, L, E), draw(B, S, E)
    padding = torch.zeros(B, L, dtype=torch.bool)
    padding[1, -2:] = True
    inputs, options = (x,), {"src_key_padding_mask": padding}
    if name in ("decoder layer", "transformer"):
        causal = nn.Transformer.generate_square_subsequent_mask(L, dtype=torch.float64)
        inputs, options = (x, memory), {"tgt_mask": causal, "tgt_is_causal": True}
        inputs = inputs if name == "decoder layer" else inputs[::-1]
    with torch.set_grad_enabled(training):
        got = ours(*inputs, **options)
        assert len(calls) == attentions > 0
        want = theirs(*inputs, **options)
    shown = slice(None) if len(inputs) == 2 else ~padding  # nested tensors fill padding with 0
    torch.testing.assert_close(got[shown], want[shown])
    assert len(calls) == attentions


def test_attention_is_replaced_once():
    layer = encoder_layer()
    layer.again = layer.self_attn
    replace_attention(layer, "sparsemax", steps=2, registry=REGISTRY)
    assert layer.again is layer.self_attn
    assert layer.self_attn.heads.energy.spec.title == REGISTRY.energies["sparsemax"].title
    assert layer.self_attn.heads.steps == 2
    with pytest.raises(ValueError, match=r"no nn\.MultiheadAttention inside this Linear"):
        replace_attention(layer.linear1)


def test_an_encoder_built_from_a_layer_with_an_energy(calls):
    layer = encoder_layer()
    layer.self_attn = make("sparsemax", batch_first=True).float()
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    with torch.no_grad():
        encoder(torch.randn(B, L, E))
    assert len(set(calls)) == len(calls) == 3


@pytest.mark.parametrize("name", NAMES)
def test_every_energy_trains_inside_an_encoder_layer(name):
    layer = encoder_layer()
    layer.self_attn = make(name, batch_first=True, steps=2)
    layer.double()
    padding = torch.zeros(B, L, dtype=torch.bool)
    padding[0, -2:] = True
    x = draw(B, L, E)
    out = layer(x, src_key_padding_mask=padding)
    out[~padding].square().sum().backward()
    # A sign stands between the output of a layer of spins and everything before it.
    grads = [p.grad for p in layer.self_attn.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in grads)
    moved = {
        n for n, p in layer.self_attn.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert "out_proj.weight" in moved
    assert name in SPINS or layer.self_attn.in_proj_weight.grad[:E].any()  # of the queries
    assert all(p.grad is not None for p in layer.parameters() if p.requires_grad)
    changed = x.clone()
    changed[0, -2:] = 9.0
    again = layer(changed, src_key_padding_mask=padding)
    torch.testing.assert_close(again[~padding], out[~padding])


@pytest.mark.parametrize("name", ["lse", "sparsemax", "polynomial", "uhop", "energy_transformer"])
def test_copies_pickles_and_state_dicts_compute_the_same(name):
    ours, other = (make(name, batch_first=True, steps=2) for _ in range(2))
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
    layer.self_attn = make(batch_first=True, **options)
    layer.double()
    padding = torch.zeros(B, L, dtype=torch.bool)
    padding[0, -1] = True
    x = draw(B, L, E)
    whole = torch.compile(layer, fullgraph=True, backend="eager")
    want = layer(x, src_key_padding_mask=padding)
    torch.testing.assert_close(whole(x, src_key_padding_mask=padding), want)


@pytest.mark.parametrize("name", WITHOUT_FIELD)
def test_energies_without_a_field_take_masks_that_only_hide(name):
    ours, x = make(name, batch_first=True), draw(B, L, E)
    hidden = hidden_pairs(L, L)
    numbers = torch.zeros(L, L, dtype=torch.float64).masked_fill(hidden, -torch.inf)
    want = ours(x, x, x, attn_mask=hidden, need_weights=False)[0]
    torch.testing.assert_close(ours(x, x, x, attn_mask=numbers, need_weights=False)[0], want)
    assert not torch.allclose(ours(x, x, x, need_weights=False)[0], want)
    with pytest.raises(ValueError, match="reads no field h: the mask may hide patterns only"):
        ours(x, x, x, attn_mask=numbers + 0.5)


def test_a_compiled_layer_refuses_them_too():
    ours, x = make("learned", batch_first=True), draw(B, L, E)
    whole = torch.compile(ours, fullgraph=True, backend="eager")
    zeros = torch.zeros(L, L, dtype=torch.float64)
    torch.testing.assert_close(
        whole(x, x, x, attn_mask=zeros, need_weights=False)[0],
        ours(x, x, x, need_weights=False)[0],
    )
    with pytest.raises(RuntimeError, match="reads no field h"):
        whole(x, x, x, attn_mask=zeros + 0.5, need_weights=False)


def test_a_mask_of_numbers_is_learned():
    ours, x = make(batch_first=True), draw(B, L, E)
    bias = draw(L, L).masked_fill(torch.eye(L).bool(), -torch.inf).requires_grad_()
    ours(x, x, x, attn_mask=bias)[0].square().sum().backward()
    assert (bias.grad.diagonal() == 0).all()
    assert (bias.grad != 0).sum() == L * L - L


def test_a_query_that_sees_nothing_reads_nothing():
    ours, x = make(batch_first=True), draw(B, L, E).requires_grad_()
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
    ours = make(batch_first=True, steps=2).float()
    x = torch.randn(B, L, E)
    want = ours(x, x, x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        got = ours(x, x, x)[0]
    torch.testing.assert_close(got.float(), want, rtol=0.1, atol=0.05)
    x = x.bfloat16()
    torch.testing.assert_close(ours.bfloat16()(x, x, x)[0].float(), want, rtol=0.1, atol=0.05)


def test_an_entry_of_ones_own():
    spec = EnergySpec(title="Twice as sharp", formula="0.5*|xi|^2 - lse(2 * X @ xi + h)/2")
    ours = make(spec, batch_first=True)
    x = draw(B, L, E)
    want = make(batch_first=True, beta=2.0)
    want.load_state_dict({**want.state_dict(), **ours.state_dict()})
    torch.testing.assert_close(ours(x, x, x), want(x, x, x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embed_dim": 9}, r"embed_dim \(9\) is not a multiple of num_heads \(2\)"),
        ({"energy": "lsee"}, "did you mean 'lse'"),
        ({"betta": 1.0}, "did you mean 'beta'"),
        ({"steps": 0}, "steps must be a whole number from 1, got 0"),
        ({"step_size": -1.0}, "step_size must be above 0"),
        ({"step_size": float("inf")}, "step_size must be a finite number"),
        ({"beta": float("nan")}, "beta"),
        ({"num_heads": 2.0}, "num_heads must be a whole number"),
        ({"kdim": 0}, "kdim must be at least 1"),
        ({"vdim": float("nan")}, "vdim must be a whole number"),
        ({"batch_first": "yes"}, "batch_first must be True or False"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"energy": "uhop", "read": "weights"}, "defines no weights over patterns"),
    ],
)
def test_settings_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        EnergyMultiheadAttention(
            **{"embed_dim": E, "num_heads": H, "registry": REGISTRY, **options}
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": draw(B, L, 5)}, r"query must be \(B, length, width\)"),
        ({"key": draw(L, E)}, "all three alike"),
        ({"value": draw(B, 7, E)}, "key and value one length"),
        ({"attn_mask": torch.zeros(L, 3).bool()}, r"attn_mask must have shape \(4, 4\) or"),
        ({"attn_mask": torch.zeros(L, L).long()}, "boolean or floating point, got torch.int64"),
        ({"key_padding_mask": torch.zeros(L).bool()}, r"key_padding_mask must have shape \(2, 4\)"),
    ],
)
def test_inputs_that_do_not_fit(change, message):
    x = draw(B, L, E)
    with pytest.raises(ValueError, match=message):
        make(batch_first=True)(**{"query": x, "key": x, "value": x, **change})


@pytest.mark.parametrize("name", ["query", "key", "value", "attn_mask", "key_padding_mask"])
def test_arrays_are_no_tensors(name):
    given = {n: draw(B, L, E) for n in ("query", "key", "value")}
    with pytest.raises(TypeError, match=f"{name} must be a torch tensor, got ndarray"):
        make(batch_first=True)(**{**given, name: draw(B, L).numpy()})


def test_what_some_energies_refuse():
    x, y = draw(B, L, E), draw(B, L, E)
    with pytest.raises(ValueError, match="cannot be causal"):
        make("graph_hopfield", batch_first=True)(x, x, x, is_causal=True)
    with pytest.raises(ValueError, match="an energy of the states alone"):
        make("energy_transformer", batch_first=True)(x, y, y)
