r"""A term of the training loss on the energies of a model's own layers.

`B` batch, `H` heads of all layers together, `L` states (queries), `S` stored patterns (keys), `D`
width of a head.

With E[b,h,i] = E(xi[b,h,i]; X[b,h], field) at the state that is read, after all moves,

    minimise  mean over b, h, i of E[b,h,i] / sqrt(D)
    contrast  mean over b, h, i of -log(exp(-e) / (exp(-e) + exp(-e'))) = softplus(e - e')

where e = E[b,h,i] / sqrt(D) and e' is the same state on the stored patterns, the mask and the field
of the sample before it in the batch. sqrt(D) is the temperature of scaled dot-product attention, so
a weight means about the same for heads of any width. Where states interact, E is one number for all
of them and counts as E / L. Padding, states that see no pattern, and in `contrast` those that
would see none, take no part; a mean over states comes first, then one over heads. Where a last
block computes only the scored positions, those are its states.

Softmax attention is read as one step of log-sum-exp from xi = q on X = k, with beta 1/sqrt(D).
`minimise` has no lower bound for most energies: longer patterns, or a field that grows alike for
all of them, lower E and leave what is read as it is. In `contrast` both cancel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.layers.energy_transformer_block import EnergyTransformerBlock
from attenergy.attention.layers.lookup import EnergyLookup
from attenergy.attention.mixers import CLASSES as MIXERS
from attenergy.attention.mixers import HypernetworkAttention, Mixer
from attenergy.attention.mixers.base import HeadInputs
from attenergy.attention.modules.projections import visible
from attenergy.attention.solvers.problem import Problem, pose
from attenergy.energies import Energy, make_energy
from attenergy.registry import (
    ArgumentError,
    EnergyLossSpec,
    EnergySpec,
    MixerSpec,
    TrainingSpec,
    VariantSpec,
)
from attenergy.registry.stacks import entries_of

_ANY_WIDTH = 8  # of an energy that is made to look at


class EnergyLoss:
    """The term of one kind for one model; its layers tell it their states while they compute.

    Args:
        model: whose layers all have an energy.
        term: kind and weight.

    Raises:
        ArgumentError: a layer has no energy, or none that can be contrasted, or there is no layer.

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(16, 2, "lse"))
        >>> loss = EnergyLoss(model, EnergyLossSpec(kind="minimise", weight=0.01))
        >>> with loss.recording():
        ...     out = model(torch.randn(2, 5, 16))
        ...     (out.square().mean() + loss.weight * loss.value()).backward()
    """

    def __init__(self, model: nn.Module, term: EnergyLossSpec) -> None:
        self.weight = term.weight
        self._contrast = term.kind == "contrast"
        self._layers: list[nn.Module] = []
        for name, layer in model.named_modules():
            if isinstance(layer, (EnergyLayer, EnergyTransformerBlock, Mixer)):
                if problem := _refused(layer, term.kind):
                    where = f"{name}: " if name else ""
                    raise ArgumentError(
                        f"energy_loss {term}: {where}{problem}", topic="option-value"
                    )
                self._layers.append(layer)
        if not self._layers:
            raise ArgumentError(
                f"energy_loss {term}: {type(model).__name__} has no layer of an energy",
                topic="option-value",
            )
        self._parts: list[Tensor] = []  # of each call of a layer, a number for every head
        self._there: Tensor | None = None
        self._scored: slice = slice(None)

    @contextmanager
    def recording(self, there: Tensor | None = None, scored: slice | None = None) -> Iterator[None]:
        """Record the energies of the forward pass inside, whose backward pass belongs in here too.

        Args:
            there: (B, L), False at padding; None without any. Other masks are the layers' own.
            scored: positions to which a last block may be restricted.
        """
        self._parts.clear()
        self._there = there if there is not None and there.ndim == 2 else None
        self._scored = slice(None) if scored is None else scored
        undo = [self._watch(layer) for layer in self._layers]
        try:
            yield
        finally:
            for each in undo:
                each()
            self._parts.clear()

    def value(self) -> Tensor:
        """The term without its weight, of the pass that was recorded last."""
        if not self._parts:
            raise RuntimeError("no layer has been called since the recording began")
        return torch.cat(self._parts).mean()

    def _watch(self, layer: nn.Module) -> Any:
        """Follow one layer; what ends it."""
        if isinstance(layer, EnergyLayer):
            layer.watch_end = self._add
            return lambda: setattr(layer, "watch_end", None)
        if isinstance(layer, Mixer):
            energy = make_energy("lse", dim=layer.projections.head_dim).requires_grad_(False)

            def read(heads: HeadInputs) -> None:
                q, k, _, mask, field, causal = heads
                seen = visible(mask, causal, q.shape[2], k.shape[2], q.device)
                self._add(*pose(energy.to(q.device), q, k, seen, field, "auto"))

            layer.watch = read
            return lambda: setattr(layer, "watch", None)

        def after(block: nn.Module, args: Any, arguments: dict[str, Any], out: Tensor) -> None:
            assert isinstance(block, EnergyTransformerBlock)
            inputs = {n: v for n, v in arguments.items() if n in {"mask", "field"}}
            energy = _wide(block.energy(block.normal(out), **inputs)) / math.sqrt(out.shape[-1])
            there = self._not_padding(out)
            count = out.shape[1] if there is None else there.sum((1, 2)).clamp(min=1)
            self._parts.append((energy / count).mean()[None])

        return layer.register_forward_hook(after, with_kwargs=True).remove

    def _add(self, problem: Problem, state: Tensor) -> None:
        """Add the energies of one call, at the state that is read."""
        scale = math.sqrt(state.shape[-1])
        own, counts = _wide(problem.value(state)) / scale, _occupied(problem)
        if self._contrast:
            other = _of_others(problem, state)
            own = softplus(own - _wide(other.value(state)) / scale)
            counts = _both(counts, _occupied(other))
        counts = _both(counts, self._not_padding(state))
        if problem.energy.states_interact:
            number = state.shape[-2] if counts is None else counts.sum(-1).clamp(min=1)
            self._parts.append((own / number).flatten(0, -2).mean(0))
        elif counts is None:
            self._parts.append(own.mean(-1).flatten(0, -2).mean(0))
        else:
            counts = counts.expand_as(own)
            total = torch.where(counts, own, 0).flatten(0, -3).sum((0, -1))
            self._parts.append(total / counts.flatten(0, -3).sum((0, -1)).clamp(min=1))

    def _not_padding(self, state: Tensor) -> Tensor | None:
        """Which states are no padding, (B, 1, L); None if all, or if the states are others."""
        if self._there is None:
            return None
        for there in (self._there, self._there[:, self._scored]):
            if there.shape == (state.shape[0], state.shape[-2]):
                return there[:, None, :].to(state.device)
        return None


def refused_variant(name: str, layer: VariantSpec, term: EnergyLossSpec) -> str:
    """Why the layers of a variant cannot have a term; empty if they can."""
    for entry in entries_of(name, layer).values():
        if reason := _refused_entry(entry, term.kind):
            return f"energy_loss {term}: {reason}"
    return ""


def _refused_entry(entry: EnergySpec | MixerSpec, kind: str) -> str:
    if isinstance(entry, MixerSpec):
        normalize = entry.options.get("normalize")
        cls = MIXERS.lookup(entry.class_)
        return _refused_mixer(cls, "" if normalize is None else str(normalize.default))
    if kind != "contrast":
        return ""
    return _refused_contrast(make_energy(entry, dim=_ANY_WIDTH, num_heads=1))


def _refused(layer: nn.Module, kind: str) -> str:
    """Why a layer cannot take part; empty if it can."""
    if isinstance(layer, Mixer):
        return _refused_mixer(type(layer), str(getattr(layer, "normalize", "")))
    if kind != "contrast":
        return ""
    if isinstance(layer, EnergyTransformerBlock):
        return _refused_contrast(layer.attention)
    assert isinstance(layer, EnergyLayer)
    if isinstance(layer, EnergyLookup):
        return "its patterns are learned, the same for all samples, so there are no others"
    return _refused_contrast(layer.energy)


def _refused_mixer(cls: type[Mixer], normalize: str) -> str:
    if cls is HypernetworkAttention and normalize == "softmax":
        return ""
    return f"{cls.__name__} has no energy; softmax attention and the energies have one"


def _refused_contrast(energy: Energy) -> str:
    if energy.reads_patterns:
        return ""
    title = energy.spec.title
    return f"'{title}' is of the states alone, without stored patterns to exchange; use minimise"


def _wide(energy: Tensor) -> Tensor:
    return energy.float() if energy.dtype in {torch.float16, torch.bfloat16} else energy


def _occupied(problem: Problem) -> Tensor | None:
    """Which states see a pattern, broadcastable to (B, H, L); None if all do."""
    mask = problem.mask
    return None if mask is None else mask.any(-1)


def _both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _of_others(problem: Problem, state: Tensor) -> Problem:
    """The problem in which every sample has the patterns, mask and field of the one before it."""

    def rolled(tensor: Tensor | None) -> Tensor | None:
        if tensor is None or tensor.ndim < state.ndim or tensor.shape[0] == 1:
            return tensor  # the same for all samples
        return tensor.roll(1, 0)

    patterns = rolled(problem.X)
    assert patterns is not None
    return replace(problem, X=patterns, mask=rolled(problem.mask), field=rolled(problem.field))


def make_energy_loss(
    model: nn.Module, training: TrainingSpec, variant: str = ""
) -> EnergyLoss | None:
    """The term that a training asks for; None without one.

    Args:
        model: of the run.
        training: of the run.
        variant: whose layers the model has, to be named in an error.

    Raises:
        ArgumentError: the model cannot have it, or a batch has no other sample to contrast with.
    """
    term = training.energy_term
    if term is None or not training.steps:
        return None
    if term.kind == "contrast" and training.batch_size < 2:
        raise ArgumentError(
            f"energy_loss {term} needs a batch_size of 2 at least, got {training.batch_size}",
            topic="option-value",
        )
    try:
        return EnergyLoss(model, term)
    except ArgumentError as error:
        raise ArgumentError(
            f"{variant}: {error}" if variant else str(error), topic="option-value"
        ) from None
