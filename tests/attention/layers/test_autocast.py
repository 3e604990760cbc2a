"""Mixed precision as PyTorch's recipe has it: forward inside autocast, backward outside."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import EnergyAttention
from attenergy.attention.solvers.catalogue import check_solver, trainable
from attenergy.energies import make_energy
from attenergy.registry import load_registry
from attenergy.testing.compatibility.layer_under_test import small_chunks

REGISTRY = load_registry(plugins=False)
NAMES = list(REGISTRY.energies)
CHUNKED = ("lse", "sparsemax", "elliptical", "learned")

pytestmark = pytest.mark.filterwarnings("ignore:some samples have not come to rest")


def solvers(name):
    for solver in trainable():
        if solver == "fixed_point" and name == "linear_attention":
            continue  # it falls without bound: no state comes to rest in any precision
        try:
            check_solver(solver, make_energy(name, dim=4, registry=REGISTRY))
        except ValueError:
            continue
        yield solver


def derivatives(layer, x, dtype, *, inside):
    layer.zero_grad()
    with torch.autocast("cpu", dtype=dtype):
        out = layer(x)
        loss = out.float().square().sum()
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    return out, [p.grad for p in layer.parameters() if p.requires_grad]


@pytest.mark.by_kind("lse", "elliptical", "graph_hopfield")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NAMES)
def test_backward_outside_autocast_is_backward_inside(name, dtype):
    x = torch.randn(2, 4, 8)
    for solver in solvers(name):
        steps = None if solver == "fixed_point" else 2
        layer = EnergyAttention(8, 2, name, solver=solver, steps=steps, registry=REGISTRY)
        _, outside = derivatives(layer, x, dtype, inside=False)
        _, inside = derivatives(layer, x, dtype, inside=True)
        for a, b in zip(outside, inside, strict=True):
            assert a.isfinite().all()
            torch.testing.assert_close(a, b, rtol=0.05, atol=0.01 * float(b.abs().max()) + 1e-4)


@pytest.mark.parametrize("name", ["lse", "rbm", "l2_lse"])
def test_the_fixed_point_trains_in_half_precision_as_in_single(name):
    layer, x = (
        EnergyAttention(8, 2, name, solver="fixed_point", registry=REGISTRY),
        torch.randn(2, 4, 8),
    )
    _, got = derivatives(layer, x, torch.bfloat16, inside=False)
    got = torch.cat([g.flatten() for g in got])
    layer.zero_grad()
    layer(x).square().sum().backward()
    want = torch.cat([p.grad.flatten() for p in layer.parameters()])
    assert torch.cosine_similarity(got, want, dim=0) > 0.99


@pytest.mark.parametrize("read", ["weights", "state"])
@pytest.mark.parametrize("name", CHUNKED)
def test_chunks_are_computed_again_in_the_precision_that_they_had(name, read):
    has_weights = make_energy(name, dim=4, registry=REGISTRY).has_weights
    if read == "weights" and not has_weights:
        pytest.skip("the energy has no weights")
    x, result = torch.randn(2, 5, 8), {}
    layer = EnergyAttention(8, 2, name, steps=2, read=read, registry=REGISTRY)
    for backend in ("chunked", "scores" if has_weights else "eager"):
        layer.backend = backend
        with small_chunks():
            result[backend] = derivatives(layer, x, torch.bfloat16, inside=False)
    (out, slopes), (plain, want) = result.values()
    assert out.dtype == plain.dtype
    torch.testing.assert_close(out, plain, rtol=0.01, atol=0.01)
    for a, b in zip(slopes, want, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.02 * float(b.abs().max()) + 1e-4)
