"""What several laws do with a case: steps, derivatives, and how far results lie apart."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.attention import relax
from attenergy.attention.gradients.backends import Backend, backends
from attenergy.energies import Energy
from attenergy.testing.cases import Case, draw
from attenergy.testing.results import LawBroken

#: Largest relative difference between what must be equal.
EXACT = 1e-10


def quick(energy: Energy) -> list[Backend]:
    """All backends but `traced`, which takes half a second for each kind of input."""
    return [backend for backend in backends(energy) if backend != "traced"]


def two_steps(case: Case, backend: Backend = "auto") -> Tensor:
    """The states after two steps."""
    return relax(
        case.energy, case.xi, case.X, mask=case.mask, field=case.field, steps=2, backend=backend
    ).state


def grads(of: Tensor, inputs: list[Tensor], seed: int, create_graph: bool = False) -> list[Tensor]:
    """Derivatives of a tensor, contracted with fixed random numbers."""
    total = (of * draw(seed, *of.shape)).sum()
    if not total.requires_grad:  # the derivatives of a quadratic energy are constant
        return [torch.zeros_like(i) for i in inputs]
    results = torch.autograd.grad(total, inputs, create_graph=create_graph, materialize_grads=True)
    return list(results)


def distance(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the numbers in b where they are large.

    Raises:
        LawBroken: a number is not finite, or the shapes differ.
    """
    if a.shape != b.shape:
        raise LawBroken(f"shapes {tuple(a.shape)} and {tuple(b.shape)} of what must be equal")
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise LawBroken("a value or a derivative is not finite")
    scale = 1.0 + float(b.detach().abs().max())
    return float((a - b).detach().abs().max()) / scale
