"""What all layers of a model do in one forward pass: states, energies and weights, step by step.

`T` states of a layer, `B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `D`
width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.layers.energy_transformer_block import EnergyTransformerBlock
from attenergy.attention.mixers import Mixer
from attenergy.attention.models.layer_record import (
    LayerRecord,
    no_energy,
    no_weights,
    weights_of,
)
from attenergy.attention.solvers.problem import Problem
from attenergy.attention.solvers.relax import Relaxation
from attenergy.energies import Energy
from attenergy.registry import ArgumentError, UnknownName


@dataclass(frozen=True, eq=False)
class TracedLayer:
    """One call of one layer.

    Attributes:
        name: of the layer in the model, `blocks.0.mixer`; `blocks.0.mixer (2)` at its second call.
        layer: the layer.
        weights: (T, B, H, L, S), over the patterns, at every state, before dropout. The last are
            those at the state that is read; None if there are none.
        relaxation: the states and energies of every head; None of a mixer. Where values are read by
            weights, the reading is the last step and moves no state, so T is the number of steps;
            where the state is read, T is one more.
        missing: why weights or energies are None, in words; empty if all is there.

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(16, 2, steps=3))
        >>> layer = attenergy.trace(model, torch.randn(1, 5, 16))[0]
        >>> layer.states.shape, layer.weights.shape
        (torch.Size([3, 1, 2, 5, 8]), torch.Size([3, 1, 2, 5, 5]))
    """

    name: str
    layer: nn.Module
    weights: Tensor | None
    relaxation: Relaxation | None
    missing: str = ""

    @property
    def states(self) -> Tensor | None:
        """(T, B, H, L, D) before the first move and after every one."""
        return None if self.relaxation is None else self.relaxation.states

    @property
    def energies(self) -> Tensor | None:
        """(T, B, H, L), or (T, B, H) for interacting states; (T, B) of an energy transformer."""
        return None if self.relaxation is None else self.relaxation.energies

    @property
    def residuals(self) -> Tensor | None:
        """(T - 1, B, H, L): the length of every state's gradient before the move."""
        return None if self.relaxation is None else self.relaxation.residuals

    @property
    def entropies(self) -> Tensor | None:
        """(T, B, H, L): of the weights, in nats."""
        return None if self.relaxation is None else self.relaxation.entropies

    def __str__(self) -> str:
        words = [f"{self.name}: {_title(self.layer)}"]
        if self.energies is not None:
            ends = [
                f"{float(e.double().mean()):.4g}" for e in (self.energies[0], self.energies[-1])
            ]
            words.append(
                f"mean energy {' -> '.join(dict.fromkeys(ends))} over {len(self.energies)} states"
            )
        if self.weights is not None:
            words.append(f"weights {tuple(self.weights.shape)}")
        return "; ".join([*words, *filter(None, [self.missing])])


@dataclass(frozen=True, eq=False)
class ModelTrace:
    """A forward pass and what its layers did.

    Attributes:
        out: what the model returned, as it does without a trace.
        layers: the calls of its layers, in their order.

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(16, 2, steps=3))
        >>> traced = attenergy.trace(model, torch.randn(1, 5, 16))
        >>> [layer.name for layer in traced.layers]
        ['0']
    """

    out: Any
    layers: tuple[TracedLayer, ...]

    def __getitem__(self, name: str | int) -> TracedLayer:
        """A call by its name, or by its place."""
        if isinstance(name, int):
            return self.layers[name]
        known = {layer.name: layer for layer in self.layers}
        if name not in known:
            raise UnknownName("traced layer", name, known)
        return known[name]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[TracedLayer]:
        return iter(self.layers)

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Layer -> weights (T, B, H, L, S), of those that have any."""
        return {each.name: each.weights for each in self.layers if each.weights is not None}

    @property
    def energies(self) -> Mapping[str, Tensor]:
        """Layer -> energies (T, B, H, L), of those that have one; see `TracedLayer.energies`."""
        return {each.name: each.energies for each in self.layers if each.energies is not None}

    @property
    def states(self) -> Mapping[str, Tensor]:
        """Layer -> states (T, B, H, L, D), of those that relax any."""
        return {each.name: each.states for each in self.layers if each.states is not None}

    def __str__(self) -> str:
        return "\n".join(map(str, self.layers))


def trace(
    model: nn.Module,
    /,
    *inputs: Any,
    keep_graph: bool = False,
    need_weights: bool = True,
    **arguments: Any,
) -> ModelTrace:
    """Call `model(*inputs, **arguments)` and record what every layer of the toolkit in it does.

    The model is any module that holds layers of ours: a `Transformer`, a model of your own, one
    whose attention was replaced, a single layer. Every layer computes what it always does, and its
    steps a second time for the record; so what the model returns is the same to the bit, and masks,
    causality and padding hold in the record as in the model. A layer that is called several times
    is recorded as often. In training mode dropout has no part in the record.

    Args:
        model: not compiled; nothing of it is changed.
        *inputs: its own.
        keep_graph: whether gradients can be taken, of the outputs and of what is recorded;
            else nothing is kept for a backward pass.
        need_weights: whether to record weights, T B H L S numbers a layer.
        **arguments: the model's own.

    Returns:
        A `ModelTrace`; of mixers there are weights at most, T = 1.

    Raises:
        ValueError: the model has no layer of ours.

    Example:
        >>> layer = attenergy.EnergyAttention(32, 4, energy="lse", steps=3)
        >>> seen = attenergy.trace(torch.nn.Sequential(layer), torch.randn(2, 5, 32))
        >>> seen["0"].energies.shape, seen["0"].weights.shape
        (torch.Size([3, 2, 4, 5]), torch.Size([3, 2, 4, 5, 5]))
    """
    record = _Record(need_weights)
    with nullcontext() if keep_graph else torch.no_grad(), record.watching(model) as watched:
        if not watched:
            raise ArgumentError(
                f"{type(model).__name__} holds no layer of an energy and no mixer to trace"
            )
        out = model(*inputs, **arguments)
    return ModelTrace(out, tuple(record.layers))


def block_weights(seen: ModelTrace, blocks: int) -> tuple[Tensor, ...]:
    """The weights (T, B, H, L, S) of each block `blocks.0`, `blocks.1`, ... of a traced model.

    Groups of heads of one layer stand one after the other in H.

    Raises:
        ValueError: a block has no attention or no weights, or its groups of heads take different
            numbers of steps.
    """
    parts: list[list[Tensor]] = [[] for _ in range(blocks)]
    for each in seen:
        number = int(each.name.split(".")[1])
        if each.weights is None:
            raise ArgumentError(
                f"block {number} gives no weights: {each.missing}; `attenergy.trace` gives those "
                "of the others",
                topic="no-weights",
            )
        parts[number].append(each.weights)
    for number, weights in enumerate(parts):
        if not weights:
            raise ArgumentError(
                f"block {number} gives no weights: it has no attention", topic="no-weights"
            )
        if len({len(each) for each in weights}) != 1:
            raise ArgumentError(
                f"block {number} gives no weights of one shape: "
                f"{[tuple(each.shape) for each in weights]}; `attenergy.trace` gives each",
                topic="no-weights",
            )
    return tuple(weights[0] if len(weights) == 1 else torch.cat(weights, 2) for weights in parts)


class _Record(LayerRecord):
    """Fills in the layers of a trace while the model runs."""

    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.layers: list[TracedLayer] = []
        self._need_weights = need_weights

    def relaxed(self, name: str, layer: EnergyLayer, problem: Problem, xi: Tensor) -> None:
        """Record the states of a relaxation, and the weights at each."""
        relaxation = layer.moved(problem, xi, trace=True)
        weights, missing = None, no_weights(layer)
        if not missing and self._need_weights and relaxation.states is not None:
            posed = [problem.of(cast(Energy, e)) for e in layer.earlier or ()]
            posed += [problem] * (len(relaxation.states) - len(posed))
            each = zip(posed, relaxation.states, strict=True)
            weights = torch.stack([here.weights(state) for here, state in each])
        self._add(name, layer, weights, relaxation, missing)

    def mixed(
        self, name: str, layer: Mixer, args: tuple[Any, ...], arguments: Mapping[str, Any]
    ) -> None:
        """Record the weights of a mixer."""
        weights = weights_of(layer, args, arguments) if self._need_weights else None
        one = None if weights is None else weights.unsqueeze(0)
        self._add(name, layer, one, None, no_energy(layer))

    def descended(
        self,
        name: str,
        layer: EnergyTransformerBlock,
        args: tuple[Any, ...],
        arguments: Mapping[str, Any],
    ) -> None:
        """Record the joint energies of an energy transformer."""
        relaxation = layer.forward(*args, **{**arguments, "trace": True})
        self._add(name, layer, None, relaxation, "its weights and states are of no head")

    def _add(
        self,
        name: str,
        layer: nn.Module,
        weights: Tensor | None,
        relaxation: Relaxation | None,
        missing: str,
    ) -> None:
        name = self.numbered(name)
        self.layers.append(TracedLayer(name, layer, weights, relaxation, missing))


def _title(layer: nn.Module) -> str:
    if isinstance(layer, EnergyLayer):
        return layer.energy.spec.title
    return type(layer).__name__
