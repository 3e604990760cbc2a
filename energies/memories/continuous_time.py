"""A memory that keeps its patterns as one signal in time."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from attenergy.energies.base import Energy
from attenergy.energies.masks import same_for_all_states
from attenergy.energies.presence import all_present
from attenergy.energies.rows.kernel import MixedPatterns


class ContinuousTime(Energy):
    r"""E = 1/2 |xi|^2 - 1/beta log int_0^1 exp(beta xi'x(t)) dt,  x(t) = B'psi(t).

    The S patterns are samples of a signal at the times t_n = (n + 1/2)/S; padding, which no state
    sees, is none of them. B (M, D) is its ridge
    regression on the cosines psi_m(t) = cos(pi m t), from the visible samples alone, and the
    integral runs over Gauss-Legendre nodes. So N patterns become M numbers per component, and the
    weights over patterns, A'p with A the map from patterns to nodes, may be negative.

    Options:
        basis: M.
        nodes: number of quadrature nodes.

    Shapes: as `Energy`. The mask costs one M x M system for every state.

    Source: Santos et al. 2025, modern Hopfield networks with continuous-time memories.
    """

    latex = (
        r"\tfrac12\lVert\xi\rVert^2"
        r" - \tfrac1\beta\log\int_0^1 e^{\beta\,\xi^\top x(t)}\,dt,\quad x(t) = B^\top\psi(t)"
    )
    patterns_interact: ClassVar[bool] = True
    reads_field = False
    has_weights = True
    times: Tensor
    logs: Tensor

    def setup(self) -> None:
        """Place the basis and the quadrature nodes."""
        self.basis = self.whole_option("basis", 1)
        nodes, weights = np.polynomial.legendre.leggauss(self.whole_option("nodes", 1, 512))
        dtype = torch.get_default_dtype()
        self.register_buffer("times", torch.from_numpy(0.5 * (nodes + 1)).to(dtype))
        self.register_buffer("logs", torch.from_numpy(np.log(0.5 * weights)).to(dtype))

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energy, (..., L)."""
        exponent, _ = self._exponent(xi, X, mask)
        lse = torch.logsumexp(exponent, -1, keepdim=True) / self.values()["beta"]
        return 0.5 * (xi * xi).sum(-1) - lse.squeeze(-1)

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """A'p, (..., L, S): exactly 0 for hidden samples; their sum need not be 1."""
        exponent, signal = self._exponent(xi, X, mask)
        return _rows_times(torch.softmax(exponent, -1), signal)

    def mixed_patterns(
        self, X: Tensor, values: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> MixedPatterns | None:
        """The signal at the nodes, where all states see the same samples."""
        if not same_for_all_states(mask):
            return None
        signal = self._signal(X, mask)
        signal = signal if signal.ndim == 2 else signal.squeeze(-3)
        keys = signal @ X
        read = keys if values is X else signal @ values
        return MixedPatterns(keys, read, self.values()["beta"], self.logs.to(X), None)

    def _exponent(self, xi: Tensor, X: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The logarithms of the integrand at the nodes (..., L, Q), and A as `_signal` gives it."""
        signal = self._signal(X, mask)
        scores = xi @ X.mT
        if mask is not None:
            scores = torch.where(mask, scores, 0.0)
        inner = _rows_times(scores, signal.mT)
        return self.values()["beta"] * inner + self.logs.to(xi), signal

    def _signal(self, X: Tensor, mask: Tensor | None) -> Tensor:
        """A, the map from samples to x at the nodes: (Q, S), or (..., L, Q, S) under a mask."""
        # The regression is solved in at least single precision; no solver takes less.
        wide = torch.promote_types(X.dtype, torch.float32)
        samples = _cosines(_sample_times(X, mask, wide), self.basis)
        seen = samples.mT
        if mask is not None:
            seen = seen if seen.ndim == 2 else seen.unsqueeze(-3)
            seen = seen * mask.unsqueeze(-2).to(wide)
        ridge = self.values()["ridge"] * torch.eye(self.basis, device=X.device, dtype=wide)
        fit = torch.linalg.solve(_products(seen, samples) + ridge, seen)
        signal: Tensor = (_cosines(self.times.to(X.device, wide), self.basis) @ fit).to(X.dtype)
        return signal


def _sample_times(X: Tensor, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The times (n + 1/2)/S of the patterns that some state sees, (S,), or (..., S) if not all."""
    if mask is not None and not all_present(mask, -2):
        present = mask.any(-2)
        place = (present.cumsum(-1) - 1).to(dtype)
        return (place + 0.5) / present.sum(-1, keepdim=True).clamp_min(1)
    count = X.shape[-2]
    return (torch.arange(count, device=X.device, dtype=dtype) + 0.5) / count


def _products(seen: Tensor, samples: Tensor) -> Tensor:
    """Each sample's matrices (..., [L,] M, S) times its own (S, M)."""
    if samples.ndim == 2:
        return seen @ samples
    return (seen.flatten(-3, -2) @ samples).reshape(*seen.shape[:-1], samples.shape[-1])


def _cosines(times: Tensor, basis: int) -> Tensor:
    """The values cos(pi m t), (T, M)."""
    orders = torch.arange(basis, device=times.device, dtype=times.dtype)
    return torch.cos(math.pi * times.unsqueeze(-1) * orders)


def _rows_times(rows: Tensor, matrices: Tensor) -> Tensor:
    """Each row (..., L, a) times its own matrix (..., L, a, b), or all times one (a, b)."""
    if matrices.ndim == 2:
        return rows @ matrices
    return (rows.unsqueeze(-2) @ matrices).squeeze(-2)
