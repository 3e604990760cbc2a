"""The law that an energy's steps leave Python: exported with open sizes, and checkpointed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from attenergy.attention import relax
from attenergy.energies import Energy
from attenergy.energies.functions import deletes
from attenergy.registry import EnergySpec
from attenergy.testing.cases import HEADS, build, draw

#: (batch, states, patterns) of the example, and others that the exported program must serve.
_EXAMPLE, _OTHERS = (2, 3, 5), ((3, 4, 7), (4, 6, 6))


class _Steps(nn.Module):
    """Two steps of an energy, as a module that tools take."""

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, xi: Tensor, X: Tensor, mask: Tensor) -> Tensor:
        return relax(self.energy, xi, X, mask=mask, steps=2).state


def exports(spec: EnergySpec) -> tuple[float, float, str] | str:
    """8: `torch.export` with open batch and lengths, and checkpointing without re-entry, are exact.

    An energy on a graph is exported for the graph's number of nodes.
    """
    steps = _Steps(build(spec)).eval()
    if deletes(steps.energy):
        return "a function without `mask` gets only what is seen, which no exported graph can do"
    is_open = "graph" not in spec.options
    inputs = _inputs(steps.energy, *_EXAMPLE)
    program = torch.export.export(steps, inputs, dynamic_shapes=_open(steps.energy, is_open))
    worst = _far(_derived(steps, inputs, saves=False), _derived(steps, inputs, saves=True))
    for batch, states, patterns in _OTHERS:
        lengths = (states, patterns) if is_open else _EXAMPLE[1:]
        other = _inputs(steps.energy, batch, *lengths)
        worst = max(worst, _far([program.module()(*other)], [steps(*other)]))
    sizes = "batch and lengths" if is_open else "batch"
    return worst, 1e-10, f"torch.export with open {sizes}; checkpoint"


def _inputs(energy: Energy, batch: int, states: int, patterns: int) -> tuple[Tensor, ...]:
    """States, patterns and a mask."""
    xi = energy.from_real(draw(31, batch, HEADS, states, energy.dim))
    X = draw(32, batch, HEADS, patterns, energy.dim) if energy.reads_patterns else xi
    mask = draw(33, batch, 1, states, X.shape[-2]) < 1.0
    mask[..., 0] = True
    return xi, X, mask


def _open(energy: Energy, is_open: bool) -> dict[str, dict[int, torch.export.Dim]]:
    batch, states, patterns = (torch.export.Dim(n, min=2) for n in ("batch", "states", "patterns"))
    if not is_open:
        return {"xi": {0: batch}, "X": {0: batch}, "mask": {0: batch}}
    stored = patterns if energy.reads_patterns else states
    return {
        "xi": {0: batch, 2: states},
        "X": {0: batch, 2: stored},
        "mask": {0: batch, 2: states, 3: stored},
    }


def _derived(steps: _Steps, inputs: tuple[Tensor, ...], *, saves: bool) -> list[Tensor]:
    """The states and the derivatives of inputs and parameters; without `saves`, checkpointed."""
    leaves = [t.clone().requires_grad_(t.is_floating_point()) for t in inputs]
    out = steps(*leaves) if saves else checkpoint(steps, *leaves, use_reentrant=False)
    wanted = [t for t in [*leaves, *steps.parameters()] if t.requires_grad]
    total = (out * draw(34, *out.shape)).sum()
    return [out, *torch.autograd.grad(total, wanted, materialize_grads=True)]


def _far(some: list[Tensor], others: list[Tensor]) -> float:
    return max(float((a - b).detach().abs().max()) for a, b in zip(some, others, strict=True))
