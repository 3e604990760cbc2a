"""What a landscape consists of."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attenergy.analysis.landscapes.charts import Chart
from attenergy.analysis.landscapes.minima import Minima
from attenergy.analysis.landscapes.one_state import OneState


@dataclass(frozen=True, eq=False)
class Surface:
    """E over a plane, or around a circle, of states; with its minima.

    Attributes:
        about: what the energy is, for sentences: `lse at beta 4`.
        problem: the energy as a function of one state.
        chart: where it is drawn.
        coordinates: (M, 2), or (M, 1) around a circle, of the grid.
        energies: (M,), E there; NaN outside the domain.
        minima: where states from the grid come to rest.
        paths: (T, m, 2) or (T, m, 1), relaxations from some starts.
        patterns: (S, 2) or (S, 1), where the stored patterns stand in the picture.
        remarks: what else a reader has to know.
    """

    about: str
    problem: OneState
    chart: Chart
    coordinates: Tensor
    energies: Tensor
    minima: Minima
    paths: Tensor
    patterns: Tensor
    remarks: tuple[str, ...] = ()
