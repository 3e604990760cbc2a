"""The weight of a pattern against its score: the activation that an energy brings along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from attenergy.analysis.landscapes.one_state import one_state
from attenergy.analysis.landscapes.wording import about_energy, name_of
from attenergy.analysis.result import Result, Table
from attenergy.energies import EnergyLike, source_of
from attenergy.registry import AnalysisError, RegistryLike

if TYPE_CHECKING:
    from attenergy.analysis.drawing import Picture

_POINTS = 241
#: Rows of the table.
_SHOWN = 9


@dataclass(frozen=True, eq=False)
class WeightCurves(Result):
    """Weights over patterns against a score; make it with `weight_curves`.

    Attributes:
        names: what the energies are called.
        scores: (n,) of the first pattern.
        alone: (e, n), its weight where it is the only pattern.
        against: (e, n), its weight beside a second pattern of score 0.

    Example:
        >>> result = weight_curves("lse", "sparsemax", beta=1.0)
        >>> result.names
        ('lse at beta 1', 'sparsemax at beta 1')
    """

    name: ClassVar[str] = "weights"
    title: ClassVar[str] = "Weights against a score"

    names: tuple[str, ...]
    scores: Tensor
    alone: Tensor
    against: Tensor

    @property
    def sentence(self) -> str:
        """Where the weight is exactly 0 or 1, or between which values it goes."""
        parts = []
        for name, curve in zip(self.names, self.against, strict=True):
            first, last = float(curve[0]), float(curve[-1])
            text = f"{name}: beside a pattern of score 0 the weight goes from {first:.3g} at score "
            text += f"{float(self.scores[0]):g} to {last:.3g} at {float(self.scores[-1]):g}"
            zero, one = (self.scores[(curve - end).abs() < 1e-12] for end in (0, 1))
            edges = []
            if len(zero) > 1 and zero[0] == self.scores[0]:
                edges.append(f"exactly 0 up to {float(zero[-1]):.2f}")
            if len(one) > 1 and one[-1] == self.scores[-1] and last > 1 - 1e-12:
                edges.append(f"exactly 1 from {float(one[0]):.2f} on")
            parts.append(f"{text} ({', '.join(edges)})" if edges else text)
        return "; ".join(parts) + "."

    def numbers(self) -> dict[str, Any]:
        """The curves."""
        return {
            "scores": self.scores.tolist(),
            "curves": [
                {"energy": name, "one_pattern": one.tolist(), "two_patterns": two.tolist()}
                for name, one, two in zip(self.names, self.alone, self.against, strict=True)
            ],
        }

    def tables(self) -> list[Table]:
        """Weights at some scores."""
        some = torch.linspace(0, len(self.scores) - 1, _SHOWN).round().long().tolist()
        rows = [
            [name, which, *(f"{float(curve[i]):.3f}" for i in some)]
            for name, *curves in zip(self.names, self.against, self.alone, strict=True)
            for which, curve in zip(("of two", "alone"), curves, strict=True)
        ]
        header = ["energy", "pattern", *(f"{round(float(self.scores[i]), 9) + 0:g}" for i in some)]
        return [Table("Weight of the first pattern at its score", header, rows, 2)]

    def notes(self) -> list[str]:
        """How the states are chosen."""
        return [
            "Patterns are unit vectors at a right angle, and the state is the score times the "
            "first of them, so its other score is 0."
        ]

    def pictures(self) -> list[Picture]:
        """The curves."""
        return [_picture(self)]


def weight_curves(
    *energies: EnergyLike,
    low: float = -6.0,
    high: float = 6.0,
    names: Sequence[str] | None = None,
    registry: RegistryLike | None = None,
    **settings: Any,
) -> WeightCurves:
    """The weight of a pattern against its score, alone and beside a pattern of score 0.

    Softmax attention has the logistic function beside a second pattern, and 1 alone; sparsemax a
    ramp that is exactly 0 and 1 beyond its ends; a zero sink the logistic function alone.

    Args:
        *energies: whatever names them, with weights over patterns.
        low: first score.
        high: last score.
        names: what the energies are called; by default names, formulas or titles.
        registry: where names are looked up.
        **settings: parameters, choices and options of all of them (`beta=1.0`).

    Raises:
        ValueError: an energy has no weights, or none at such states.

    Example:
        >>> result = weight_curves("lse", "sparsemax", beta=1.0)
        >>> result.alone.shape, result.against.shape
        (torch.Size([2, 241]), torch.Size([2, 241]))
    """
    if not energies or not low < high:
        raise AnalysisError("weight_curves takes energies, and scores from low to a higher one")
    scores = torch.linspace(low, high, _POINTS, dtype=torch.float64)
    called, alone, against = [], [], []
    for number, energy in enumerate(energies):
        source = source_of(energy, settings, registry=registry, taker=weight_curves)
        title = source.spec.title
        states = torch.stack([scores, torch.zeros_like(scores)], -1)
        curves = []
        for count in (1, 2):
            made = source.make(2) if source.made is None else source.made
            if not made.has_weights:
                raise AnalysisError(f"'{title}' has no weights over patterns, so no curve")
            if made.dim != 2 or made.num_heads is not None:
                raise AnalysisError("weight_curves takes energies of 2 components without heads")
            problem = one_state(made, torch.eye(2, dtype=torch.float64)[:count])
            with torch.no_grad():
                curves.append(problem.weights(states)[:, 0])
        if not bool(torch.isfinite(torch.cat(curves)).all()):
            raise AnalysisError(f"'{title}' has no weights at states off its domain")
        name = names[number] if names is not None else name_of(energy, source.spec)
        called.append(about_energy(name, problem))
        alone.append(curves[0])
        against.append(curves[1])
    return WeightCurves(tuple(called), scores, torch.stack(alone), torch.stack(against))


def _picture(curves: WeightCurves) -> Picture:
    from attenergy.analysis.drawing import TONES, Picture, colour, drawing, legend

    series = [name for name in TONES if name.startswith("series")]
    scores = curves.scores.numpy()
    with drawing() as (figure, axes):
        for number, name in enumerate(curves.names):
            tone = colour(series[number % len(series)])
            axes.plot(scores, curves.against[number].numpy(), color=tone, label=name)
            axes.plot(
                scores, curves.alone[number].numpy(), color=tone, linestyle=(0, (3, 2)),
                linewidth=1.1, label="" if len(curves.names) > 1 else "alone",
            )  # fmt: skip
        axes.set_xlabel("score of the first pattern; that of the second is 0")
        axes.set_ylabel("weight of the first pattern")
        legend(axes, columns=2)
    about = "The weight of a pattern beside a second one (solid) and alone (dashed)."
    return Picture(curves.name, curves.title, about, figure)
