"""A Boltzmann machine all of whose units interact: visible ones among each other too."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attenergy.energies.graphs.boltzmann import Boltzmann


class UnrestrictedBoltzmann(Boltzmann):
    r"""E = 1/2 |xi|^2 - 1/2 xi'V xi - b'xi - 1/beta log sum_s exp(s'u + 1/2 s'Ks), s in {0, 1}^S.

    u = beta (X xi + c) + h drives the hidden units, which K couples on a graph over the patterns as
    in `Boltzmann`; the visible units are the components of xi, which V couples.

    V = visible_coupling N with N_ij = A_ij/sqrt((1 + d_i)(1 + d_j)), where A is learned, symmetric
    and without a diagonal, and d_i = sum_j |A_ij|. The eigenvalues of N lie strictly between -1 and
    1, and visible_coupling below 1. So E is bounded below, and as its quadratic part I - V is at
    most 1 + visible_coupling, no step with gamma in (0, 2) raises it.

    In the domain `spin` the visible units are binary, and 1/2 |xi|^2, a constant there, is left
    out: p(xi) ~ exp(-beta E) is then the classical machine. Moving one of them after the other does
    not raise E; moving all at once may.

    The biases b of the visible units are there if the entry has a parameter `b` of shape [D].

    Options, besides those of `Boltzmann`:
        seed: of the random numbers from which A is learned.

    Shapes: as `Energy`, with E of shape (..., L).

    Raises:
        ValueError: as `Boltzmann`.

    Source: Ackley, Hinton and Sejnowski 1985, doi:10.1207/s15516709cog0901_7.
    """

    latex = (
        r"\tfrac12\lVert\xi\rVert^2 - \tfrac12\xi^\top V\xi - \tfrac1\beta\log\sum_{s}"
        r"\exp\left(s^\top (\beta X\xi + \beta c + h) + \tfrac12 s^\top K s\right)"
    )

    def setup(self) -> None:
        """Draw the couplings of the visible units from which learning starts."""
        super().setup()
        generator = torch.Generator().manual_seed(self.whole_option("seed", 0))
        heads = () if self.num_heads is None else (self.num_heads,)
        drawn = torch.randn(*heads, self.dim, self.dim, generator=generator)
        self.raw_visible = nn.Parameter(drawn / self.dim)

    def visible_couplings(self) -> Tensor:
        """V, (..., D, D)."""
        free = self.raw_visible + self.raw_visible.mT
        free = free - torch.diag_embed(free.diagonal(dim1=-2, dim2=-1))
        scale = (1.0 + free.abs().sum(-1, keepdim=True)).rsqrt()
        return self.values()["visible_coupling"] * (scale * free * scale.mT)

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The free energy, (..., L)."""
        half = 0.5 if self.domain.discrete else 0.0  # of |xi|^2, taken out again
        pull = 0.5 * (xi @ self.visible_couplings()) + half * xi
        bias = self.values().get("b")
        pull = pull if bias is None else pull + bias
        return super().energy(xi, X, mask, field) - (xi * pull).sum(-1)

    def radial(
        self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> Tensor | float:
        """1, or 0 for binary visible units."""
        return 0.0 if self.domain.discrete else 1.0

    def coupling(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """-V xi - b, (..., L, D)."""
        pull = xi @ self.visible_couplings()
        bias = self.values().get("b")
        return -pull if bias is None else -pull - bias
