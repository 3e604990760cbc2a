"""Means of spins: mean-field and TAP free energies of Ising spins, one spin a component."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from attenergy.energies.graphs.base import OnGraph
from attenergy.energies.graphs.couplings import Couplings, EdgeList, as_matrix, normalised


class IsingMeanField(OnGraph):
    r"""E(m; X, h) = -1/2 m'Jm - b'm - 1/beta sum_d H((1 + m_d)/2),  b = sum_n (a_n + h_n/D) x_n.

    H(p) = -p log p - (1-p) log(1-p). A state m, -1 < m_d < 1, holds the means of D spins. beta E
    bounds -log sum_s exp(beta (1/2 s'Js + b's)) from above; E is stationary where
    m = tanh(beta (Jm + b)), and moving the components one by one never raises it, at any beta.
    All at once may, unless J has no negative eigenvalue: two spins that disagree turn for ever.

    The diagonal of J is zero. Couplings between the components, by the option `couplings`:
        patterns  J = X'X/D, the Hebb rule, over the patterns that a state sees; a_n = 0
        learned   a parameter, symmetrised, that starts at 0
        else      a kind and a graph (`OnGraph`), normalised so that |Jm| <= |m|
    In the last two the patterns act by their mean: a_n = 1/N over the N visible ones.

    Shapes: as `Energy`, with E of shape (..., L).

    Source: Hopfield 1982, doi:10.1073/pnas.79.8.2554; mean field as in Opper and Saad 2001.
    """

    latex = (
        r"-\tfrac12 m^\top J m - b^\top m"
        r" - \tfrac1\beta \sum_d H\left(\tfrac{1 + m_d}{2}\right)"
    )
    own_kinds: ClassVar[tuple[str, ...]] = ("patterns", "learned")

    def setup(self) -> None:
        """Make the couplings, if they are learned."""
        super().setup()
        if self.kind == "learned":
            heads = () if self.num_heads is None else (self.num_heads,)
            self.raw_couplings = nn.Parameter(torch.zeros(*heads, self.dim, self.dim))

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The free energy, (..., L)."""
        scores = xi @ X.mT
        if mask is not None:
            scores = torch.where(mask, scores, 0.0)
        values = self.values()
        linear = torch.zeros_like(scores) if field is None else scores * field / self.dim
        if self.kind == "patterns":
            squares = _visible_sum(X.square(), mask)
            pairs = (scores.square().sum(-1) - (squares * xi.square()).sum(-1)) / self.dim
        else:
            seen = X.shape[-2] if mask is None else mask.sum(-1, keepdim=True)
            linear = linear + scores / seen
            pairs = (xi * (xi @ self.fixed_couplings(xi))).sum(-1)
        entropy = spin_entropy(xi).sum(-1, keepdim=True) / values["beta"]
        return -0.5 * pairs - (linear.sum(-1, keepdim=True) + entropy).squeeze(-1)

    def fixed_couplings(self, like: Tensor) -> Tensor:
        """J (..., D, D) where it does not come from the patterns."""
        if self.kind == "learned":
            free = self.raw_couplings + self.raw_couplings.mT
            return free - torch.diag_embed(free.diagonal(dim1=-2, dim2=-1))
        fixed: Couplings = normalised(self._by_position(self.dim, like, 0))
        return as_matrix(fixed) if isinstance(fixed, EdgeList) else fixed


class Tap(IsingMeanField):
    r"""E(m; X, h) = E_mean_field(m) - beta/4 sum_de J_de^2 (1 - m_d^2)(1 - m_e^2).

    The Onsager term takes away the field that a spin has raised in its neighbours; stationary
    points are m = tanh(beta (b + Jm - beta m * J^2(1 - m^2))), J^2 entry by entry. It is exact for
    many weak random couplings. It is no bound, and no update is sure to lower it: take small steps.

    Options, symbols and shapes: as `IsingMeanField`. Couplings from patterns need a matrix (D, D)
    for every state that has a mask of its own.

    Source: Thouless, Anderson and Palmer 1977, doi:10.1080/14786437708235992.
    """

    latex = IsingMeanField.latex + r" - \tfrac{\beta}{4} \sum_{de} J_{de}^2 (1 - m_d^2)(1 - m_e^2)"

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The free energy, (..., L)."""
        plain = super().energy(xi, X, mask, field)
        couplings = self._couplings(xi, X, mask).square()
        variance = 1.0 - xi.square()
        reaction = (variance.unsqueeze(-2) @ couplings).squeeze(-2) * variance
        beta = self.values()["beta"]
        return plain - (0.25 * beta * reaction.sum(-1, keepdim=True)).squeeze(-1)

    def _couplings(self, xi: Tensor, X: Tensor, mask: Tensor | None) -> Tensor:
        """J (..., L|1, D, D)."""
        if self.kind != "patterns":
            return self.fixed_couplings(xi).unsqueeze(-3)
        seen = X.unsqueeze(-3)
        if mask is not None:
            seen = torch.where(mask.unsqueeze(-1), seen, 0.0)
        hebb = seen.mT @ seen / self.dim
        return hebb - torch.diag_embed(hebb.diagonal(dim1=-2, dim2=-1))


def spin_entropy(m: Tensor) -> Tensor:
    """H((1 + m)/2), elementwise, nats; beyond its ends, which are just inside +-1, it is flat."""
    edge = 1.0 - torch.finfo(m.dtype).eps ** 0.5
    up = 0.5 * (1.0 + m.clamp(-edge, edge))
    return -up * torch.log(up) - (1.0 - up) * torch.log1p(-up)


def patterns_with_couplings(couplings: Tensor) -> Tensor:
    """Patterns X (D, D), regular, whose Hebb rule X'X/D has these couplings off the diagonal.

    Args:
        couplings: symmetric (D, D); what is on the diagonal does not count.
    """
    bare = couplings - torch.diag(couplings.diagonal())
    values, vectors = torch.linalg.eigh(bare)
    lifted = values - values[0] + 1.0
    patterns: Tensor = couplings.shape[-1] ** 0.5 * (lifted.sqrt() * vectors).mT
    return patterns


def _visible_sum(x: Tensor, mask: Tensor | None) -> Tensor:
    """sum_n x_n over visible patterns: (..., 1, D), or (..., L, D) with a mask."""
    return x.sum(-2, keepdim=True) if mask is None else mask.to(x.dtype) @ x
