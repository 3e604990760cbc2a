"""The fixed points of every head of one attention call, in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attenergy.analysis.attractors.basins import Basins, basins, half_radius, separation
from attenergy.analysis.attractors.classes import CLASSES, classify, patterns_for_mass
from attenergy.analysis.attractors.rest import (
    DIVERGED,
    EMPTY,
    OUTCOMES,
    REST,
    Iterated,
    iterate,
)
from attenergy.analysis.attractors.stability import spectral_radius
from attenergy.analysis.attractors.subsets import landscapes, spread_states, visible
from attenergy.analysis.calls import AttentionCall
from attenergy.attention.solvers.problem import Problem

#: Names of what a head is called that has no class.
UNCLASSED, UNSETTLED, DIVERGES = "no class", "does not rest", "diverges"
#: What a head may be called, from the widest average to no rest at all.
KINDS = (*(one.name for one in CLASSES), UNCLASSED, UNSETTLED, DIVERGES)


@dataclass(frozen=True)
class Settings:
    """How fixed points are looked for; see `fixed_points`."""

    tolerance: float = 1e-5
    max_steps: int = 200
    states: int = 1024
    samples: int = 8
    directions: int = 6
    starts: int = 16
    seed: int = 0


@dataclass(frozen=True)
class HeadFixedPoints:
    """Where the states of one head come to rest.

    Attributes:
        layer: name of the call.
        head: its number.
        energy: title of the energy.
        reading: whether that is the layer's own (`own`), or softmax attention is read as a step
            down it (`log-sum-exp`).
        states: how many were iterated, those that see no pattern left out.
        outcomes: share of them by what became of them, `OUTCOMES` without the last.
        steps: median number of steps of those that came to rest.
        patterns: median number of patterns in sight.
        classes: share of the states at rest by the name of their class; empty without weights.
        k: median number of patterns that hold 90 % of the weight, at rest; None without weights.
        k_read: the same at the states that the model reads.
        radius: median spectral radius of the update's Jacobian, of some fixed points.
        radius_largest: the largest of them.
        separation: median Delta of the patterns.
        returned: share of starts that return to the fixed point, by distance (`RADII`).
        half_radius: distance from which half of them return; None if more than half from all.
        reached: share of random starts that end in the state's own fixed point.
        ends: mean number of different fixed points that random starts end in.
    """

    layer: str
    head: int
    energy: str
    reading: str
    states: int
    outcomes: dict[str, float]
    steps: float | None
    patterns: float | None
    classes: dict[str, float]
    k: float | None
    k_read: float | None
    radius: float | None
    radius_largest: float | None
    separation: float | None
    returned: list[float]
    half_radius: float | None
    reached: float | None
    ends: float | None

    @property
    def rests(self) -> bool:
        """Whether at least half of its states come to rest."""
        return self.outcomes["rest"] >= 0.5

    @property
    def kind(self) -> str:
        """The class of its median state; or that it diverges, does not rest, or has none.

        Where all states see as many patterns, that is the class of the median k.
        """
        if not self.rests:
            most = max(self.outcomes, key=lambda name: self.outcomes[name] * (name != "rest"))
            return DIVERGES if most == OUTCOMES[DIVERGED] else UNSETTLED
        share = 0.0
        for one in reversed(CLASSES):
            share += self.classes.get(one.name, 0.0)
            if share >= 0.5 - 1e-9:
                return one.name
        return UNCLASSED


def head_fixed_points(call: AttentionCall, settings: Settings) -> list[HeadFixedPoints]:
    """The fixed points of every head of a call that has an energy.

    Args:
        call: from `attention_calls`.
        settings: how they are looked for.
    """
    assert call.problem is not None
    assert call.start is not None
    generator = torch.Generator().manual_seed(settings.seed)
    one_by_one = call.problem.energy.guarantee == "sequential"
    most = settings.states // 8 if one_by_one else settings.states
    problem, xi, samples, positions = spread_states(
        call.problem, call.start, max(1, most), generator
    )
    ended = iterate(problem, xi, tolerance=settings.tolerance, max_steps=settings.max_steps)
    weights = None if call.weights is None else call.weights[samples]
    if weights is not None and weights.shape[2] != xi.shape[2]:
        weights = weights[:, :, positions]
    counted = _Counted.of(problem, ended, weights)
    around = _Around.of(problem, ended, settings, generator)
    apart = separation(problem, xi)
    title = problem.energy.spec.title
    return [
        HeadFixedPoints(
            call.name, head, title, call.reading, **counted.head(head), **around.head(head),
            separation=_median(apart[head][~apart[head].isnan()]),
        )
        for head in range(xi.shape[1])
    ]  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Counted:
    """Outcomes and patterns of all states, (B, H, L) each."""

    ended: Iterated
    seen: Tensor
    k: Tensor | None
    k_read: Tensor | None

    @classmethod
    def of(cls, problem: Problem, ended: Iterated, weights: Tensor | None) -> _Counted:
        shape = ended.outcome.shape
        seen = visible(problem, ended.state).sum(-1).expand(shape)
        if not problem.energy.has_weights:
            return cls(ended, seen, None, None)
        with torch.no_grad():
            k = patterns_for_mass(problem.weights(ended.state))
        return cls(ended, seen, k, None if weights is None else patterns_for_mass(weights))

    def head(self, head: int) -> dict[str, Any]:
        outcome, seen = self.ended.outcome[:, head], self.seen[:, head]
        there = outcome != EMPTY
        rest = outcome == REST
        many = int(there.sum())
        shares = {
            name: float((outcome == place).sum()) / max(many, 1)
            for place, name in enumerate(OUTCOMES[:EMPTY])
        }
        numbers: dict[str, Any] = {
            "states": many,
            "outcomes": shares,
            "steps": _median(self.ended.steps[:, head][rest]),
            "patterns": _median(seen[there]),
            "classes": {}, "k": None, "k_read": None,
        }  # fmt: skip
        if self.k is None:
            return numbers
        place = classify(self.k[:, head], seen)
        classed = rest & (place >= 0)
        total = max(int(classed.sum()), 1)
        numbers["classes"] = {
            one.name: float((place[classed] == index).sum()) / total
            for index, one in enumerate(CLASSES)
        }
        numbers["k"] = _median(self.k[:, head][classed])
        if self.k_read is not None:
            numbers["k_read"] = _median(self.k_read[:, head][there & (seen > 1)])
        return numbers


@dataclass(frozen=True, eq=False)
class _Around:
    """What lies around some fixed points: N of H heads; NaN where there was none."""

    radius: Tensor | None
    basins: Basins
    rests: Tensor

    @classmethod
    def of(
        cls, problem: Problem, ended: Iterated, settings: Settings, generator: torch.Generator
    ) -> _Around:
        samples, positions = _places(problem, ended, settings.samples, generator)
        if problem.energy.states_interact:
            points = ended.state[samples]
            rests = (ended.outcome[samples] == REST).all(-1)
            starts = points.unsqueeze(1)
        else:
            points = ended.state[samples, :, positions]
            rests = ended.outcome[samples, :, positions] == REST
            starts = points.unsqueeze(2)
        settled = torch.where(_like(rests, starts), starts, 0.0)
        posed, xi = landscapes(problem, samples, positions, settled)
        radius = spectral_radius(posed, xi, generator)
        if radius is not None:
            radius = radius.reshape(rests.shape)
        settled = torch.where(_like(rests, points), points, 0.0)
        around = basins(
            problem, (samples, positions), settled,
            directions=settings.directions, starts=settings.starts, generator=generator,
            tolerance=settings.tolerance, max_steps=settings.max_steps,
        )  # fmt: skip
        return cls(radius, around, rests)

    def head(self, head: int) -> dict[str, Any]:
        rests = self.rests[:, head]
        radius = None if self.radius is None else self.radius[:, head][rests].double()
        returned = self.basins.returned[:, rests, head].mean(-1).tolist() if rests.any() else []
        return {
            "radius": None if radius is None else _median(radius),
            "radius_largest": None if radius is None or not len(radius) else float(radius.max()),
            "returned": returned,
            "half_radius": half_radius(returned) if returned else None,
            "reached": _mean(self.basins.reached[:, head][rests]),
            "ends": _mean(self.basins.ends[:, head][rests].double()),
        }


def _like(rests: Tensor, states: Tensor) -> Tensor:
    """(N, H) as it goes with states (N, H, L, D), (N, M, H, L, D) or (N, H, D)."""
    rests = rests if states.ndim < 5 else rests.unsqueeze(1)
    return rests.reshape(*rests.shape, *(1,) * (states.ndim - rests.ndim))


def _places(
    problem: Problem, ended: Iterated, most: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Samples and positions of some states, those first that are at rest in most heads."""
    settled = (ended.outcome == REST).sum(1)  # (B, L)
    if problem.energy.states_interact:
        most = max(1, min(2, most))
        settled = settled[:, :1]
    drawn = torch.rand(settled.shape, generator=generator).to(settled.device)
    order = (settled + drawn).flatten().argsort(descending=True)[:most]
    return order // settled.shape[1], order % settled.shape[1]


def _median(numbers: Tensor) -> float | None:
    """The middle number, of an even number of them the lower one; None of none."""
    middle = float(numbers.double().median()) if numbers.numel() else math.nan
    return middle if math.isfinite(middle) else None


def _mean(numbers: Tensor) -> float | None:
    return float(numbers.double().mean()) if numbers.numel() else None


def by_layer(heads: Sequence[HeadFixedPoints]) -> dict[tuple[str, ...], list[HeadFixedPoints]]:
    """The heads of every call, in order."""
    layers: dict[tuple[str, ...], list[HeadFixedPoints]] = {}
    for head in heads:
        layers.setdefault((head.layer,), []).append(head)
    return layers


def class_shares(heads: Sequence[HeadFixedPoints]) -> dict[str, float]:
    """The share of the states of several heads by class, and of those that did not come to rest.

    Every head counts alike; heads without weights are left out.
    """
    counted = [head for head in heads if head.classes or not head.rests]
    shares = dict.fromkeys([*(one.name for one in CLASSES), UNSETTLED], 0.0)
    for head in counted:
        rest = head.outcomes["rest"]
        for name, share in head.classes.items():
            shares[name] += share * rest / len(counted)
        shares[UNSETTLED] += (1 - rest) / len(counted)
    return shares
