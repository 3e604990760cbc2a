"""The n-vector model at a finite temperature: one hidden spin of D components for every state."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attenergy.energies.graphs.base import OnGraph
from attenergy.energies.masks import open_rows
from attenergy.energies.spins.bessel import log_sphere_mean
from attenergy.energies.spins.on_graph import neighbours_pull
from attenergy.energies.spins.spherical_spins import mean_pattern


class NVector(OnGraph):
    r"""E = 1/2 |xi|^2 - 1/beta sum_i log <exp(beta S_i.f_i)>,  f = (I + coupling K) xi + b.

    The mean is over the directions of a spin S_i with |S_i| = sqrt(D), one of D components for each
    state: Ising's for D = 1, XY for 2, Heisenberg's for 3. K are the normalised couplings of a
    graph over the states and b_i = sum_n softmax(h_i)_n x_n over visible patterns. With
    kappa_i = beta sqrt(D) |f_i| the mean spin in a field is

        <S_i> = sqrt(D) A_D(kappa_i) f_i/|f_i|,  A_D(kappa) = I_{D/2}(kappa)/I_{D/2-1}(kappa),

    a ratio of Bessel functions: tanh for D = 1, coth(kappa) - 1/kappa for D = 3. It aligns with
    a strong field and is beta f_i in a weak one. A step with gamma = 1 is
    xi <- (I + coupling K) <S>, the mean spins with what their neighbours add. The logarithm is
    convex in xi, so no step with gamma in (0, 2) raises E, at any temperature.

    exp(-beta E), integrated over xi, is the partition function of the spins with the couplings
    (I + coupling K)^2 between them and the fields b.

    A state that sees no pattern takes no part: it has no energy, does not move, and the rule's
    graph is built on the others.

    Options: as `OnGraph`. Shapes: as `Energy`, with E of shape (...).

    Source: Stanley 1968, doi:10.1103/PhysRev.176.718; as attention, Bal 2023 (spin-model
    transformers).
    """

    latex = (
        r"\tfrac12\lVert\xi\rVert^2 - \tfrac1\beta\sum_i \log"
        r"\left\langle e^{\beta S_i\cdot f_i} \right\rangle_{|S_i| = \sqrt{D}},"
        r"\quad f = (I + \lambda K)\,\xi + b"
    )
    states_interact: ClassVar[bool] = True

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The joint energy, (...)."""
        opened, alive = (None, None) if mask is None else open_rows(mask)
        state = xi if alive is None else torch.where(alive, xi, 0.0)
        fields = state + neighbours_pull(self, state, mask) + mean_pattern(X, opened, field)
        beta = self.values()["beta"]
        square = self.dim * (beta * fields).square().sum(-1, keepdim=True)
        own = 0.5 * (state * state).sum(-1, keepdim=True)
        own = own - log_sphere_mean(square, self.dim) / beta
        if alive is not None:
            own = torch.where(alive, own, 0.0)
        return own.sum((-2, -1))
