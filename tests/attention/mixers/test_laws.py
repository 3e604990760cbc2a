"""Laws that hold for every built-in mixer and every ablation between them."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attenergy.attention.mixers import HypernetworkAttention

B, H, L, E = 3, 2, 4, 6
KINDS = [
    (n, v) for n in ("softmax", "none", "rms_head") for v in ("linear", "relu", "hyper_linear")
]
KINDS += [("rms_head", "relu_values"), ("rms_head", "deep")]

every_kind = pytest.mark.parametrize(("normalize", "value_network"), KINDS)
either_path = pytest.mark.parametrize("need_weights", [False, True])


def make(normalize, value_network, **options) -> HypernetworkAttention:
    return HypernetworkAttention(
        E, H, normalize=normalize, value_network=value_network, **options
    ).double()


def output(layer, *args, need_weights=False, **kwargs):
    result = layer(*args, need_weights=need_weights, **kwargs)
    return result[0] if need_weights else result


def states(*shape):
    return torch.randn(*(shape or (B, L, E))).double()


@every_kind
@either_path
def test_permuting_states_permutes_the_result(normalize, value_network, need_weights):
    layer, x, order = make(normalize, value_network), states(), torch.randperm(L)
    out = output(layer, x, need_weights=need_weights)
    permuted = output(layer, x[:, order], need_weights=need_weights)
    torch.testing.assert_close(permuted, out[:, order])


@every_kind
def test_permuting_patterns_with_their_field_changes_nothing(normalize, value_network):
    layer, x, context, order = make(normalize, value_network), states(), states(), torch.randperm(L)
    field = states(1, H, L, L)
    out = layer(x, context, field=field)
    torch.testing.assert_close(layer(x, context[:, order], field=field[..., order]), out)


@every_kind
@either_path
def test_one_sample_never_changes_another(normalize, value_network, need_weights):
    layer, x = make(normalize, value_network), states()
    alone = output(layer, x[1:2], need_weights=need_weights)
    torch.testing.assert_close(output(layer, x, need_weights=need_weights)[1:2], alone)
    jacobian = torch.autograd.functional.jacobian(
        lambda y: output(layer, y, need_weights=need_weights)[0].sum(), x
    )
    assert jacobian[1:].count_nonzero() == 0
    assert jacobian[0].count_nonzero() > 0


@given(data=st.data())
@settings(max_examples=30)
def test_masking_equals_deleting(data):
    """Any set of patterns, on either path: equal results, and hidden ones have gradient 0."""
    normalize, value_network = data.draw(st.sampled_from(KINDS))
    need_weights = data.draw(st.booleans())
    seen = data.draw(st.lists(st.booleans(), min_size=5, max_size=5).filter(any))
    layer, keep = make(normalize, value_network), torch.tensor(seen)
    x, context, field = states(), states(B, 5, E).requires_grad_(), states(1, H, L, 5)
    out = output(layer, x, context, mask=keep, field=field, need_weights=need_weights)
    short = output(layer, x, context[:, keep], field=field[..., keep], need_weights=need_weights)
    torch.testing.assert_close(out, short)
    (grad,) = torch.autograd.grad(out.square().sum(), context)
    assert grad[:, ~keep].count_nonzero() == 0


@every_kind
@either_path
def test_causal_layers_do_not_see_the_future(normalize, value_network, need_weights):
    layer, x = make(normalize, value_network), states().requires_grad_()
    for i in range(L):
        out = output(layer, x, is_causal=True, need_weights=need_weights)[:, i]
        (grad,) = torch.autograd.grad(out.square().sum(), x)
        assert grad[:, i + 1 :].count_nonzero() == 0
        assert grad[:, : i + 1].abs().amax((0, 2)).min() > 0


@every_kind
@either_path
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_state_that_sees_nothing(normalize, value_network, need_weights, dtype):
    """Its weights are 0, its output is the output's bias, and nothing is NaN."""
    layer = make(normalize, value_network).to(dtype)
    torch.nn.init.normal_(layer.projections.out.bias)
    x, field = states().to(dtype).requires_grad_(), states(1, H, L, L).to(dtype).requires_grad_()
    mask = torch.ones(B, 1, L, L, dtype=torch.bool)
    mask[0, 0, 2] = False
    mask[1] = False
    result = layer(x, mask=mask, field=field, need_weights=need_weights)
    out = result[0] if need_weights else result
    bias = layer.projections.out.bias
    assert torch.equal(out[0, 2], bias)
    assert torch.equal(out[1], bias.expand(L, E))
    if need_weights:
        assert result[1][0, :, 2].count_nonzero() == 0
        assert result[1][1].count_nonzero() == 0
    out.square().sum().backward()
    for tensor in (x, field, *layer.parameters()):
        assert tensor.grad.isfinite().all()
    assert x.grad[1].count_nonzero() == 0


@every_kind
@either_path
def test_gradcheck(normalize, value_network, need_weights):
    layer = make(normalize, value_network)
    x, context = states(1, 3, E).requires_grad_(), states(1, 2, E).requires_grad_()
    field = states(1, H, 3, 2).requires_grad_()
    mask = torch.tensor([[True, False], [True, True], [False, True]])

    def function(*leaves):
        return output(layer, *leaves[:2], field=leaves[2], mask=mask, need_weights=need_weights)

    assert torch.autograd.gradcheck(function, (x, context, field))


@every_kind
def test_second_derivatives(normalize, value_network):
    layer, x = make(normalize, value_network), states(1, 3, E).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda y: layer(y, need_weights=True)[0], (x,))


@every_kind
def test_finite_in_bfloat16_and_under_autocast(normalize, value_network):
    layer = make(normalize, value_network)
    x, field = 5 * states(), states(1, H, L, L)
    exact = layer(x, field=field)
    narrow = copy.deepcopy(layer).bfloat16()(x.bfloat16(), field=field.bfloat16())
    assert narrow.dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer.float()(x.float(), field=field.float(), is_causal=True)
    assert mixed.isfinite().all()
    assert (narrow - exact).abs().max() < 0.1 * exact.abs().max()


@every_kind
def test_copies_and_state_dicts_compute_the_same(normalize, value_network):
    layer, x = make(normalize, value_network), states()
    other = make(normalize, value_network)
    assert not torch.equal(other(x), layer(x))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # fused softmax under vmap
@every_kind
def test_vmap_inference_mode_and_no_grad(normalize, value_network):
    layer, x = make(normalize, value_network), states()
    expected = layer(x)
    each = torch.func.vmap(lambda y: layer(y[None])[0])(x)
    torch.testing.assert_close(each, expected)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), expected)
    with torch.no_grad():
        assert not layer(x).requires_grad


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch's compiler
@every_kind
def test_compiles_as_one_graph(normalize, value_network):
    layer, x, field = make(normalize, value_network), states(), states(1, H, L, L)
    torch.compiler.reset()  # the kinds share their code; each starts afresh
    compiled = torch.compile(layer, fullgraph=True)
    torch.testing.assert_close(
        compiled(x, field=field, is_causal=True), layer(x, field=field, is_causal=True)
    )


def test_all_kinds_but_the_deep_one_have_the_same_parameters():
    shapes = {kind: {k: v.shape for k, v in make(*kind).state_dict().items()} for kind in KINDS}
    deep = shapes.pop(("rms_head", "deep"))
    first, *rest = shapes.values()
    assert all(other == first for other in rest)
    assert deep == first | {"middle": (H, E // H, E // H)}
