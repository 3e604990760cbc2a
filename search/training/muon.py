"""Muon for many small matrices: those of one shape are orthogonalised together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class BatchedMuon(torch.optim.Muon):
    r"""`torch.optim.Muon`, with as many matrix products as there are shapes, not matrices.

    $$ M \leftarrow \mu M + (1 - \mu) G, \quad
       O = \mathrm{NS}((1 - \mu) G + \mu M), \quad
       W \leftarrow (1 - \eta\lambda) W - \eta \sqrt{\max(1, R/C)}\, O $$

    with gradient G and NS the five Newton-Schulz iterations of `orthogonal`. It gives what
    `torch.optim.Muon` gives, and its state is the same. In the models of a laptop the iterations
    of one matrix take less time than calling them, and a step has twelve matrices and more.

    Args:
        matrices: parameters W (R, C).
        lr: eta.
        weight_decay: lambda.
        momentum: mu.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(matrices, lr=lr, weight_decay=weight_decay, momentum=momentum)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all matrices that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape.setdefault(matrix.shape, []).append(matrix)
            for matrices in by_shape.values():
                self._update(matrices, group)
        return loss

    def _update(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        averages = torch.stack([self._average(matrix, group["momentum"]) for matrix in matrices])
        rows, columns = matrices[0].shape
        rate = group["lr"] * math.sqrt(max(1, rows / columns))
        steps = orthogonal(averages, group["ns_coefficients"], group["ns_steps"], group["eps"])
        for matrix, step in zip(matrices, steps, strict=True):
            matrix.mul_(1 - group["lr"] * group["weight_decay"])
            matrix.add_(step, alpha=-rate)

    def _average(self, matrix: Tensor, momentum: float) -> Tensor:
        """The averaged gradient, one step ahead (Nesterov)."""
        gradient, state = matrix.grad, self.state[matrix]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(average, momentum)


def orthogonal(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    r"""About the nearest matrices with orthonormal rows or columns, by Newton-Schulz iterations.

    $$ X_0 = G/\lVert G \rVert, \quad A = X X^T, \quad X \leftarrow a X + (b A + c A A) X $$

    Args:
        matrices: G (N, R, C).
        coefficients: a, b, c; with those of Muon the singular values end between 0.5 and 1.5.
        steps: number of iterations.
        eps: least length of G.

    Returns:
        (N, R, C) in bfloat16.
    """
    a, b, c = coefficients
    x = matrices.bfloat16()
    tall = matrices.shape[1] > matrices.shape[2]
    x = x.mT if tall else x
    x = x / torch.stack([one.norm() for one in x]).clamp(min=eps)[:, None, None]
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
