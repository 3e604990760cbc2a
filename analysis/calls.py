"""Every call of an attention layer in one forward pass, with the problem that its states solve.

`B` batch, `H` heads, `L` states (queries), `S` stored patterns (keys), `D` width of a head.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from attenergy.analysis.untouched import untouched
from attenergy.attention.integrations.huggingface import attention_modules, energize
from attenergy.attention.integrations.huggingface.interface import HEADS
from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.attention.integrations.replace import replace_attention
from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.layers.energy_transformer_block import EnergyTransformerBlock
from attenergy.attention.mixers import Mixer
from attenergy.attention.models.layer_record import (
    LayerRecord,
    no_energy,
    no_weights,
    weights_of,
)
from attenergy.attention.modules.arguments import check_module
from attenergy.attention.modules.projections import visible
from attenergy.attention.solvers.problem import Problem, pose
from attenergy.attention.solvers.relax import Relaxation
from attenergy.energies import Energy, make_energy
from attenergy.registry import AnalysisError

#: How a call's problem is to be understood.
OWN, READ_AS_LSE = "own", "log-sum-exp"
#: Where the heads of an exchanged module stand below it.
_BELOW = (f".{HEADS}", ".heads")


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """One call of one attention layer.

    Attributes:
        name: path of the layer in the model, `blocks.0.mixer`; `blocks.0.mixer (2)` at its second
            call.
        layer: the layer, of the model that was given.
        problem: energy, stored patterns X (B, H, S, D), mask and field, with the energy's value,
            gradient and weights at any states; of a layer with an energy for each step, that of
            the last step. None if there is no energy.
        relaxation: the states (T, B, H, L, D) before the first move and after every one, with their
            energies; T = 1 where the reading is the only step. None if there is no energy.
        weights: (B, H, L, S) at the state that is read, before dropout; None if there are none.
        missing: why problem or weights are None, in words; empty if both are there.
        reading: `own`, the layer's energy; `log-sum-exp`, softmax attention read as one step down
            that energy, from the query; empty if there is no energy.
        step_size: gamma of the moves and of the reading; 1 for softmax attention.

    Example:
        >>> layer = torch.nn.Sequential(attenergy.EnergyAttention(16, 2, steps=2))
        >>> call = attention_calls(layer, torch.randn(1, 5, 16))[0]
        >>> call.name, call.weights.shape
        ('0', torch.Size([1, 2, 5, 5]))
    """

    name: str
    layer: nn.Module
    problem: Problem | None
    relaxation: Relaxation | None
    weights: Tensor | None
    missing: str = ""
    reading: str = ""
    step_size: float = 1.0

    @property
    def start(self) -> Tensor | None:
        """(B, H, L, D): the states before the first move."""
        states = None if self.relaxation is None else self.relaxation.states
        return None if states is None else states[0]

    @property
    def end(self) -> Tensor | None:
        """(B, H, L, D): the states that are read."""
        return None if self.relaxation is None else self.relaxation.state

    @property
    def energy(self) -> Energy | None:
        """The energy of the problem."""
        return None if self.problem is None else self.problem.energy

    def __str__(self) -> str:
        energy = "no energy" if self.energy is None else self.energy.spec.title
        read = " (softmax attention read as one step)" if self.reading == READ_AS_LSE else ""
        return "; ".join(filter(None, [f"{self.name}: {energy}{read}", self.missing]))


def attention_calls(
    model: nn.Module, /, *inputs: Any, keep_graph: bool = False, **arguments: Any
) -> tuple[AttentionCall, ...]:
    """Call `model(*inputs, **arguments)` once and record every attention layer in it.

    Layers of an energy are taken as they are. Softmax attention is read as one step down the
    log-sum-exp energy E(xi) = 1/2 |xi|^2 - lse(beta X xi + h)/beta from the query xi, which it
    equals: mixers whose weights are a softmax, `nn.MultiheadAttention`, and the attention of
    Hugging Face models. The latter two are read in a copy that shares the model's weights; masks,
    causality and padding hold as in the model. The model is unchanged, its buffers and the random
    state too: of a model in training mode, each call takes the same dropout.

    Args:
        model: any module with attention in it, not compiled.
        *inputs: its own.
        keep_graph: whether gradients can be taken of what is recorded.
        **arguments: its own.

    Returns:
        The calls in their order; other mixers have weights at most.

    Raises:
        TypeError: the model is no module.
        ValueError: it has no attention that is known here, or a Hugging Face model's is no softmax
            of scaled scores (capped scores, sinks).

    Example:
        >>> encoder = torch.nn.TransformerEncoderLayer(32, 4, batch_first=True)
        >>> call, = attenergy.analysis.attention_calls(encoder, torch.randn(2, 5, 32))
        >>> call.name, call.reading, call.weights.shape
        ('self_attn', 'log-sum-exp', torch.Size([2, 4, 5, 5]))
    """
    check_module("model", model)
    with ExitStack() as stack:
        stack.enter_context(untouched(model))
        reader, exchanged = _readable(model)
        record = _Record(model, exchanged)
        stack.enter_context(nullcontext() if keep_graph else torch.no_grad())
        if not stack.enter_context(record.watching(reader)):
            raise AnalysisError(
                f"{type(model).__name__} has no attention that can be read: no layer or mixer of "
                "attenergy, no nn.MultiheadAttention, no attention of transformers"
            )
        reader(*inputs, **arguments)
    return tuple(record.calls)


def sharing_copy(model: nn.Module) -> nn.Module:
    """A copy of a model with modules of its own and the model's own parameters and buffers."""
    held = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in held})


def _readable(model: nn.Module) -> tuple[nn.Module, frozenset[str]]:
    """The model, or a copy whose foreign attention is heads of log-sum-exp; and which those are."""
    plain = {
        name
        for name, part in model.named_modules()
        if isinstance(part, nn.MultiheadAttention)
        and not isinstance(part, EnergyMultiheadAttention)
    }
    foreign = {name for name, part in attention_modules(model).items() if not hasattr(part, HEADS)}
    if not (plain or foreign):
        return model, frozenset()
    reader = sharing_copy(model)
    if foreign:
        for part in _outermost(reader):
            energize(cast(Any, part), "lse", steps=1)
    for name in plain:
        exchanged = replace_attention(reader.get_submodule(name), "lse", steps=1)
        assert exchanged is reader.get_submodule(name)
    return reader, frozenset(plain | foreign)


def _outermost(model: nn.Module) -> Iterator[nn.Module]:
    """The models of transformers inside, each but those within another."""
    if hasattr(model, "set_attn_implementation"):
        yield model
        return
    for child in model.children():
        yield from _outermost(child)


class _Record(LayerRecord):
    """Fills in the calls while the model runs."""

    def __init__(self, model: nn.Module, exchanged: frozenset[str]) -> None:
        super().__init__()
        self.calls: list[AttentionCall] = []
        self._model, self._exchanged = model, exchanged

    def relaxed(self, name: str, layer: EnergyLayer, problem: Problem, xi: Tensor) -> None:
        """Record the states of a relaxation, and the weights at the one that is read."""
        place = next((name.removesuffix(end) for end in _BELOW if name.endswith(end)), name)
        place = "" if name in {end[1:] for end in _BELOW} else place
        reading = READ_AS_LSE if place in self._exchanged else OWN
        relaxation = layer.moved(problem, xi, trace=True)
        missing = no_weights(layer)
        weights = None if missing else problem.weights(relaxation.state)
        self._add(place, problem, relaxation, weights, missing, reading, layer.step_size)

    def mixed(
        self, name: str, layer: Mixer, args: tuple[Any, ...], arguments: Mapping[str, Any]
    ) -> None:
        """Record the softmax of a mixer as a problem, or the weights of another one."""
        if layer.softmax_weights:
            self._add_softmax(name, layer, args, arguments)
        else:
            weights = weights_of(layer, args, arguments)
            self._add(name, None, None, weights, no_energy(layer))

    def descended(
        self,
        name: str,
        layer: EnergyTransformerBlock,
        args: tuple[Any, ...],
        arguments: Mapping[str, Any],
    ) -> None:
        """Record that there was an energy transformer."""
        self._add(name, None, None, None, "the states of an energy transformer are of no head")

    def _add_softmax(
        self, name: str, layer: Mixer, args: tuple[Any, ...], arguments: Mapping[str, Any]
    ) -> None:
        """A mixer's softmax as log-sum-exp from its queries."""
        given = inspect.signature(layer.forward).bind(*args, **arguments).arguments
        q, k, _ = layer.heads(given["x"], given.get("context"))
        causal = given.get("is_causal", False) or layer.always_causal
        seen = visible(given.get("mask"), causal, q.shape[2], k.shape[2], q.device)
        field = given.get("field")
        energy = make_energy("lse", dim=q.shape[-1], num_heads=layer.num_heads)
        energy = energy.to(q.device, q.dtype).requires_grad_(False)
        field = None if field is None else field.to(q.dtype)
        problem, xi = pose(energy, q, k, seen, field, "auto")
        relaxation = Relaxation(xi, energies=problem.value(xi)[None], states=xi[None])
        self._add(name, problem, relaxation, problem.weights(xi), "", READ_AS_LSE)

    def _add(
        self,
        name: str,
        problem: Problem | None,
        relaxation: Relaxation | None,
        weights: Tensor | None,
        missing: str,
        reading: str = "",
        step_size: float = 1.0,
    ) -> None:
        layer = self._model.get_submodule(name)
        called = self.numbered(name or type(layer).__name__)
        call = AttentionCall(
            called, layer, problem, relaxation, weights, missing, reading, step_size
        )
        self.calls.append(call)
