"""A memory that keeps random features of its patterns instead of the patterns themselves."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attenergy.energies.base import Energy


class RandomFeatures(Energy):
    r"""E = -1/beta log max(floor, phi(xi)'T),  T = sum_n exp(h_n) phi(x_n).

    phi(z) = sqrt(2/Y) cos(sqrt(beta) S z + u) with S (Y, D) standard normal and u uniform on
    [0, 2 pi). phi(z)'phi(x) is exp(-beta/2 |z - x|^2) on average, so E approaches log-sum-exp over
    squared distances; its error falls as 1/sqrt(Y). T has Y numbers, however many patterns went in.
    Where noise makes phi'T fall below `floor` E is flat; it need not descend.

    Options:
        features: Y.
        seed: of S and u, which are buffers saved with the parameters.

    Shapes: as `Energy`.

    Source: Hoover et al. 2024, arXiv:2410.24153; features of Rahimi and Recht 2007.
    """

    latex = (
        r"-\tfrac1\beta\log\max\left("
        r"\epsilon,\, \sum_n e^{h_n} \varphi(\xi)^\top\varphi(x_n)\right),"
        r"\quad \varphi(z) = \sqrt{\tfrac2Y}\,\cos(\sqrt\beta\, S z + u)"
    )
    smooth = False
    directions: Tensor
    phases: Tensor

    def setup(self) -> None:
        """Draw the directions and phases of the features."""
        self.features = self.whole_option("features", 1)
        generator = torch.Generator().manual_seed(self.whole_option("seed", 0))
        self.register_buffer(
            "directions", torch.randn(self.features, self.dim, generator=generator)
        )
        phases = 2 * math.pi * torch.rand(self.features, generator=generator)
        self.register_buffer("phases", phases)

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energy, (..., L)."""
        values = self.values()
        stored, shift = _weighted_sum(self._features(X, values["beta"]), mask, field)
        kernel = (self._features(xi, values["beta"]) * stored).sum(-1, keepdim=True)
        log = torch.log(kernel.clamp_min(values["floor"]))
        return -((log + shift) / values["beta"]).squeeze(-1)

    def _features(self, points: Tensor, beta: Tensor | float) -> Tensor:
        """The features phi of (..., D), (..., Y)."""
        scale = beta**0.5
        angles = (scale * points) @ self.directions.to(points).mT + self.phases.to(points)
        features: Tensor = math.sqrt(2 / self.features) * torch.cos(angles)
        return features


def _weighted_sum(
    features: Tensor, mask: Tensor | None, field: Tensor | None
) -> tuple[Tensor, Tensor | float]:
    """The sum over visible patterns of exp(h - shift) features, (..., L|1, Y), and the shift."""
    if field is None:
        if mask is None:
            return features.sum(-2, keepdim=True), 0.0
        return mask.to(features.dtype) @ features, 0.0
    field = field if mask is None else field.masked_fill(~mask, -torch.inf)
    shift = field.amax(-1, keepdim=True)
    return torch.exp(field - shift) @ features, shift
