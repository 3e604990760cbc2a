"""Energies before and after every step and every block, while data flows through a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from attenergy.analysis.calls import AttentionCall, attention_calls
from attenergy.analysis.depth.result import EnergyAlongDepth, SharedLayer
from attenergy.analysis.depth.steps import BlockChange, Change, change, layer_steps
from attenergy.analysis.depth.stream import BlockRun, block_runs, run_again
from attenergy.analysis.result import Progress
from attenergy.analysis.subject import Subject
from attenergy.registry import AnalysisError


def energy_along_depth(
    model: nn.Module,
    /,
    *inputs: Any,
    blocks: bool = True,
    progress: Progress | None = None,
    **arguments: Any,
) -> EnergyAlongDepth:
    r"""Take the energy of every head before and after each step of one forward pass.

    Three questions, each about states xi on the patterns X that the head had:

        steps    does each step of a layer lower E(xi; X)? The reading by weights is the last step:
                 with the patterns as values it is xi - grad E/A. Softmax attention is read as that
                 one step down the log-sum-exp energy (`attention_calls`).
        blocks   does the whole block (all heads, output map, residual, feed-forward part) lower the
                 energies of its own heads? Its energy at what it was given against that at what it
                 returned, with its own norm and map to queries at both, and the patterns held: for
                 that the block is run again, on what it returned. As a control, the next block's
                 energies at the same two.
        shared   for a layer that is called several times: one energy, that of the first call, at
                 the states of all calls.

    Energies of different blocks are different functions with different units, so E_b(xi_b) is never
    compared with E_c(xi_c); changes are given in units of the spread (standard deviation over
    states) of the energy they are of.

    Args:
        model: with attention of ours, of Hugging Face or of PyTorch; unchanged.
        *inputs: its own.
        blocks: whether blocks are run again; about three forward passes more.
        progress: called with what is done, how much, of how much.
        **arguments: the model's own.

    Raises:
        ValueError: the model has no attention that is known here, or none of it has an energy.

    Example:
        >>> model = attenergy.EnergyAttention(32, 4, energy="lse", steps=3)
        >>> seen = attenergy.analysis.energy_along_depth(model, torch.randn(2, 5, 32))
        >>> seen.layers[0].labels, seen.layers[0].steps[0].fell
        (['step 1', 'step 2', 'reading'], [1.0, 1.0, 1.0, 1.0])
    """
    if progress is not None:
        progress("forward pass", 0, 1)
    if blocks:
        calls, runs = block_runs(model, inputs, arguments)
    else:
        calls, runs = attention_calls(model, *inputs, **arguments), []
    missing = {call.name: call.missing for call in calls if call.problem is None}
    if len(missing) == len(calls):
        raise AnalysisError(
            f"no layer of {type(model).__name__} has an energy: "
            + "; ".join(f"{name}: {why}" for name, why in missing.items())
        )
    layers = []
    for index, call in enumerate(calls):
        if progress is not None:
            progress(f"energies of {call.name}", index, len(calls))
        if call.problem is not None:
            layers.append(layer_steps(call))
    changes, failures = _changes(model, runs, progress)
    return EnergyAlongDepth(layers, changes, _shared(calls), {**missing, **failures})


def energy_of(
    subject: Subject, options: Mapping[str, Any], progress: Progress | None = None
) -> EnergyAlongDepth:
    """`energy_along_depth` of a subject's first batch, as the catalogue runs it."""
    inputs, arguments = subject.batches[0]
    return energy_along_depth(subject.model, *inputs, progress=progress, **options, **arguments)


def _changes(
    model: nn.Module, runs: Sequence[BlockRun], progress: Progress | None
) -> tuple[list[BlockChange], dict[str, str]]:
    """What every block does to the energies of its own heads, and of the next block's."""
    changes, failures = [], {}
    for index, run in enumerate(runs):
        if progress is not None:
            progress(f"{run.name} again", index, len(runs))
        other = runs[(index + 1) % len(runs)]
        wanted = [(run, run.out)]
        if other.name != run.name:
            wanted += [(other, run.h), (other, run.out)]
        (own, *control), why = run_again(model, wanted)
        if why:
            failures[run.name] = why
        for place, call in enumerate(run.calls if own else ()):
            here = _between(call, call.start, own[place].start)
            if here is None:
                continue
            aside = None
            if control and place < min(map(len, (*control, other.calls))):
                theirs = [one[place].start for one in control]
                aside = _between(other.calls[place], *theirs)
            changes.append(BlockChange(run.name, call.name, here, other.name, aside))
    if progress is not None:
        progress("energies along depth", 1, 1)
    return changes, failures


def _between(call: AttentionCall, before: Tensor | None, after: Tensor | None) -> Change | None:
    """The change of a call's energies between two sets of states of its heads, if they are such."""
    if call.problem is None or call.start is None or before is None or after is None:
        return None
    if not before.shape == after.shape == call.start.shape:
        return None
    return change(call.problem, before, after)


def _shared(calls: Sequence[AttentionCall]) -> list[SharedLayer]:
    """The energy of the first call of each layer that is called again, at all its states."""
    by_layer: dict[int, list[AttentionCall]] = {}
    for call in calls:
        by_layer.setdefault(id(call.layer), []).append(call)
    shared = []
    for first, *later in by_layer.values():
        steps = [_between(first, first.start, call.start) for call in later]
        known = [step for step in steps if step is not None]
        if known:
            shared.append(SharedLayer(first.name, known))
    return shared
