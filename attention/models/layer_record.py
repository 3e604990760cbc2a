"""Watching every attention layer of a model while it runs; what is recorded is the subclass's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.layers.energy_transformer_block import EnergyTransformerBlock
from attenergy.attention.mixers import Mixer
from attenergy.attention.solvers.problem import Problem


class LayerRecord(ABC):
    """Is told of every relaxation, and of every call of a mixer or an energy transformer.

    A subclass writes the three methods without a body here.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[int]:
        """Watch the layers of a model, and give their number."""
        watched = 0
        with ExitStack() as stack:
            for name, layer in model.named_modules():
                if isinstance(layer, EnergyLayer):
                    stack.enter_context(self._relaxations(name, layer))
                elif isinstance(layer, (Mixer, EnergyTransformerBlock)):
                    hook = layer.register_forward_hook(self._hook(name), with_kwargs=True)
                    stack.callback(hook.remove)
                else:
                    continue
                watched += 1
            yield watched

    @abstractmethod
    def relaxed(self, name: str, layer: EnergyLayer, problem: Problem, xi: Tensor) -> None:
        """A layer is about to relax the states xi."""

    @abstractmethod
    def mixed(
        self, name: str, layer: Mixer, args: tuple[Any, ...], arguments: Mapping[str, Any]
    ) -> None:
        """A mixer was called."""

    @abstractmethod
    def descended(
        self,
        name: str,
        layer: EnergyTransformerBlock,
        args: tuple[Any, ...],
        arguments: Mapping[str, Any],
    ) -> None:
        """An energy transformer was called."""

    def numbered(self, name: str) -> str:
        """The name of a call: `blocks.0.mixer`, and `blocks.0.mixer (2)` at the second one."""
        number = self._counts[name] = self._counts.get(name, 0) + 1
        return name if number == 1 else f"{name} ({number})"

    @contextmanager
    def _relaxations(self, name: str, layer: EnergyLayer) -> Iterator[None]:
        before = layer.watch
        layer.watch = lambda problem, xi: self.relaxed(name, layer, problem, xi)
        try:
            yield
        finally:
            layer.watch = before

    def _hook(self, name: str) -> Any:
        def after(layer: nn.Module, args: Any, arguments: dict[str, Any], out: Any) -> None:
            if isinstance(layer, EnergyTransformerBlock):
                self.descended(name, layer, args, arguments)
            else:
                assert isinstance(layer, Mixer)
                self.mixed(name, layer, args, arguments)

        return after


def no_weights(layer: EnergyLayer) -> str:
    """Why a layer's weights are missing; empty if its energy has some."""
    if layer.energy.has_weights:
        return ""
    return f"'{layer.energy.spec.title}' has no weights over patterns"


def no_energy(layer: Mixer) -> str:
    """Why a mixer's problem, and perhaps its weights, are missing."""
    if layer.has_weights:
        return f"{type(layer).__name__} has no energy"
    return f"{type(layer).__name__} has neither an energy nor weights over patterns"


def weights_of(layer: Mixer, args: tuple[Any, ...], arguments: Mapping[str, Any]) -> Tensor | None:
    """The weights (B, H, L, S) of a mixer's call, without dropout; None if it has none."""
    if not layer.has_weights:
        return None
    training, layer.training = layer.training, False  # of dropout, no other part
    try:
        _, weights = layer.forward(*args, **{**arguments, "need_weights": True})
    finally:
        layer.training = training
    return weights
