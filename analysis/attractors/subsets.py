"""Parts of a problem: some samples, some states of each, several starts for one landscape."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.attention.gradients.backends import Backend
from attenergy.attention.solvers.problem import Problem, pose
from attenergy.energies.masks import NEVER


def spread_states(
    problem: Problem, xi: Tensor, most: int, generator: torch.Generator
) -> tuple[Problem, Tensor, Tensor, Tensor]:
    """At most about `most` states of each head, drawn at random, at the same places in all heads.

    Args:
        problem: of the patterns (B, H, S, D).
        xi: (B, H, L, D).
        most: states of one head, from 1; whole samples are left out only where B exceeds it, or
            where states interact.
        generator: source of the places.

    Returns:
        The problem of these states, the states (B', H, L', D), and which samples (B',) and which
        positions (L',) they are.
    """
    batch, length = xi.shape[0], xi.shape[2]
    samples, positions = torch.arange(batch), torch.arange(length)
    if batch * length > most:
        if problem.energy.states_interact:
            samples = _some(batch, max(1, most // max(length, 1)), generator)
        else:
            samples = _some(batch, min(batch, most), generator)
            positions = _some(length, max(1, most // len(samples)), generator)
        samples, positions = samples.to(xi.device), positions.to(xi.device)
        xi = xi[samples][:, :, positions]
        X = _rows(problem.X, samples)
        mask, field = (_cut(e, samples, positions) for e in (problem.mask, problem.field))
        problem, xi = pose(problem.energy, xi, X, mask, field, problem.backend)
    return problem, xi, samples, positions


def landscapes(
    problem: Problem, samples: Tensor, positions: Tensor, starts: Tensor
) -> tuple[Problem, Tensor]:
    """Several starts for each of N states, every one in the landscape of that state.

    Args:
        problem: of the patterns (B, H, S, D).
        samples: (N,) which sample each state belongs to.
        positions: (N,) which state of the sample it is; unused where states interact.
        starts: (N, H, M, D), M for each state; (N, M, H, L, D) where states interact.

    Returns:
        The problem of all starts and the starts in it, in the energy's domain; where states
        interact, (N M, H, L, D).
    """
    energy = problem.energy
    if energy.states_interact:
        times = starts.shape[1]
        samples = samples.repeat_interleave(times)
        mask, field = (_cut(e, samples, None) for e in (problem.mask, problem.field))
        starts = starts.flatten(0, 1)
    else:
        mask, field = (_one_row(e, samples, positions) for e in (problem.mask, problem.field))
    backend: Backend = "scores" if energy.has_weights else "eager"
    posed, xi = pose(energy, starts, _rows(problem.X, samples), mask, field, backend)
    return posed, posed.where_occupied(xi, energy.project(xi))


def visible(problem: Problem, xi: Tensor) -> Tensor:
    """Which patterns each state sees, boolean, broadcastable to (B, H, L, S)."""
    seen = xi.new_ones(1, 1, 1, problem.stored(xi).shape[-2], dtype=torch.bool)
    if problem.mask is not None:
        seen = seen & _four(problem.mask)
    if problem.field is not None:
        seen = seen & ~(_four(problem.field) <= NEVER)
    return seen


def _some(size: int, most: int, generator: torch.Generator) -> Tensor:
    """Whole numbers below `size`, at most `most` of them, in order."""
    if size <= most:
        return torch.arange(size)
    return torch.randperm(size, generator=generator)[:most].sort().values


def _four(extra: Tensor) -> Tensor:
    """A mask or field with four axes."""
    return extra.expand(*(1,) * (4 - extra.ndim), *extra.shape) if extra.ndim < 4 else extra


def _rows(X: Tensor, samples: Tensor) -> Tensor:
    """The samples of what has a first axis of samples, or of 1 for all."""
    return X if X.ndim < 4 or X.shape[0] == 1 else X[samples]


def _cut(extra: Tensor | None, samples: Tensor, positions: Tensor | None) -> Tensor | None:
    """Samples and positions of a mask or a field."""
    if extra is None:
        return None
    extra = _rows(_four(extra), samples)
    return extra if positions is None or extra.shape[2] == 1 else extra[:, :, positions]


def _one_row(extra: Tensor | None, samples: Tensor, positions: Tensor) -> Tensor | None:
    """The row of each of N states, (N, H|1, 1, S)."""
    if extra is None:
        return None
    extra = _four(extra)
    first = samples if extra.shape[0] > 1 else torch.zeros_like(samples)
    third = positions if extra.shape[2] > 1 else torch.zeros_like(positions)
    return extra[first, :, third].unsqueeze(2)
