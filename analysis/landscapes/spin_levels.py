"""The energies of all states of a few spins: there is no surface between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from attenergy.analysis.landscapes.minima import Minima, Minimum, describe
from attenergy.analysis.landscapes.one_state import OneState, one_state
from attenergy.analysis.landscapes.patterns import checked_patterns, planted_patterns
from attenergy.analysis.landscapes.wording import about_energy, kinds_text, name_of
from attenergy.analysis.result import Progress, Result, Table
from attenergy.energies import EnergyLike, domain_of, source_of
from attenergy.registry import AnalysisError, RegistryLike

if TYPE_CHECKING:
    from attenergy.analysis.drawing import Picture

#: Most spins: 2^12 states.
MOST_SPINS = 12


@dataclass(frozen=True, eq=False)
class SpinLevels(Result):
    """E of all 2^D states of D spins; make it with `spin_levels`.

    Attributes:
        about: what the energy is, for sentences.
        minima: states whose energy no flip of one spin lowers, with their shares of the states.
        energies: (2^D,) of all states.
        overlaps: (2^D,), of each state with the stored pattern that is nearest, in [-1, 1]:
            negative where that is a reversed one.
        dim: D.
        count: of stored patterns.

    Example:
        >>> patterns = torch.tensor([[1.0, 1, -1, -1], [1.0, -1, 1, -1]])
        >>> result = spin_levels("classical_hopfield", patterns)
        >>> result.energies.shape, len(result.minima.minima)
        (torch.Size([16]), 4)
    """

    name: ClassVar[str] = "levels"
    title: ClassVar[str] = "Energies of all states"

    about: str
    minima: Minima
    energies: Tensor
    overlaps: Tensor
    dim: int
    count: int

    @property
    def sentence(self) -> str:
        """How many states are minima, and of which kinds."""
        minima = self.minima.minima
        plural = "minimum" if len(minima) == 1 else "minima"
        return (
            f"{self.about} with {self.count} stored pattern{'s' if self.count > 1 else ''} of "
            f"{self.dim} spins: {len(minima)} of {len(self.energies)} states "
            f"{'is a' if len(minima) == 1 else 'are'} {plural} ({kinds_text(self.minima)})."
        )

    def numbers(self) -> dict[str, Any]:
        """Energies and overlaps of all states, and the minima."""
        return {
            "energy": self.about,
            "domain": "spin",
            "spins": self.dim,
            "minima": [minimum.numbers() for minimum in self.minima.minima],
            "energies": self.energies.tolist(),
            "overlaps": self.overlaps.tolist(),
        }

    def tables(self) -> list[Table]:
        """The minima, one in a row."""
        rows = [
            [
                "".join("+" if s > 0 else "-" for s in m.state.tolist()),
                m.label,
                f"{m.energy:.4f}",
                f"{m.basin:.1%}",
                f"{m.curvature:.3g}",
            ]
            for m in self.minima.minima
        ]
        header = ["state", "kind", "energy", "basin", "least rise of a flip"]
        return [Table("Minima, the lowest first", header, rows, 2)] if rows else []

    def notes(self) -> list[str]:
        """What is drawn."""
        return [
            "States are spins, with nothing between them: this is no surface. A minimum is a state "
            "that no flip of one spin lowers; its basin are the states from which flips, each the "
            "one that lowers the energy most, lead to it."
        ]

    def pictures(self) -> list[Picture]:
        """Energies against the overlap with the nearest pattern."""
        from attenergy.analysis.landscapes.diagrams import levels_picture

        return [levels_picture(self.name, self.title, self.minima, self.energies, self.overlaps)]


def spin_levels(
    energy: EnergyLike,
    patterns: Any = None,
    *,
    seed: int = 0,
    name: str | None = None,
    registry: RegistryLike | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> SpinLevels:
    """The energies of all states of D spins, and which of them are minima.

    Args:
        energy: whatever names one, in the domain `spin`.
        patterns: (S, D) of -1 and 1, D at most 12; or how many are planted, of 8 spins; 3 if None.
        seed: of planted patterns.
        name: what the energy is called in sentences.
        registry: where a name is looked up.
        progress: called as the work goes on.
        **settings: parameters, choices and options of the energy.

    Raises:
        ValueError: the energy's states are no spins, or there are too many.

    Example:
        >>> patterns = torch.tensor([[1.0, 1, -1, -1], [1.0, -1, 1, -1]])
        >>> result = spin_levels("classical_hopfield", patterns)
        >>> result.energies.shape  # of all 2^4 states
        torch.Size([16])
    """
    source = source_of(energy, settings, registry=registry, taker=spin_levels)
    domain = domain_of(source.spec)
    if not domain.discrete:
        raise AnalysisError(f"'{source.spec.title}' has states between spins: see `landscape`")
    if patterns is None or isinstance(patterns, int):
        dim = None if source.made is None else source.made.dim
        X = planted_patterns(domain, patterns, dim=dim, seed=seed)
    else:
        X = checked_patterns(patterns)
    if X.shape[-1] > MOST_SPINS:
        raise AnalysisError(
            f"the levels of {X.shape[-1]} spins are 2^{X.shape[-1]} energies; at most "
            f"{MOST_SPINS} spins are drawn"
        )
    if progress is not None:
        progress("energies of all states", 0, 1)
    problem = one_state(source.make(X.shape[-1]) if source.made is None else source.made, X)
    minima, energies, states = spin_minima(problem)
    if progress is not None:
        progress("energies of all states", 1, 1)
    overlaps = states @ X.mT / X.shape[-1]
    nearest = overlaps.gather(-1, overlaps.abs().argmax(-1, keepdim=True)).squeeze(-1)
    about = about_energy(name or name_of(energy, source.spec), problem)
    return SpinLevels(about, minima, energies, nearest, X.shape[-1], len(X))


@torch.no_grad()
def spin_minima(problem: OneState) -> tuple[Minima, Tensor, Tensor]:
    """The states that no flip lowers; the energies (2^D,) and states (2^D, D) of all."""
    dim = problem.dim
    numbers = torch.arange(2**dim)
    bits = 2 ** torch.arange(dim)
    states = 2.0 * ((numbers[:, None] & bits) > 0).double() - 1.0
    energies = problem.value(states)
    flipped = energies[numbers[:, None] ^ bits]  # (2^D, D)
    rise = flipped - energies[:, None]
    rounding = 1e-12 * energies.abs().max().clamp_min(1.0)
    least, spin = rise.min(-1)
    follows = torch.where(least < -rounding, numbers ^ bits[spin], numbers)
    for _ in range(dim + 1):  # doubles the way each time; no way is longer than 2^D
        follows = follows[follows]
    lowest = torch.nonzero(follows == numbers).squeeze(-1)
    lowest = lowest[energies[lowest].argsort(stable=True)]
    goal = torch.full_like(numbers, -1)
    minima = []
    weights = problem.weights(states[lowest]) if problem.has_weights else None
    for rank, number in enumerate(lowest.tolist()):
        goal[follows == number] = rank
        row = None if weights is None else weights[rank]
        kind, patterns, weight = describe(problem, states[number], row)
        minima.append(
            Minimum(
                states[number],
                (float(states[number, 0]),),
                float(energies[number]),
                kind,
                patterns,
                weight,
                0.0,
                float(least[number]),
                0.0,
                float((goal == rank).double().mean()),
                bool(least[number] > rounding),
            )
        )
    return Minima(tuple(minima), goal, 0.0, 0.0, 0.0, False), energies, states
