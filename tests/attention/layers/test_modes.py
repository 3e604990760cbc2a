"""Layers under torch's compiler, export, vmap, inference and low precision."""

from __future__ import annotations

import copy

import pytest
import torch

from attenergy.attention import EnergyAttention
from attenergy.energies import make_energy
from attenergy.registry import load_registry
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
NAMES = list(REGISTRY.energies)
ENERGIES = {n: make_energy(n, dim=4, registry=REGISTRY) for n in NAMES}
#: torch.export does not trace `torch.func.grad`, which energies without weights need.
EXPORTED = [n for n in NAMES if ENERGIES[n].has_weights]
#: `auto` is `eager` where there are no weights, so that is tested once.
BY_BACKEND = [*((n, "auto") for n in NAMES), *((n, "eager") for n in EXPORTED)]
#: A graph is built for one number of nodes.
ANY_LENGTH = [n for n in EXPORTED if "graph" not in REGISTRY.energies[n].options]
B, L, E, H = 2, 5, 8, 2

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inside torch's compiler
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # fused softmax under vmap
]


def make(name, **options):
    return EnergyAttention(E, H, name, steps=2, registry=REGISTRY, **options).double()


def mask_for(name):
    """A padding mask, and for energies that may be causal also causality."""
    padding = torch.ones(B, 1, 1, L, dtype=torch.bool)
    padding[0, ..., -1] = False
    return {"mask": padding, "is_causal": not ENERGIES[name].states_interact}


@pytest.mark.long
@pytest.mark.by_kind("lse", "energy_transformer")
@pytest.mark.parametrize(("name", "backend"), BY_BACKEND)
def test_compiled_as_one_graph(name, backend):
    layer, x = make(name, backend=backend), draw(B, L, E)
    field = draw(H, L, L) if layer.reads_field else None
    torch.compiler.reset()  # each layer is compiled for itself
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    want = layer(x, field=field, **mask_for(name))
    got = compiled(x, field=field, **mask_for(name))
    torch.testing.assert_close(got, want)
    parameters = list(layer.parameters())
    mine = torch.autograd.grad(got.square().sum(), parameters, materialize_grads=True)
    theirs = torch.autograd.grad(want.square().sum(), parameters, materialize_grads=True)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*_prims_common.check:FutureWarning")  # inside torch's compiler
@pytest.mark.parametrize("name", NAMES)
def test_compiled_by_inductor(name):
    layer, x = make(name), draw(B, L, E)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True)
    torch.testing.assert_close(compiled(x, **mask_for(name)), layer(x, **mask_for(name)))


@pytest.mark.long
@pytest.mark.by_kind("lse", "sparsemax")
@pytest.mark.parametrize("name", ANY_LENGTH)
def test_exported_with_any_batch_and_length(name):
    layer, x = make(name).eval(), draw(3, 7, E)
    batch, length = torch.export.Dim("batch", min=2), torch.export.Dim("length", min=2)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: batch, 1: length},))
    for sizes in ((3, 7), (2, 4), (5, 11)):
        other = draw(*sizes, E)
        torch.testing.assert_close(program.module()(other), layer(other))


@pytest.mark.by_kind("lse", "graph_hopfield")
@pytest.mark.parametrize("name", EXPORTED)
def test_exported_with_any_batch_and_a_mask(name):
    layer, x = make(name).eval(), draw(3, L, E)
    mask = torch.ones(3, 1, 1, L, dtype=torch.bool)
    mask[0, ..., -1] = False
    batch = torch.export.Dim("batch", min=2)
    shapes = {"x": {0: batch}, "mask": {0: batch}}
    program = torch.export.export(layer, (x,), {"mask": mask}, dynamic_shapes=shapes)
    for size in (2, 5):
        other, seen = draw(size, L, E), mask[:1].expand(size, 1, 1, L)
        torch.testing.assert_close(program.module()(other, mask=seen), layer(other, mask=seen))


@pytest.mark.parametrize(("name", "backend"), BY_BACKEND)
def test_inference_mode_no_grad_and_vmap(name, backend):
    layer, x = make(name, backend=backend), draw(B, L, E)
    want = layer(x, **mask_for(name))
    with torch.inference_mode():
        torch.testing.assert_close(layer(x, **mask_for(name)), want)
    with torch.no_grad():
        out = layer(x, **mask_for(name))
    assert not out.requires_grad
    torch.testing.assert_close(out, want)
    each = torch.func.vmap(lambda y: layer(y[None])[0])(x)
    torch.testing.assert_close(each, layer(x))


@pytest.mark.parametrize("name", NAMES)
def test_stacked_models(name):
    """One batched call of several models, as an ensemble in a search."""
    models = [make(name) for _ in range(3)]
    stacked, buffers = torch.func.stack_module_state(models)
    shell = copy.deepcopy(models[0]).to("meta")
    x = draw(B, L, E)

    def call(parameters, rest, y):
        return torch.func.functional_call(shell, (parameters, rest), (y,))

    got = torch.func.vmap(call, in_dims=(0, 0, None))(stacked, buffers, x)
    torch.testing.assert_close(got, torch.stack([model(x) for model in models]))


@pytest.mark.by_kind
@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_first_and_second_order(name):
    layer, x = make(name), draw(1, 3, E).requires_grad_()
    mask = torch.tensor([[True, True, False], [True, True, True], [False, False, True]])
    mask = mask if layer.energy.hides_pairs else mask[0]
    assert torch.autograd.gradcheck(lambda y: layer(y, mask=mask), (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda y: layer(y, mask=mask), (x,), fast_mode=True)


@pytest.mark.by_kind
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing(name, reentrant):
    layer, x = make(name), draw(B, L, E).requires_grad_()
    recomputed = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=reentrant)
    mine = (
        torch.autograd.grad(recomputed.square().sum(), x)
        if not reentrant
        else _backward(recomputed, x)
    )
    theirs = torch.autograd.grad(layer(x).square().sum(), x)
    torch.testing.assert_close(mine, theirs)


def _backward(out, x):
    out.square().sum().backward()
    return (x.grad,)


@pytest.mark.parametrize("name", NAMES)
def test_low_precision_and_autocast(name):
    layer, x = make(name), draw(B, L, E)
    if name == "tap":  # means of spins end at 1 - sqrt(eps), 0.91 in bfloat16, and steps are damped
        x = 0.3 * x
    exact = layer(x)
    low = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    assert low.dtype == torch.bfloat16
    near = torch.isclose(low.double(), exact, rtol=0.1, atol=0.1)
    # A spin turns with the sign of its field, which rounding decides where the field is almost 0.
    assert near.double().mean() > (0.8 if layer.energy.domain.discrete else 0.999), name
    with torch.autocast("cpu", dtype=torch.bfloat16):
        field = torch.zeros(L, L) if layer.reads_field else None
        mixed = layer.float()(x.float(), field=field, is_causal=not layer.energy.states_interact)
    assert mixed.isfinite().all()
