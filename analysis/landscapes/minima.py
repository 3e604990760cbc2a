"""The minima of a landscape: where states come to rest, counted, checked and told apart."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from attenergy.analysis.landscapes.charts import Chart
from attenergy.analysis.landscapes.descent import curvature, lower_nearby, settle, sharpen
from attenergy.analysis.landscapes.one_state import OneState

Kind = Literal["single pattern", "reversed pattern", "metastable", "average", "other"]

#: Two states of rest are one minimum if they are nearer than this share of the extent ...
_SAME = 1e-4
#: ... and one group to start with if nearer than this.
_NEAR = 1e-3
#: Share of the weights that the patterns of a minimum hold together, as in studies of BERT.
MASS = 0.9
#: A minimum is where its patterns' mean is if it is no further off than this share of their extent.
_THERE = 0.1
#: A slope below this, times the energy's own size over the extent, is none.
_SLOPE = 1e-6
#: Means of all subsets of so many patterns are compared with a minimum without weights.
_FEW = 6
#: Most patterns of a mixture whose numbers are listed.
_LISTED = 5
#: A Hessian whose eigenvalues are no larger is none: the energy is flat.
_FLAT = 1e-9
#: More groups of states that rest are no minima that are told apart, but a continuum.
MOST = 60


@dataclass(frozen=True, eq=False)
class Minimum:
    """A state at which the energy does not fall in any direction.

    Attributes:
        state: (D,).
        coordinates: where it stands in the picture.
        energy: E there.
        kind: `single pattern`, `reversed pattern` (at -x), `metastable` (between some), `average`
            (of all, or nearly), `other` (no mixture of patterns).
        patterns: numbers, from 1, of the patterns that hold 0.9 of its weight, or whose mean it is.
        weight: the largest share that one pattern has of it; None if the energy has no weights.
        slope: length of the gradient along the domain.
        curvature: smallest eigenvalue of the Hessian along the domain.
        distance: how far it lies from the plane of the picture.
        basin: share of the picture from which states come to rest here.
        verified: whether the slope is 0 to rounding and the curvature above 0.
    """

    state: Tensor
    coordinates: tuple[float, ...]
    energy: float
    kind: Kind
    patterns: tuple[int, ...]
    weight: float | None
    slope: float
    curvature: float
    distance: float
    basin: float
    verified: bool

    @property
    def label(self) -> str:
        """Kind and patterns, as in tables."""
        if self.patterns and self.kind != "average":
            few = len(self.patterns) <= _LISTED
            which = ", ".join(map(str, self.patterns)) if few else f"{len(self.patterns)} patterns"
            return f"{self.kind} ({which})"
        return self.kind

    def numbers(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        return {
            "coordinates": list(self.coordinates),
            "state": self.state.tolist(),
            "energy": self.energy,
            "kind": self.kind,
            "patterns": list(self.patterns),
            "largest_weight": self.weight,
            "slope": self.slope,
            "smallest_curvature": self.curvature,
            "distance_from_plane": self.distance,
            "basin": self.basin,
            "verified": self.verified,
        }


@dataclass(frozen=True, eq=False)
class Minima:
    """The minima that states from a set of starts come to, the lowest first.

    Attributes:
        minima: them.
        goal: (M,), to which of them each start comes; -1 where it comes to none.
        away: share of the starts that leave for infinity.
        flat: share of the starts around which, or around whose ends, the energy is flat.
        moving: share of the starts that are still on their way after the last step.
        continuum: whether states rest at so many places that they are not told apart.
    """

    minima: tuple[Minimum, ...]
    goal: Tensor
    away: float
    flat: float
    moving: float
    continuum: bool

    def __len__(self) -> int:
        return len(self.minima)


def find_minima(
    problem: OneState,
    chart: Chart,
    starts: Tensor,
    *,
    extent: float,
    more: Tensor | None = None,
    steps: int = 500,
    step_size: float | None = None,
) -> Minima:
    """Relax starts to rest, sharpen the places where they rest, and tell them apart.

    Args:
        problem: whose energy.
        chart: where the landscape is drawn.
        starts: (M, D), in the domain.
        extent: of the landscape.
        more: states (n, D) that are relaxed too and count for no basin.
        steps: most steps of a relaxation, before Newton's method goes on.
        step_size: gamma of the steps; the entry's if None.
    """
    count, starts = len(starts), starts if more is None else torch.cat([starts, more])
    ends = settle(problem, starts, extent=extent, steps=steps, step_size=step_size)
    goal = torch.full((len(starts),), -1)
    counted = torch.arange(len(starts)) < count
    away = float(ends.away[counted].double().mean())
    unmoved = ends.rests & (ends.states == starts).all(-1)
    if bool(unmoved.any()):
        shape = curvature(problem, starts[unmoved], extent)
        unmoved[unmoved.clone()] = shape.values.abs().amax(-1) <= _FLAT
    here = torch.nonzero(~ends.away & ~unmoved).squeeze(-1)
    flat = float(unmoved[counted].double().mean())
    if not len(here):
        return Minima((), goal[:count], away, flat, 0.0, False)
    groups, first = grouped(ends.states[here], _NEAR * extent)
    is_continuum = len(first) > MOST
    groups, first = groups.clamp(max=MOST - 1), first[:MOST]
    sharp, shape = sharpen(problem, ends.states[here][first], extent)
    merged, chosen = grouped(sharp, _SAME * extent)
    with torch.no_grad():
        energies = problem.value(sharp)
        scale = float((energies.min() - problem.value(starts)).abs().median()) / extent
        weights = problem.weights(sharp) if problem.has_weights else None
    slopes = shape.slope.norm(dim=-1)
    still = slopes <= _SLOPE * max(scale, 1.0)
    bends = shape.values.abs().amax(-1)
    on_way = ~still & lower_nearby(problem, sharp, shape, extent)
    level = still & (bends <= _FLAT)
    saddle = still & (shape.values[:, 0] < -1e-6 * bends)
    reached = merged[groups]
    flat += float((level[chosen][reached] & counted[here]).sum()) / count
    moving = float(((on_way | saddle)[chosen][reached] & counted[here]).sum()) / count
    none = (level | saddle | on_way)[chosen]
    order = [int(n) for n in energies[chosen].argsort() if not none[n]]
    minima = []
    for rank, number in enumerate(order):
        goal[here[reached == number]] = rank
        index = int(chosen[number])
        row = None if weights is None else weights[index]
        state, bend = sharp[index], float(shape.values[index, 0])
        kind, patterns, weight = describe(problem, state, row)
        minima.append(
            Minimum(
                state,
                tuple(chart.coordinates(state[None])[0].tolist()),
                float(energies[index]),
                kind,
                patterns,
                weight,
                float(slopes[index]),
                bend,
                float(chart.distance(state[None])),
                float((goal[:count] == rank).double().mean()),
                bool(still[index]) and bend > _FLAT,
            )
        )
    return Minima(tuple(minima), goal[:count], away, flat, moving, is_continuum and bool(minima))


def grouped(states: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Sort states (M, D) into groups: each belongs to the first one within a radius.

    Returns:
        The group of every state (M,), and the index of each group's first state.
    """
    groups = torch.full((len(states),), -1)
    first: list[int] = []
    while bool((groups < 0).any()):
        index = int((groups < 0).nonzero()[0])
        near = (states - states[index]).norm(dim=-1) <= radius
        groups[near & (groups < 0)] = len(first)
        first.append(index)
        if len(first) > MOST:  # the rest is of no use: a continuum
            groups[groups < 0] = MOST
    return groups, torch.tensor(first, dtype=torch.int64)


def describe(
    problem: OneState, state: Tensor, weights: Tensor | None
) -> tuple[Kind, tuple[int, ...], float | None]:
    """What stands at a minimum: its kind, the patterns it is of, and the largest weight.

    The weights say which patterns; that their weighted mean, or sum, is where the state is says
    that it is these. Without weights, the pattern or the mean of patterns that is nearest.

    Args:
        problem: whose energy.
        state: (D,).
        weights: (S,) over the patterns, if there are any.
    """
    X, domain = problem.patterns, problem.energy.domain
    length = float(X.norm(dim=-1).max())
    spread = float((X - X.mean(0)).norm(dim=-1).max())
    spread = spread if spread > 1e-9 * length else length  # one pattern, or one many times
    if weights is None:
        if domain.constrained and not domain.tied:
            state = domain.from_real(60.0 * state)  # the corner that it points to
        numbers, sign, centre = _nearest(problem, state)
        largest = None
    else:
        total = float(weights.abs().sum())
        shares = weights / (total or 1.0)
        ranked = shares.abs().argsort(descending=True)
        size = int((shares.abs()[ranked].cumsum(0) < MASS).sum()) + 1
        numbers, largest = tuple(sorted(ranked[:size].tolist())), float(shares.abs().max())
        centre, sign = problem.project(shares @ X), float(shares[ranked[0]].sign())
        if total >= 0.5 and size < MASS * len(X):  # as a sum: k patterns at once have weights 1
            summed = problem.project(weights @ X)
            centre = min(centre, summed, key=lambda place: float((place - state).norm()))
    if float((centre - state).norm()) > _THERE * spread or not sign:
        return "other", (), largest
    patterns = tuple(number + 1 for number in numbers)
    if len(numbers) == 1:
        return "single pattern" if sign > 0 else "reversed pattern", patterns, largest
    if len(numbers) >= MASS * len(X):
        return "average", patterns, largest
    return "metastable", patterns, largest


def _nearest(problem: OneState, state: Tensor) -> tuple[tuple[int, ...], float, Tensor]:
    """The patterns, reversed or not, whose mean is nearest to a state, and that mean."""
    X = problem.patterns
    count = len(X)
    sizes = range(1, count + 1) if count <= _FEW else (1, count)
    best: tuple[float, tuple[int, ...], float, Tensor] | None = None
    for size in sizes:
        for numbers in itertools.combinations(range(count), size):
            mean = problem.project(X[list(numbers)].mean(0))
            for sign in (1.0, -1.0):
                away = float((sign * mean - state).norm())
                if best is None or away < best[0] - 1e-9:
                    best = away, numbers, sign, sign * mean
    assert best is not None
    return best[1:]
