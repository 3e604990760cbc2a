"""Spins on a graph that share one length: the mean spherical model, solved by steepest descent."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from attenergy.energies.graphs.base import OnGraph
from attenergy.energies.graphs.couplings import EdgeList, as_matrix, normalised
from attenergy.energies.masks import open_rows

#: Steps to the root, from below. They never pass it, and the last ones double the digits; over all
#: scales that were tried, 12 are enough in double precision.
_STEPS = 16


class SphericalSpins(OnGraph):
    r"""E = 1/2 |xi|^2 - log Z/beta, Z over spins S with energy -1/2 tr S'JS - tr (xi + b)'S.

    The spins S (L, D) are L D numbers under one constraint, <|S|^2> = L D. J = coupling K with K
    the normalised couplings of a graph, and b_i = sum_n softmax(h_i)_n x_n over visible patterns.
    With the fields f = xi + b, and log Z = 0 at J = f = 0,

        log Z = min_t phi(t) - L D/2 (1 + log beta),
        phi(t) = beta L D t/2 - D/2 logdet(t I - J) + beta/2 tr f'(t I - J)^-1 f,

    where t exceeds every eigenvalue of J. phi is convex in t and f together, so log Z is convex in
    xi, and a step with gamma in (0, 2) never raises E. With gamma = 1 a step is xi <- <S>, the mean
    spins (t I - J)^-1 f in the fields.

    A state that sees no pattern takes no part: it has no energy, does not move, and the rule's
    graph is built on the others.

    Options: as `OnGraph`. Shapes: as `Energy`, with E of shape (...). Costs an eigendecomposition
    of J, (L, L); with a mask, one for every sample.

    Source: Berlin and Kac 1952, doi:10.1103/PhysRev.86.821, with vectors and fields; the mean
    spherical model of Lewis and Wannier 1952, doi:10.1103/PhysRev.88.682.2.
    """

    latex = (
        r"\tfrac12\lVert\xi\rVert^2 - \tfrac1\beta\min_t\left["
        r"\tfrac{\beta L D}{2}\, t - \tfrac{D}{2}\log\det(t I - J)"
        r" + \tfrac{\beta}{2}\operatorname{tr} f^\top (t I - J)^{-1} f\right],"
        r"\quad f_i = \xi_i + b_i"
    )
    states_interact: ClassVar[bool] = True

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The joint energy, (...)."""
        opened, alive = (None, None) if mask is None else open_rows(mask)
        alive = None if alive is None else alive.expand(*alive.shape[:-2], xi.shape[-2], 1)
        state = xi if alive is None else torch.where(alive, xi, 0.0)
        fields = state + mean_pattern(X, opened, field)
        if alive is not None:
            fields = torch.where(alive, fields, 0.0)
        beta = self.values()["beta"]
        log_z = self._log_partition(fields, alive) / beta
        value = 0.5 * (state * state).sum((-2, -1), keepdim=True) - log_z
        return value.squeeze((-2, -1)).to(xi.dtype)

    def _log_partition(self, fields: Tensor, alive: Tensor | None) -> Tensor:
        """Log Z of the spins that take part, (..., 1, 1), in at least single precision."""
        wide = fields.to(torch.promote_types(fields.dtype, torch.float32))
        levels, vectors = torch.linalg.eigh(self._normalised(wide, alive).detach())
        forces = (vectors.mT @ wide).square().sum(-1, keepdim=True)
        length, dim = fields.shape[-2:]
        # With no spin at all, one in no field stands in: its log Z is 0.
        alive_spins = length if alive is None else alive.sum(-2, keepdim=True).clamp_min(1)
        values = self.values()
        beta = torch.as_tensor(values["beta"]).to(wide)
        levels = levels.unsqueeze(-1)
        top = levels[..., -1:, :].clamp_min(0.0)
        modes = _Modes(
            gaps=values["coupling"] * (top - levels),
            top=values["coupling"] * top,
            forces=beta / dim * forces,
            absent=torch.as_tensor(length - alive_spins).to(wide),
            target=beta * torch.as_tensor(alive_spins).to(wide),
        )
        height = modes.root()
        exponent = modes.value(height) - (modes.target / beta) * (1.0 + torch.log(beta))
        return 0.5 * dim * exponent

    def _normalised(self, like: Tensor, alive: Tensor | None) -> Tensor:
        """K between the states that take part, (..., L, L)."""
        edges = normalised(self.couplings_of_states(like, alive))
        matrix = as_matrix(edges) if isinstance(edges, EdgeList) else edges
        return matrix if alive is None else torch.where(alive & alive.mT, matrix, 0.0)


class _Modes(NamedTuple):
    """What phi needs of the eigenvectors of J; u = t - (largest eigenvalue) > 0.

    2 phi/D = target t - [sum_k log(u + gaps_k) - absent log t] + sum_k forces_k/(u + gaps_k).
    States that take no part add eigenvalues 0 and no forces; `absent` takes them out.
    """

    gaps: Tensor  # (..., L, 1), from 0
    top: Tensor  # (..., 1, 1), from 0
    forces: Tensor  # (..., L, 1)
    absent: Tensor  # their number
    target: Tensor  # beta L

    def value(self, u: Tensor) -> Tensor:
        """2 phi/D at u, (..., 1, 1)."""
        distance, t = u + self.gaps, u + self.top
        volume = torch.log(distance).sum(-2, keepdim=True) - self.absent * torch.log(t)
        return self.target * t - volume + (self.forces / distance).sum(-2, keepdim=True)

    def slopes(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """F = target - (2 phi/D)' and its slope downwards -F'; both are positive."""
        near, all_ = 1.0 / (u + self.gaps), self.absent / (u + self.top)
        pull = self.forces * near.square()
        first = (near + pull).sum(-2, keepdim=True) - all_
        second = (near.square() + 2.0 * pull * near).sum(-2, keepdim=True)
        return first, second - all_ / (u + self.top)

    def root(self) -> Tensor:
        """The u where F = target, (..., 1, 1), with derivatives.

        F^(-1/2) is concave and rises, so Newton's steps on it climb from below and never pass the
        root. They are taken without derivatives; two plain steps after them bring in those of first
        and second order.
        """
        u = self._fixed()._climb()
        for _ in range(2):
            first, second = self.slopes(u)
            u = u + (first - self.target) / second
        return u

    def _fixed(self) -> _Modes:
        return _Modes(*(part.detach() for part in self))

    def _climb(self) -> Tensor:
        # F >= 1/u, and F >= sum(forces)/(u + largest gap)^2.
        total = self.forces.sum(-2, keepdim=True)
        far = (total / self.target).sqrt() - self.gaps[..., :1, :]
        u = torch.maximum(1.0 / self.target, far)
        for _ in range(_STEPS):
            first, second = self.slopes(u)
            u = u + 2.0 * first / second * ((first / self.target).sqrt() - 1.0).clamp_min(0.0)
        return u


def mean_pattern(X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
    """The fields b = softmax(h) X of the visible patterns, (..., L|1, D)."""
    logits = X.new_zeros(1, X.shape[-2]) if field is None else field.to(X.dtype)
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf)
    return torch.softmax(logits, -1) @ X
