"""The landscape of one head of a trained model, as a state of one sample sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from attenergy.analysis.calls import READ_AS_LSE, AttentionCall, attention_calls
from attenergy.analysis.landscapes.charts import chart_of
from attenergy.analysis.landscapes.landscape import HELD, Landscape, surveyed
from attenergy.analysis.landscapes.minima import grouped
from attenergy.analysis.landscapes.one_state import one_state
from attenergy.analysis.landscapes.wording import about_energy
from attenergy.analysis.result import Progress
from attenergy.analysis.subject import Subject
from attenergy.attention.solvers.problem import pose
from attenergy.registry import AnalysisError, UnknownName

#: Points along each axis of the section of a head.
RESOLUTION = 36
#: States of a sample whose relaxations are drawn, and from which heads are compared.
_PATHS, _COMPARED = 12, 48
#: Steps of that comparison, and how near two ends of it are one, as a share of the states' spread.
_STEPS, _NEAR = 30, 0.02


def head_landscape(
    call: AttentionCall,
    head: int = 0,
    *,
    sample: int = 0,
    state: int = -1,
    resolution: int | None = None,
    progress: Progress | None = None,
) -> Landscape:
    """The landscape of a head: E(xi; X) with the patterns that one state of one sample sees.

    A section: the plane through the mean of the sample's states (queries) in that head, along
    their first two principal components. The states themselves are where the paths begin.

    Args:
        call: of `attention_calls(model, ...)`.
        head: which head, from 0.
        sample: which sample of the batch.
        state: whose view of the patterns; the last if -1, which a causal mask lets see all.
        resolution: points along each axis; 36, fewer with very many patterns, or 720 around a
            circle.
        progress: called as the work goes on.

    Raises:
        ValueError: the layer has no energy, or there is no such head, sample or state.

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(16, 2, "lse"))
        >>> calls = attenergy.analysis.attention_calls(model, torch.randn(1, 5, 16))
        >>> surface = head_landscape(calls[0], head=1)
        >>> len(surface.minima.minima) >= 1
        True
    """
    problem, start = call.problem, call.start
    if problem is None or start is None:
        raise AnalysisError(f"{call.name} has no landscape: {call.missing or 'it has no energy'}")
    if start.ndim != 4:
        raise AnalysisError(f"{call.name} has no heads: its states are {tuple(start.shape)}")
    batch, heads, length, dim = start.shape
    for what, number, count in (("head", head, heads), ("sample", sample, batch)):
        if not 0 <= number < count:
            raise AnalysisError(f"{call.name} has {what}s 0 to {count - 1}, got {number}")
    if not -length <= state < length:
        raise AnalysisError(f"{call.name} has states 0 to {length - 1}, got {state}")
    if problem.energy.domain.discrete:
        raise AnalysisError(f"{call.name} has no surface: its states are spins")
    if dim < 2:
        raise AnalysisError(f"{call.name} has heads of width {dim}; a landscape needs two")
    energy, row = problem.energy, state % length
    X = _of_sample(problem.X, sample, head)
    mask, field = (_of_sample(extra, sample, head) for extra in (problem.mask, problem.field))
    queries = start[sample, head].detach().double().cpu()
    own_head = None if energy.num_heads is None else head
    if energy.states_interact:
        own = one_state(
            energy, X, mask=mask, field=field, head=own_head, states=start[sample], place=row
        )
    else:
        mask, field = _of_state(mask, row), _of_state(field, row)
        if mask is not None and not energy.patterns_interact:  # masking equals deleting
            seen = mask.reshape(-1)
            X, field = X[..., seen, :], None if field is None else field[..., seen]
            mask = None
        if not X.shape[-2]:
            raise AnalysisError(f"state {row} of sample {sample} sees no pattern")
        own = one_state(energy, X, mask=mask, field=field, head=own_head)
    with torch.no_grad():
        queries = own.project(queries)
        cloud = queries if length > 2 else torch.cat([queries, own.patterns])
        chart = chart_of(energy.domain, cloud, shown=torch.cat([cloud, own.patterns]))
    remarks = [
        f"{energy.spec.title}; sample {sample}, with the {len(own.patterns)} patterns that its "
        f"state {row} sees."
    ]
    if own.held is not None:
        remarks.append(HELD.format("the model has them"))
    if call.reading == READ_AS_LSE:
        remarks.append(
            "The layer is softmax attention, which is one step down the log-sum-exp energy: the "
            "minima are where it would come to rest if it went on."
        )
    return surveyed(
        own,
        chart,
        about_energy(f"{call.name} head {head}", own),
        starts=queries[_some(length, _PATHS)],
        resolution=resolution,
        finest=RESOLUTION,
        step_size=call.step_size if isinstance(call.step_size, (int, float)) else None,
        remarks=tuple(remarks),
        progress=progress,
    )


def chosen_head(
    calls: Sequence[AttentionCall], head: str | None = None, *, sample: int = 0, state: int = -1
) -> tuple[AttentionCall, int]:
    """The call and the head that a text like `blocks.0.mixer:2` names.

    Args:
        calls: of `attention_calls(model, ...)`.
        head: layer and head, or a layer alone for its first head; if None, the head whose states
            come to rest at the most places.
        sample: which sample of the batch; see `head_landscape`.
        state: see there.

    Raises:
        ValueError: there is none of that name, or no layer has an energy.
    """
    known = {call.name: call for call in calls if _has_landscape(call)}
    if not known:
        raise AnalysisError(
            "no attention layer of the model has an energy over states that move freely, so none "
            "has a landscape"
        )
    if head is not None:
        name, _, number = head.rpartition(":")
        if not name or not number.isdecimal():
            name, number = head, "0"
        if name not in known:
            raise UnknownName("attention layer with a landscape", name, known)
        return known[name], int(number)
    best, most = (next(iter(known.values())), 0), 0
    for call in known.values():
        for place, count in enumerate(_places_of_rest(call, sample, state)):
            if count > most:
                best, most = (call, place), count
    return best


def _has_landscape(call: AttentionCall) -> bool:
    """Whether there is an energy whose states are neither spins nor players of a game."""
    if call.problem is None or call.start is None or call.start.ndim != 4:
        return False
    energy = call.problem.energy
    is_game = not (energy.reads_patterns or energy.states_interact)
    return not (energy.domain.discrete or is_game)


@torch.no_grad()
def _places_of_rest(call: AttentionCall, sample: int, state: int) -> list[int]:
    """At how many places the states of a sample gather, in each head, after a few steps."""
    problem, start = call.problem, call.start
    if problem is None or start is None or start.ndim != 4 or problem.energy.states_interact:
        return []
    some = _some(start.shape[-2], _COMPARED)
    xi = start[sample][:, some]
    mask, field = (
        _of_state(_of_sample(extra, sample, None), state) for extra in (problem.mask, problem.field)
    )
    X = _of_sample(problem.X, sample, None)
    own, xi = pose(problem.energy, xi, X, mask, field, "auto")
    for _ in range(_STEPS):
        xi = own.moved(xi, call.step_size * own.direction(xi))
    spread = (start[sample] - start[sample].mean(-2, keepdim=True)).norm(dim=-1).amax(-1)
    ends = xi.double().cpu()
    return [len(grouped(ends[h], _NEAR * max(float(spread[h]), 1e-6))[1]) for h in range(len(ends))]


def _of_sample(extra: Any, sample: int, head: int | None) -> Any:
    """What belongs to a sample, and to one of its heads: (H|1, n, m), or None."""
    if extra is None:
        return None
    extra = extra.reshape(*(1,) * (4 - extra.ndim), *extra.shape)
    extra = extra[sample if extra.shape[0] > 1 else 0].detach()
    return extra if head is None or extra.shape[0] == 1 else extra[head : head + 1]


def _of_state(extra: Tensor | None, state: int) -> Tensor | None:
    """The row of a state, (H|1, 1, S), or None."""
    if extra is None:
        return None
    row = state % extra.shape[-2] if extra.shape[-2] > 1 else 0
    return extra[..., row : row + 1, :]


def _some(count: int, most: int) -> list[int]:
    """Numbers below `count`, at most so many, evenly spaced."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def subject_landscape(
    subject: Subject, options: Mapping[str, Any], progress: Progress | None = None
) -> Landscape:
    """The landscape of a head of a subject's model, for its first batch.

    Args:
        subject: with a model that has energies.
        options: `head` (`blocks.0.mixer:2`), `sample` and `state`, as far as they are given.
        progress: called as the work goes on.

    Raises:
        ValueError: see `chosen_head` and `head_landscape`.
    """
    inputs, arguments = subject.batches[0]
    calls = attention_calls(subject.model, *inputs, **arguments)
    sample, state = int(options.get("sample") or 0), options.get("state")
    place = -1 if state is None else int(state)
    call, head = chosen_head(calls, options.get("head"), sample=sample, state=place)
    return head_landscape(call, head, sample=sample, state=place, progress=progress)
