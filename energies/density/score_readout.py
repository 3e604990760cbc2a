"""Energies that read a state only through its length and its scores."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from attenergy.energies.base import Energy
from attenergy.energies.formula import FormulaEnergy
from attenergy.energies.language import compile_tree, score_form

#: (squared length (..., L, 1), scores (..., L, S), patterns (S, D)) -> energy (..., L).
Readout = Callable[[Tensor, Tensor, Tensor], Tensor]


def score_readout(energy: Energy) -> Readout | None:
    """R with E(xi; X) = R(|xi|^2, X xi), without field and mask; None if there is none.

    A change of one component of xi changes the scores by a multiple of one column of X. So the
    energy after it costs O(S) and not O(S D), if the scores are at hand.

    Args:
        energy: an energy without heads.

    Example:
        >>> energy = attenergy.make_energy("lse", dim=2, beta=1.0)
        >>> score_readout(energy) is not None
        True
    """
    if not isinstance(energy, FormulaEnergy) or energy.num_heads is not None:
        return None
    form = score_form(energy.tree)
    if form is None:
        return None
    program = compile_tree(form.readout, masked=False, squeeze=True)

    def readout(square: Tensor, scores: Tensor, X: Tensor) -> Tensor:
        values = {"q": square, "s": scores, "X": X, "h": X.new_zeros(1, X.shape[-2])}
        return program({**values, **energy.values()})

    return readout
