"""On a GPU everything gives what it gives on the CPU in float64.

Errors are lengths of differences over lengths: at most 1e-8 in float64, 2e-3 in float32, and 0.3
where bfloat16 takes the products (autocast).
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attenergy.attention.graphs import EnergyConv
from attenergy.attention.integrations.replace import replace_attention
from attenergy.testing.cases import draw
from tests.devices.workloads import (
    CPU,
    RECALLED,
    REGISTRY,
    SOLVED,
    TASKS,
    B,
    E,
    H,
    L,
    decoding,
    derived,
    drawn,
    judged,
    layer,
    made,
    models,
    multihead,
    recalled,
    solved,
    visibility,
)

pytestmark = pytest.mark.cuda
GPU = torch.device("cuda")
F64 = torch.float64
#: Largest relative error by type.
ERRORS = {torch.float64: 1e-8, torch.float32: 2e-3, torch.bfloat16: 0.3}
#: Whose choice of a subset or a support changes with the rounding of bfloat16, or whose differences
#: of near numbers do not bear it: they have to be finite.
ROUGH = {
    *("ksubsets", "top_k", "sparsemax", "entmax", "normmax", "lsr"),
    *("binary_rbm", "simplicial", "tap", "continuous_time"),
    *("attention_bn", "attention_bn_weighted", "attention_bn_sh"),
}
#: Layers of every length of pattern, so that fused kernels of every kind are met.
FUSED = ("lse", "zero_sink", "l2_lse", "graph_memory", "softmax", "hyla", "linear", "rbm")


def close(got: list[Tensor], want: list[Tensor], dtype: torch.dtype, what: object = "") -> None:
    """Each tensor as a whole; derivatives that are nearly 0 beside the others are left out."""
    scale = max(float(t.detach().norm()) for t in want)
    pairs = [(a.detach().to(CPU, F64), b.detach()) for a, b in zip(got, want, strict=True)]
    for index, (mine, theirs) in enumerate(pairs):
        difference = float((mine - theirs.to(F64)).norm())
        length = max(float(theirs.norm()), 1e-3 * scale)
        error = difference / length if length else difference
        assert error <= ERRORS[dtype], f"{what} tensor {index} in {dtype}: error {error:.2g}"


@pytest.mark.parametrize("name", [*REGISTRY.energies, *REGISTRY.mixers])
def test_layers(name: str) -> None:
    module, x = layer(name), 0.5 * draw(1, B, L, E)
    backends: tuple[dict[str, Any], ...] = ({},)
    if name in REGISTRY.energies:
        backends = ({}, {"backend": "eager"})
    for given in visibility(module):
        want = derived(module, x, **given)
        for options in backends:
            same = layer(name, **options)
            for dtype in ERRORS:
                got = derived(same, x, device=GPU, dtype=dtype, **given)
                assert all(t.isfinite().all() for t in got), (options, [*given], dtype)
                if dtype != torch.bfloat16:
                    close(got, want, dtype, (options, [*given]))
                elif name not in ROUGH:
                    close(got[:1], want[:1], dtype, (options, [*given]))


def with_field(module: nn.Module, x: Tensor, field: Tensor, **given: Any) -> Tensor:
    """The output of a layer with a field, where it reads one."""
    out: Tensor = module(x, **given, **({"field": field} if module.reads_field else {}))
    return out


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("length", [8, 33, 40])
def test_longer_sequences(name: str, length: int) -> None:
    """With a field that learns, and a mask that hides all from some states."""
    module, x = layer(name), 0.5 * draw(2, B, length, E)
    field = draw(8, 1, H, length, length)
    mask = torch.rand(B, 1, length, length, generator=torch.Generator().manual_seed(5)) < 0.5
    mask[..., 0] = True
    mask[0, :, 3:5] = False
    for given in ({}, {"mask": mask}, {"is_causal": True}):
        want = derived(module, x, field, call=with_field, **given)
        for dtype in ERRORS:
            got = derived(module, x, field, call=with_field, device=GPU, dtype=dtype, **given)
            count = 1 if dtype == torch.bfloat16 else len(want)
            close(got[:count], want[:count], dtype, [*given])


@pytest.mark.parametrize("name", FUSED)
def test_second_derivatives(name: str) -> None:
    module, x = layer(name), 0.5 * draw(2, B, L, E)

    def twice(device: torch.device) -> list[Tensor]:
        there, leaf = copy.deepcopy(module).to(device), x.to(device).requires_grad_()
        (slope,) = torch.autograd.grad(there(leaf).square().mean(), leaf, create_graph=True)
        wanted = [leaf, *(p for p in there.parameters() if p.requires_grad)]
        return [*torch.autograd.grad(slope.square().sum(), wanted, materialize_grads=True)]

    close(twice(GPU), twice(CPU), F64)


@pytest.mark.parametrize("name", FUSED)
def test_stacked_by_vmap(name: str) -> None:
    """Parameters of several layers, as populations have them, with a field that learns."""
    layers = [layer(name), layer(name)]
    parameters, buffers = torch.func.stack_module_state(layers)
    x, field = 0.5 * draw(2, B, L, E), draw(8, 1, H, L, L)

    def there(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
        shell = copy.deepcopy(layers[0]).to("meta")
        stacked = {n: p.detach().to(device, dtype).requires_grad_() for n, p in parameters.items()}
        leaf = field.to(device, dtype).requires_grad_()
        given = {"field": leaf} if layers[0].reads_field else {}

        def call(own: Any, rest: Any) -> Tensor:
            inputs = (x.to(device, dtype),)
            out: Tensor = torch.func.functional_call(shell, (own, rest), inputs, given)
            return out

        rest = {n: b.to(device, dtype) if b.is_floating_point() else b.to(device)
                for n, b in buffers.items()}  # fmt: skip
        out = torch.func.vmap(call)(stacked, rest)
        wanted = [leaf, *(p for p in stacked.values())]
        gradients = torch.autograd.grad(out.square().mean(), wanted, materialize_grads=True)
        return [out, *gradients]

    want = there(CPU, F64)
    for dtype in (torch.float64, torch.float32):
        close(there(GPU, dtype), want, dtype)


@pytest.mark.parametrize(
    ("name", "backend"),
    [("l2_lse", "traced"), *((n, "chunked") for n in ("lse", "rbm", "sparsemax", "l2_lse"))],
)
def test_backends(name: str, backend: Any) -> None:
    module, x = layer(name, backend=backend), 0.5 * draw(3, B, L, E)
    for given in visibility(module):
        close(derived(module, x, device=GPU, **given), derived(module, x, **given), F64)


def test_models() -> None:
    for what, module, inputs in models():
        want = derived(module, inputs)
        for dtype in (torch.float64, torch.float32):
            close(derived(module, inputs, device=GPU, dtype=dtype), want, dtype, what)
        narrow = derived(module, inputs, device=GPU, dtype=torch.bfloat16)
        close(narrow[:1], want[:1], torch.bfloat16, what)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_drop_in_and_decoder(dtype: torch.dtype) -> None:
    for whole in (multihead, decoding, drawn):
        close(whole(GPU, dtype), whole(CPU, F64), dtype, whole.__name__)


@pytest.mark.parametrize(("solver", "energy"), SOLVED)
def test_solvers(solver: str, energy: str) -> None:
    close(solved(solver, energy, GPU, F64), solved(solver, energy, CPU, F64), F64)


@pytest.mark.parametrize(("energy", "mode"), RECALLED)
def test_memories(energy: str, mode: str) -> None:
    close(recalled(energy, mode, GPU, F64), recalled(energy, mode, CPU, F64), F64)


@pytest.mark.parametrize("name", TASKS)
def test_losses_and_metrics(name: str) -> None:
    """Metrics are counted in float32."""
    close(judged(name, GPU, F64), judged(name, CPU, F64), torch.float32)


@pytest.mark.parametrize(
    ("energy", "form"),
    [("lse", "segments"), *((n, "padded") for n in ("lse", "rbm", "sparsemax"))],
)
def test_graph_layers(energy: str, form: str) -> None:
    conv = made(lambda: EnergyConv(E, E, heads=2, energy=energy, steps=2, form=form))
    index = torch.randint(0, 6, (2, 14), generator=torch.Generator().manual_seed(2))

    def call(module: nn.Module, x: Tensor, edges: Tensor) -> Tensor:
        out: Tensor = module(x, edges)
        return out

    x = draw(4, 6, E)
    for dtype in (torch.float64, torch.float32):
        got = derived(conv, x, device=GPU, dtype=dtype, call=call, edges=index)
        close(got, derived(conv, x, call=call, edges=index), dtype)


def test_attention_inside_a_foreign_model() -> None:
    encoder = made(lambda: nn.TransformerEncoderLayer(E, 2, 16, dropout=0.0, batch_first=True))
    module = replace_attention(encoder, "lse")
    x = draw(5, B, L, E)
    close(derived(module, x, device=GPU), derived(module, x), F64)


@pytest.mark.parametrize("name", ["lse", "rbm", "hyla"])
def test_compiled_by_inductor(name: str) -> None:
    module, x = layer(name), 0.5 * draw(6, B, 16, E)

    def compiled(there: nn.Module, leaf: Tensor) -> Tensor:
        out: Tensor = torch.compile(there, fullgraph=True)(leaf)
        return out

    got = derived(module, x, device=GPU, dtype=torch.float32, call=compiled)
    close(got, derived(module, x), torch.float32)
