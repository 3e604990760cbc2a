"""A memory of two layers of neurons, each given by its Lagrangian."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.energies.base import Energy
from attenergy.energies.memories.lagrangians import LAGRANGIANS, Lagrangian, lagrangian
from attenergy.registry import ArgumentError

#: Lagrangians that add up over neurons, so that a hidden neuron can be left out.
_SEPARATE = ("quadratic", "relu", "softplus", "logcosh")


class TwoLayer(Energy):
    r"""E = [g'xi - L_v(xi)] + [f'z - L_h(z)] - f'X g at the hidden layer's equilibrium z = X g.

    g = grad L_v(xi) are the visible activations, f = grad L_h(z) those of the S hidden neurons,
    whose synapses are the stored patterns. At z = X g the energy is g'xi - L_v(xi) - L_h(X g), and
    by the envelope theorem its gradient is that of `joint_energy` at fixed z. Inverse temperature
    and field enter the hidden layer as L_h(beta z + h)/beta. With L_v quadratic any step of gamma
    in (0, 2) descends, and L_h = lse gives log-sum-exp attention; for other visible layers nothing
    is promised.

    Options:
        visible: name of L_v (`attenergy.energies.memories.lagrangians`).
        hidden: name of L_h: lse, quadratic, relu, softplus or logcosh.

    Shapes: as `Energy`.

    Source: Krotov and Hopfield 2021, arXiv:2008.06996.
    """

    latex = r"g^\top\xi - L_v(\xi) - \tfrac1\beta L_h(\beta X g + h),\quad g = \nabla L_v(\xi)"
    has_weights = True

    def setup(self) -> None:
        """Read which Lagrangians the layers have."""
        names = {n: str(self.settings.get(n, o.default)) for n, o in self.spec.options.items()}
        self.visible, self.hidden = names.get("visible", "quadratic"), names.get("hidden", "lse")
        lagrangian(self.visible)
        if self.hidden not in (*_SEPARATE, "lse"):
            raise ArgumentError(
                f"'hidden' must be one of lse, {', '.join(_SEPARATE)}, got {self.hidden!r}"
            )
        self.smooth = "relu" not in (self.visible, self.hidden)
        self.has_weights = self.visible == "quadratic"

    def quadratic(self) -> Tensor | float | None:
        """As the entry says; None if the visible layer is not quadratic."""
        return super().quadratic() if self.visible == "quadratic" else None

    def largest_step_size(self) -> float | None:
        """As the entry says; None if the visible layer is not quadratic."""
        return super().largest_step_size() if self.visible == "quadratic" else None

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energy with the hidden layer at equilibrium, (..., L)."""
        layer = LAGRANGIANS[self.visible]
        own = layer.own_energy(xi).unsqueeze(-1)
        value = self._hidden_value(self._hidden_state(layer.activation(xi), X, field), mask)
        return (own - value / self.values()["beta"]).squeeze(-1)

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """Activations f of the hidden layer, (..., L, S), if the visible layer is quadratic."""
        z = self._hidden_state(xi, X, field)
        if self.hidden == "lse":
            return torch.softmax(z if mask is None else z.masked_fill(~mask, -torch.inf), -1)
        f = LAGRANGIANS[self.hidden].activation(z)
        return f if mask is None else torch.where(mask, f, 0.0)

    def _hidden_state(self, g: Tensor, X: Tensor, field: Tensor | None) -> Tensor:
        """What the hidden neurons get, beta X g + h, (..., L, S)."""
        z: Tensor = self.values()["beta"] * (g @ X.mT)
        return z if field is None else z + field

    def _hidden_value(self, z: Tensor, mask: Tensor | None) -> Tensor:
        """L_h of the visible hidden neurons, (..., L, 1)."""
        if self.hidden == "lse":
            z = z if mask is None else z.masked_fill(~mask, -torch.inf)
            return torch.logsumexp(z, -1, keepdim=True)
        each = LAGRANGIANS[self.hidden].value(z.unsqueeze(-1))
        each = each if mask is None else torch.where(mask, each, 0.0)
        return each.sum(-1, keepdim=True)


def joint_energy(
    x: Tensor, z: Tensor, X: Tensor, visible: Lagrangian, hidden: Lagrangian
) -> Tensor:
    """E = [g'x - L_v(x)] + [f'z - L_h(z)] - f'X g, (..., L), of both layers' internal states.

    Args:
        x: internal states of the visible layer, (..., L, D).
        z: internal states of the hidden layer, (..., L, S).
        X: synapses (..., S, D).
        visible: Lagrangian of the visible layer.
        hidden: Lagrangian of the hidden layer.
    """
    g, f = visible.activation(x), hidden.activation(z)
    return visible.own_energy(x) + hidden.own_energy(z) - (f * (g @ X.mT)).sum(-1)
