"""What is computed on another device: modules with their inputs, and functions of a device.

`from tests.devices.workloads import ...`. Everything is made on the CPU, in float64, and then
moved, so that the same numbers are met everywhere.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.attention import (
    AssociativeMemory,
    Decoder,
    EnergyAttention,
    EnergyLookup,
    EnergyMultiheadAttention,
    EnergyPooling,
    EnergyTransformerBlock,
    LanguageModel,
    Transformer,
    contrastive_divergence,
    make_layer,
    make_mixer,
    relax,
)
from attenergy.energies import Energy, make_energy
from attenergy.registry import load_registry
from attenergy.tasks import Batch, Task, make_task
from attenergy.testing.cases import draw, float64

REGISTRY = load_registry(plugins=False)
B, H, L, E, LONG = 2, 2, 5, 8, 40
CPU = torch.device("cpu")

#: Called with a module and inputs on one device; tensors to compare.
Call = Callable[..., Tensor]


def pairs(length: int = L) -> Tensor:
    """A mask (B, 1, L, L); one state sees nothing, and one sample sees nothing at all."""
    mask = torch.rand(B, 1, length, length, generator=torch.Generator().manual_seed(3)) < 0.6
    mask[..., 0] = True
    mask[0, :, 2] = False
    mask[1] = False
    return mask


def made(make: Callable[[], nn.Module]) -> nn.Module:
    """A module in float64, whose parameters leave where they began."""
    torch.manual_seed(0)
    with float64():
        module = make()
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.add_(0.1 * draw(number, *parameter.shape))
    return module


def layer(name: str, **options: Any) -> nn.Module:
    """The layer of an energy or of a mixer."""
    if name in REGISTRY.mixers:
        sizes = {"embed_dim": E, "num_heads": H, "length": LONG}
        return made(lambda: make_mixer(name, registry=REGISTRY, **sizes, **options))
    options = {"steps": 2, **options}
    return made(lambda: EnergyAttention(E, H, name, registry=REGISTRY, **options))


def derived(
    module: nn.Module,
    *inputs: Tensor,
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float64,
    call: Call = lambda module, x, **given: module(x, **given),
    **given: Tensor | bool,
) -> list[Tensor]:
    """The output on a device, and its derivatives by inputs and parameters, on the CPU in float64.

    `bfloat16` means float32 under autocast.
    """
    wide = torch.float32 if dtype == torch.bfloat16 else dtype
    there = copy.deepcopy(module).to(device, wide)
    leaves = [x.to(device, wide).requires_grad_() for x in inputs]
    moved = {n: v.to(device) if isinstance(v, Tensor) else v for n, v in given.items()}
    torch.manual_seed(7)
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        out = call(there, *leaves, **moved)
    assert out.device.type == device.type
    wanted = [t for t in (*leaves, *there.parameters()) if t.requires_grad]
    total = out.to(wide).square().mean()
    gradients = torch.autograd.grad(total, wanted, materialize_grads=True)
    return [t.detach().to(CPU, torch.float64) for t in (out, *gradients)]


def visibility(module: nn.Module) -> list[dict[str, Any]]:
    """What a layer may be told of who sees whom."""
    energy = getattr(module, "energy", None)
    coupled = getattr(energy, "states_interact", False)
    hidden = pairs() if getattr(energy, "hides_pairs", True) else pairs().any(-2, keepdim=True)
    return [{}, {"mask": hidden}, *([] if coupled else [{"is_causal": True}])]


def models() -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Transformers with every kind of positions, and what else has parameters and reads (B, L)."""
    vectors = draw(11, B, L, 3)
    sizes = {"width": E, "heads": H, "mlp": 4, "layers": 2, "outputs": 3}
    for positions in ("relative", "absolute", "rotary", "none"):

        def model(positions: Any = positions) -> nn.Module:
            extra = {"conv": 2} if positions == "none" else {}
            return Transformer(
                kind="vector", size=3, length=6, positions=positions,
                make_layer=lambda **o: make_layer("lse", embed_dim=E, num_heads=H, **o),
                **sizes, **extra,
            )  # fmt: skip

        yield f"transformer with positions {positions}", made(model), vectors
    wide = draw(12, B, L, E)
    yield "pooling", made(lambda: EnergyPooling(E, H, num_queries=3)), wide
    yield "lookup", made(lambda: EnergyLookup(E, H, num_patterns=5)), wide
    yield "block", made(lambda: EnergyTransformerBlock(E, H, memories=3, steps=2)), wide
    for energy in ("lse", "rbm"):
        yield f"stack with {energy}", made(lambda e=energy: _stack(e)), vectors


def _stack(energy: str) -> nn.Module:
    layers = [energy, f"hyla+{energy}"]
    sizes = {"width": E, "heads": H, "mlp": 4, "layers": layers, "outputs": 3}
    return Transformer(kind="vector", size=3, length=6, positions="relative", **sizes)


@cache
def _multihead() -> nn.Module:
    return made(lambda: EnergyMultiheadAttention(E, H, batch_first=True))


def multihead(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """The drop-in for `nn.MultiheadAttention`, with padding that hides all of a sample."""
    module = copy.deepcopy(_multihead()).to(device, dtype)
    x = draw(13, B, L, E).to(device, dtype)
    padding = torch.zeros(B, L, dtype=torch.bool, device=device)
    padding[1] = True
    out, weights = module(x, x, x, key_padding_mask=padding)
    return [out.detach(), weights.detach()]


@cache
def _language_model() -> nn.Module:
    sizes = {"width": E, "heads": H, "mlp": 4, "length": 8, "vocabulary": 7}
    return made(lambda: LanguageModel(layers=["lse", "linear"], **sizes))


def decoding(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """A language model that reads piece by piece."""
    model: Any = copy.deepcopy(_language_model()).to(device, dtype).eval()
    tokens = torch.randint(0, 7, (B, 6), generator=torch.Generator().manual_seed(1)).to(device)
    with torch.no_grad():
        decoder = Decoder(model)
        return [decoder.extend(tokens[:, :4]), decoder.extend(tokens[:, 4:]), model(tokens)]


@cache
def _energy(name: str) -> Any:
    return made(lambda: make_energy(name, dim=4, num_heads=H, registry=REGISTRY))


def solved(solver: str, energy: str, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """A relaxation with everything that it can tell."""
    module: Energy = copy.deepcopy(_energy(energy)).to(device, dtype)
    xi = module.from_real(draw(14, B, H, L, 4).to(device, dtype))
    X = draw(15, B, H, 6, 4).to(device, dtype) if module.reads_patterns else xi
    rest = relax(module, xi, X, steps=4, solver=solver, trace=True)
    assert rest.energies is not None
    return [rest.state, rest.energies]


@cache
def _memory(energy: str, device: torch.device, dtype: torch.dtype) -> AssociativeMemory:
    settings = {"beta": 2.0} if energy == "lse" else {}
    return AssociativeMemory(energy, **settings).store(
        torch.sign(draw(16, 6, 24)).to(device, dtype)
    )


def recalled(energy: str, mode: Any, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Patterns recalled by steps, or by turning spins, at random or all at once."""
    signs = torch.sign(draw(16, 6, 24))
    damaged = torch.cat([-signs[:, :3], signs[:, 3:]], 1).to(device, dtype)
    return [_memory(energy, device, dtype).recall(damaged, mode=mode).state]


def drawn(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Chains with a generator of the device; only their shapes can be compared."""
    generator = torch.Generator(device).manual_seed(1)
    module: Energy = copy.deepcopy(_energy("lse")).to(device, dtype)
    xi, X = draw(17, H, 3, 4).to(device, dtype), draw(18, H, 6, 4).to(device, dtype)
    rest = relax(module, xi, X, steps=3, solver="langevin", generator=generator, temperature=0.5)
    contrast = contrastive_divergence(module, xi, X, generator=generator)
    return [torch.zeros_like(t.detach()) for t in (rest.state, contrast.loss)]


@cache
def _batch(name: str) -> tuple[Task, Batch]:
    task = make_task(REGISTRY.task(name), seed=0)
    return task, task.batch("valid", 0, 4)


def judged(name: str, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Loss, metrics and counts of a task for random answers to a batch."""
    task, batch = _batch(name)
    logits = draw(19, 4, batch.inputs.shape[1], task.outputs.size).to(device, dtype)
    targets = batch.targets.to(device)
    given = {**task.metrics(logits, targets), **task.tally(logits, targets)}
    return [task.loss(logits, targets), *(given[key].double() for key in sorted(given))]


def _task_of_each_class() -> list[str]:
    """The one with the shortest instances; of those that need no file of a user, nor a package."""
    shortest: dict[str, tuple[int, str]] = {}
    for name, spec in REGISTRY.tasks.items():
        inputs = None if "path" in spec.options else make_task(spec).inputs
        if inputs is not None and inputs.kind != "memory":  # which trains no model
            rest = shortest.get(spec.class_, (inputs.length, name))
            shortest[spec.class_] = min(rest, (inputs.length, name))
    return sorted(name for _, name in shortest.values())


TASKS = _task_of_each_class()
#: Ways to recall with each of these energies.
RECALLED = [
    *(("lse", mode) for mode in ("continuous", "sequential", "parallel")),
    *(("classical_hopfield", mode) for mode in ("sequential", "parallel")),
    ("polynomial", "sequential"),
]
#: A solver with an energy that it fits.
SOLVED = [
    ("descent", "lse"),
    ("descent", "ising_mean_field"),
    ("fixed_point", "lse"),
    ("semi_implicit", "graph_hopfield"),
    ("coordinate_descent", "energy_transformer"),
    ("coordinate_descent", "classical_hopfield"),
]
