"""Laws of every mixer in the built-in registry."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import Tensor, nn

from attenergy.attention.mixers import CLASSES, make_mixer
from attenergy.registry import load_registry

B, H, L, E = 2, 2, 5, 4
REGISTRY = load_registry(plugins=False)
NAMES = list(REGISTRY.mixers)
#: Whose result depends on where a pattern stands: a pattern can be hidden but not taken out.
PLACED = {
    "aaren",
    "attention_sh",
    "attention_bn_sh",
    "window",
    "low_rank",
    "token_mixing",
    "identity",
}
ALONE = {"aaren", "identity"}  # no context
ONE_OF_A_CLASS = {REGISTRY.mixers[name].class_: name for name in NAMES}.values()
SMALL = {"window": {"window": 2}, "low_rank": {"rank": 1}, "token_mixing": {"hidden": 3},
         "top_k": {"kept": 3}, "performer": {"num_features": 5}}  # fmt: skip

every = pytest.mark.parametrize("name", NAMES)


def make(name: str, **options) -> nn.Module:
    options = SMALL.get(name, {}) | options
    layer = make_mixer(
        name, embed_dim=E, num_heads=H, registry=REGISTRY, length=8, **options
    ).double()
    nn.init.normal_(layer.projections.out.bias)
    return layer


def draw(*shape: int) -> Tensor:
    return torch.randn(*(shape or (B, L, E)), dtype=torch.float64)


def paths(layer: nn.Module) -> list[bool]:
    """Values of `need_weights` that the layer can honour."""
    return [False, True] if layer.has_weights else [False]


def output(layer: nn.Module, *args, need_weights: bool = False, **options) -> Tensor:
    result = layer(*args, need_weights=need_weights, **options)
    return result[0] if need_weights else result


def sees_all_but(hidden: int) -> Tensor:
    return torch.arange(L) != hidden


@every
@pytest.mark.parametrize("alike", [True, False])
def test_hidden_patterns_have_no_influence(name, alike):
    """The other states' outputs do not move, and their gradients are exactly 0."""
    layer, x = make(name, value_dim=16), draw().requires_grad_()  # wide: not all relus are off
    mask = sees_all_but(2)
    if not alike:
        mask = mask.expand(L, L).clone()
        mask[0, 1] = False
    others = [0, 1, 3, 4]
    changed = x.detach().clone()
    changed[:, 2] = 7
    for need in paths(layer):
        out = output(layer, x, mask=mask, need_weights=need)[:, others]
        again = output(layer, changed, mask=mask, need_weights=need)[:, others]
        torch.testing.assert_close(again, out)
        (grad,) = torch.autograd.grad(out.square().sum(), x)
        assert grad[:, 2].count_nonzero() == 0
        assert grad[:, others].abs().amax(-1).min() > 0


@every
def test_masking_equals_deleting(name):
    """Any pattern where places do not matter, else the last ones."""
    layer, x = make(name), draw()
    keep = torch.tensor([1, 0, 1, 0, 1] if name not in PLACED else [1, 1, 1, 0, 0]).bool()
    for need in paths(layer):
        for rows in (1, L):  # the same mask, as one row and as many
            out = output(layer, x, mask=keep.expand(rows, L), need_weights=need)[:, keep]
            torch.testing.assert_close(out, output(layer, x[:, keep], need_weights=need))


@every
def test_causal_layers_do_not_see_the_future(name):
    layer, x = make(name, value_dim=16), draw(1, L, E).requires_grad_()
    for need in paths(layer):
        for mask in (None, sees_all_but(1)):
            out = output(layer, x, mask=mask, is_causal=True, need_weights=need)
            for i in (0, 2, L - 1):
                (grad,) = torch.autograd.grad(out[:, i].square().sum(), x, retain_graph=True)
                assert grad[:, i + 1 :].count_nonzero() == 0
                assert grad[:, i].count_nonzero() > 0


@every
def test_one_sample_never_changes_another(name):
    layer, x = make(name), draw(3, L, E)
    mask = torch.ones(3, 1, 1, L).bool()
    mask[1, ..., 3:] = False
    for need in paths(layer):
        out = output(layer, x, mask=mask, need_weights=need)
        for b in range(3):
            alone = output(layer, x[b : b + 1], mask=mask[b : b + 1], need_weights=need)
            torch.testing.assert_close(out[b : b + 1], alone)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in PLACED])
def test_permutations(name):
    """Permuting states permutes the result; permuting patterns changes nothing."""
    layer, x, order = make(name), draw(), torch.tensor([3, 0, 4, 1, 2])
    out = layer(x)
    torch.testing.assert_close(layer(x[:, order], x), out[:, order])
    torch.testing.assert_close(layer(x, x[:, order]), out)


@every
def test_both_ways_agree(name):
    """With and without weights, for self and cross attention and every kind of mask."""
    layer, x = make(name), draw()
    if not layer.has_weights:
        return
    pair = torch.rand(B, H, L, L) < 0.6
    contexts = [None] if name in ALONE else [None, draw(B, 7, E)]
    for context in contexts:
        stored = L if context is None else 7
        padding = (torch.arange(stored) < 4).expand(B, 1, 1, stored)
        for mask in (None, padding, padding[0, 0, 0], pair if stored == L else None):
            for causal in (False, True):
                out, weights = layer(x, context, mask=mask, is_causal=causal, need_weights=True)
                assert weights.shape == (B, H, L, stored)
                torch.testing.assert_close(layer(x, context, mask=mask, is_causal=causal), out)


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_state_that_sees_nothing(name, dtype):
    """Its output is the output's bias, and nothing is NaN."""
    layer = make(name).to(dtype)
    x = draw().to(dtype).requires_grad_()
    pair = torch.ones(B, 1, L, L).bool()
    pair[0, 0, 2] = False
    pair[1] = False
    bias = layer.projections.out.bias
    for mask in (pair, torch.zeros(L).bool()):
        for need in paths(layer):
            out = output(layer, x, mask=mask, need_weights=need)
            assert torch.equal(out[0, 2], bias)
            assert torch.equal(out[1], bias.expand(L, E))
            layer.zero_grad()
            x.grad = None
            out.square().sum().backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())
            assert x.grad[1].count_nonzero() == 0
            assert x.grad.isfinite().all()


@every
def test_every_parameter_trains(name):
    layer = make(name)
    layer(draw()).square().sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    assert layer.projections.value.weight.grad.count_nonzero() > 0


@every
@pytest.mark.parametrize("is_causal", [False, True])
def test_gradcheck(name, is_causal):
    layer, x = make(name), draw(1, 3, E).requires_grad_()
    mask = torch.tensor([True, False, True])
    assert torch.autograd.gradcheck(lambda y: layer(y, mask=mask, is_causal=is_causal), (x,))


@every
def test_second_derivatives(name):
    layer, x = make(name), draw(1, 3, E).requires_grad_()
    direction = draw(1, 3, E)

    def along(t: Tensor) -> Tensor:  # one direction instead of all, which costs minutes
        return layer(x + t * direction, is_causal=True)

    assert torch.autograd.gradgradcheck(along, (draw(1).requires_grad_(),))


@every
def test_finite_in_narrow_types(name):
    layer, x = make(name), 5 * draw()
    exact = layer(x, is_causal=True)
    narrow = copy.deepcopy(layer).bfloat16()(x.bfloat16(), is_causal=True)
    assert narrow.dtype == torch.bfloat16
    assert narrow.isfinite().all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert copy.deepcopy(layer).float()(x.float(), is_causal=True).isfinite().all()
    single = copy.deepcopy(layer).float()(x.float(), is_causal=True)
    torch.testing.assert_close(single.double(), exact, rtol=1e-3, atol=1e-3)


@every
def test_copies_compute_the_same(name):
    layer, other, x = make(name), make(name), draw()
    assert not torch.equal(other(x), layer(x))
    other.load_state_dict(layer.state_dict())
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for twin in (other, copy.deepcopy(layer), torch.load(file, weights_only=False)):
        assert torch.equal(twin(x), layer(x))


@every
def test_vmap_and_inference_mode(name):
    layer, x = make(name), draw()
    expected = layer(x, is_causal=True)
    each = torch.func.vmap(lambda y: layer(y[None], is_causal=True)[0])(x)
    torch.testing.assert_close(each, expected)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x, is_causal=True), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch's compiler
@pytest.mark.by_kind("hyla_deep", "aaren", "window")
@pytest.mark.parametrize("name", ONE_OF_A_CLASS)
def test_compiles_as_one_graph(name):
    layer, x = make(name), draw()
    mask = torch.ones(B, 1, 1, L).bool()
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    options = {"mask": mask, "is_causal": True}
    torch.testing.assert_close(compiled(x, **options), layer(x, **options))


@every
def test_everything_is_made_on_the_device_of_the_inputs(name):
    layer, x = make(name).to("meta"), torch.empty(B, L, E, device="meta", dtype=torch.float64)
    padding = torch.ones(L, device="meta").bool()
    for mask in (None, padding, padding.expand(L, L)):
        for causal in (False, True):
            for need in paths(layer):
                out = output(layer, x, mask=mask, is_causal=causal, need_weights=need)
                assert out.device.type == "meta"
    assert layer.step(x[:, 0], layer.init_state(B))[0].device.type == "meta"


@every
def test_dropout_removes_pairs_in_training_only(name):
    layer, x = make(name, dropout=0.5), draw()
    assert torch.equal(layer.eval()(x), layer(x))
    torch.manual_seed(5)
    trained = layer.train()(x)
    assert not torch.equal(trained, layer.eval()(x))
    if not layer.has_weights:
        return
    torch.manual_seed(5)
    out, dropped = layer.train()(x, need_weights=True)
    torch.testing.assert_close(out, trained)  # the short cut is not taken
    _, plain = layer.eval()(x, need_weights=True)
    remaining = ((dropped != 0) | (plain == 0)).all(0).all(0)
    assert 0 < remaining.sum() < L * L
    torch.testing.assert_close(dropped, plain * remaining * 2)


@every
def test_streaming_equals_causal_attention(name):
    """One state at a time, with a state of the size that the layer claims."""
    layer, x = make(name), draw(3, 8, E)
    expected = layer(x, is_causal=True)
    state = layer.init_state(3)
    for t in range(8):
        out, state = layer.step(x[:, t], state)
        torch.testing.assert_close(out, expected[:, t])
        numbers = sum(part[0].numel() for part in state if part.is_floating_point())
        assert layer.state_bytes(t + 1) == 8 * numbers
    assert layer.float().state_bytes(8) == 4 * numbers


@pytest.mark.parametrize(
    "name",
    ["linear", "linear_elu", "squared_kernel", "performer", "aaren", "low_rank", "mean"],
)
def test_states_of_constant_size(name):
    layer = make(name)
    assert layer.state_bytes(10) == layer.state_bytes(100_000)
    cache = make("softmax")
    assert cache.state_bytes(100_000) == 10_000 * cache.state_bytes(10)


@every
def test_fields_are_read_or_refused(name):
    layer, x, field = make(name), draw(), draw(1, H, L, L)
    if not layer.reads_field:
        with pytest.raises(ValueError, match=f"{type(layer).__name__} reads no field"):
            layer(x, field=field)
        return
    assert not torch.allclose(layer(x, field=field), layer(x))
    if "rms" not in name and "hyla" not in name and "linear" not in name:
        # softmax does not change with a number added to all scores of a state
        torch.testing.assert_close(layer(x, field=draw(1, H, L, 1)), layer(x))


@pytest.mark.parametrize("name", REGISTRY.mixers)
def test_rotary_positions_depend_on_distances_alone(name: str) -> None:
    options = {"embed_dim": 8, "num_heads": 2, "length": 9, "registry": REGISTRY, "rotary": True}
    if not CLASSES[REGISTRY.mixers[name].class_].takes_rotary:
        with pytest.raises(ValueError, match="its scores are no inner products"):
            make_mixer(name, **options)
        return
    layer = make_mixer(name, **options).double()
    plain = make_mixer(name, **{**options, "rotary": False}).double()
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    assert not torch.allclose(layer(x), plain(x))
    # Hidden positions in front move the others along, and nothing else.
    later = torch.cat([torch.randn(2, 4, 8, dtype=torch.float64), x], dim=1)
    mask = (torch.arange(9) >= 4)[None, None, None]
    if name != "attention_sh":  # whose patterns are averages over fixed places
        torch.testing.assert_close(layer(later, mask=mask)[:, 4:], layer(x))
    with pytest.raises(ValueError, match="cannot take single steps"):
        layer.init_state(2)
