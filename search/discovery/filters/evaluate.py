"""The value and the gradient of a formula's tree at once, without code being compiled first.

A formula that is rejected within milliseconds is evaluated a few times only; compiling it would
take longer than all of that. The functions of the language write their code through an `Emitter`;
here one computes what they would write. Masks are injected by the same rows of the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from attenergy.energies.language import Expr
from attenergy.energies.language.emit import Emitter

Values = Mapping[str, Tensor | float]


class Evaluation(Emitter):
    """Computes trees from named tensors, each distinct sub-tree once.

    Args:
        values: what the symbols are; `xi` (..., L, D), `X` (..., S, D), scalars (..., 1, 1).
        mask: which patterns a state sees, (..., L, S); no row may be empty. None: all.

    Example:
        >>> from attenergy.search.discovery.filters.evaluate import Evaluation
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> tree = Candidate.from_formula("0.5*|xi|^2").tree
        >>> Evaluation({"xi": torch.tensor([[3.0, 4.0]]), "X": torch.eye(2)}).emit(tree)
        tensor([[12.5000]])
    """

    opened: Any
    closed: Any
    occupied: Any

    def __init__(self, values: Values, mask: Tensor | None = None) -> None:
        self.masked = mask is not None
        self.done = {}
        self.inputs: dict[str, Any] = dict(values)
        if mask is not None:
            self.opened = self.closed = mask
            self.occupied = mask.any(-1, keepdim=True)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Compute, where the compiler would write the call."""
        return function(*args, **kwargs)


def energy_of(tree: Expr, values: Values, mask: Tensor | None = None) -> Tensor:
    """The energy (..., L) of a scalar tree."""
    value: Any = Evaluation(values, mask).emit(tree)
    xi = values["xi"]
    assert isinstance(xi, Tensor)
    if not isinstance(value, Tensor):
        value = xi.new_tensor(float(value))
    energy: Tensor = value + torch.zeros_like(xi[..., :1])
    return energy.squeeze(-1)


def update_of(tree: Expr, values: Values, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The energy (..., L) and the update -dE/dxi (..., L, D)."""
    xi = values["xi"]
    assert isinstance(xi, Tensor)
    xi = xi.detach().requires_grad_()
    with torch.enable_grad():
        energy = energy_of(tree, {**values, "xi": xi}, mask)
        if not energy.requires_grad:
            return energy, torch.zeros_like(xi)
        (slope,) = torch.autograd.grad(energy.sum(), xi, materialize_grads=True)
    return energy.detach(), -slope
