"""What layers with an energy return.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `D` query/key width of a
head, `e` value width of a head, `E` model width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from attenergy.attention.solvers.relax import Relaxation


class LayerTrace(NamedTuple):
    """What a layer returns with `trace=True`.

    Attributes:
        out: the layer's result.
        weights: (B, H, L, S) at the last state that is read from; None if the energy has none.
        relaxation: the steps that were taken, with energies and residuals, for each head. Where
            values are read by weights, the reading is the last step and is not among them.

    Example:
        >>> layer = attenergy.EnergyAttention(16, 2, steps=3)
        >>> out, weights, relaxation = layer(torch.randn(1, 5, 16), trace=True)
        >>> out.shape, relaxation.energies.shape
        (torch.Size([1, 5, 16]), torch.Size([3, 1, 2, 5]))
    """

    out: Tensor
    weights: Tensor | None
    relaxation: Relaxation


Traced = LayerTrace  # earlier name


class HeadOutput(NamedTuple):
    """What the heads of a layer give.

    Attributes:
        read: (B, H, L, e) by weights, or the state (B, H, L, D) itself.
        weights: (B, H, L, S); None if not wanted, or if the energy has none.
        relaxation: the steps that were taken.
    """

    read: Tensor
    weights: Tensor | None
    relaxation: Relaxation

    def layer_output(self, out: Tensor, need_weights: bool, trace: bool) -> LayerOutput:
        """What a layer returns: its result, with weights, or with everything."""
        if trace:
            return LayerTrace(out, self.weights, self.relaxation)
        if not need_weights:
            return out
        assert self.weights is not None
        return out, self.weights


#: (B, L, E) alone, a pair of it and weights, or everything.
LayerOutput = Tensor | tuple[Tensor, Tensor] | LayerTrace


def joined(taken: list[Relaxation]) -> Relaxation:
    """Relaxations of one step each, taken one after the other, as one.

    Each may be down an energy of its own; what is recorded of a state between two steps is that of
    the energy that led there.
    """

    def traced(parts: list[Tensor | None]) -> Tensor | None:
        known = [part for part in parts if part is not None]
        return torch.cat([known[0], *(part[-1:] for part in known[1:])]) if known else None

    return Relaxation(
        taken[-1].state,
        energies=traced([one.energies for one in taken]),
        residuals=traced([one.residuals for one in taken]),
        states=traced([one.states for one in taken]),
        entropies=traced([one.entropies for one in taken]),
    )
