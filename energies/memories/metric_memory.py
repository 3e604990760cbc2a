"""Memories that compare states and patterns after a learned linear map."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attenergy.energies.base import Energy
from attenergy.registry import ParameterError


class _MetricMemory(Energy):
    r"""Base of energies 1/2 xi'M xi - v(xi), v convex, with M = map'map learned.

    M lies below the diagonal matrix of the sums of |M_ij| over each row i (diagonal dominance), so
    this diagonal serves as the quadratic part; for a diagonal M it is M itself.
    """

    #: Name of the parameter [D, D] that is the map.
    map_name: ClassVar[str]

    def setup(self) -> None:
        """Check that the entry has the parameters of the class."""
        for name, shape in (("beta", ()), (self.map_name, ("D", "D"))):
            given = self.spec.parameters.get(name)
            if given is None or given.shape != shape:
                raise ParameterError(
                    f"class '{self.spec.class_}' needs a parameter '{name}' of shape {list(shape)}"
                )

    def mapped(self, vectors: Tensor) -> Tensor:
        """The map applied to states or patterns (..., D)."""
        matrix = torch.as_tensor(self.values()[self.map_name])
        return vectors @ matrix.mT

    def quadratic(self) -> Tensor:
        """Row sums of |M|, (1, D) or (H, 1, D)."""
        matrix = torch.as_tensor(self.values()[self.map_name])
        sums = (matrix.mT @ matrix).abs().sum(-1)
        return torch.where(sums > 0, sums, 1.0).unsqueeze(-2)

    def log_sum(self, drive: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """lse(drive + h)/beta over the visible patterns, (..., L).

        beta goes into the states that make the drive (..., L, S), which are much smaller.
        """
        drive = drive if field is None else drive + field
        drive = drive if mask is None else drive.masked_fill(~mask, -torch.inf)
        return (torch.logsumexp(drive, -1, keepdim=True) / self.values()["beta"]).squeeze(-1)


class EllipticalMemory(_MetricMemory):
    r"""E = -lse(-beta/2 |A (xi - x_n)|^2 + h)/beta: squared distances in the metric M = A'A.

    grad E = M (xi - X' softmax(-beta/2 |A (xi - x_n)|^2 + h)).

    Shapes: as `Energy`; A is (D, D), or (H, D, D) with heads.

    Source: Nielsen et al. 2024, arXiv:2406.13770, with a full metric.
    """

    latex = (
        r"-\tfrac1\beta\operatorname{lse}_n\left("
        r"-\tfrac\beta2 \lVert A(\xi - x_n)\rVert^2 + h_n\right)"
    )
    map_name = "A"

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energy, (..., L)."""
        state, stored, beta = self.mapped(xi), self.mapped(X), self.values()["beta"]
        # -|s - x|^2/2 = s'x - |x|^2/2 - |s|^2/2, and the last term leaves the log-sum-exp.
        lengths = 0.5 * beta * (stored * stored).sum(-1).unsqueeze(-2)
        drive = (beta * state) @ stored.mT - lengths
        return 0.5 * (state * state).sum(-1) - self.log_sum(drive, mask, field)


class KernelMemory(_MetricMemory):
    r"""E = 1/2 xi'K xi - lse(beta X K xi + h)/beta with the kernel K = Phi'Phi.

    grad E = K (xi - X' softmax(beta X K xi + h)).

    Shapes: as `Energy`; Phi is (D, D), or (H, D, D) with heads.

    Source: Wu et al. 2024, arXiv:2404.03827.
    """

    latex = (
        r"\tfrac12\,\xi^\top K\,\xi - \tfrac1\beta\operatorname{lse}(\beta X K\,\xi + h),"
        r"\quad K = \Phi^\top\Phi"
    )
    map_name = "Phi"

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energy, (..., L)."""
        state = self.mapped(xi)
        drive = (self.values()["beta"] * state) @ self.mapped(X).mT
        return 0.5 * (state * state).sum(-1) - self.log_sum(drive, mask, field)
