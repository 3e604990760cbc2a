"""The tensors of a run in the middle of its training, by the names that they have in a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from attenergy.search.training.state import TrainingState

PER_PARAMETER = 8  # tensors of an optimiser's state, at most


class Unfit(Exception):
    """What was read is no checkpoint of this run; the message says why."""


class StateTensors:
    """Weights, buffers, the state of every optimiser, of the random generators, and losses.

    Args:
        state: of the run.
    """

    def __init__(self, state: TrainingState) -> None:
        self._state = state
        self._device = next(state.model.parameters(), torch.empty(0)).device

    def give(self) -> dict[str, Tensor]:
        """All of them, as copies on the CPU."""
        parts = dict(self._weights())
        for place, optimizer, parameter in self._optimized():
            for name, value in optimizer.state.get(parameter, {}).items():
                parts[f"{place}.{name}"] = value
        for name, values in self._lists():
            parts[name] = torch.tensor(values, dtype=torch.float64)
        parts["generator.cpu"] = torch.get_rng_state()
        if self._device.type == "cuda":
            parts["generator.cuda"] = torch.cuda.get_rng_state(self._device)
        return {
            name: part.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, part in parts.items()
        }

    def take(self, tensors: dict[str, Tensor]) -> None:
        """Put tensors into the state; nothing of it is changed before all have been looked at.

        Raises:
            Unfit: they are those of another run, or none at all.
        """
        rest = dict(tensors)
        weights = [(part, _like(name, part, rest)) for name, part in self._weights()]
        optimized = list(self._optimized())
        moments = [self._moments(place, parameter, rest) for place, _, parameter in optimized]
        lists = [(values, _list(name, rest)) for name, values in self._lists()]
        generators = self._generators(rest)
        if rest:
            raise Unfit(f"it holds {min(rest)[:100]!r}, which this run has not")
        try:
            for generator, value in generators:
                generator.set_state(value)
        except RuntimeError as error:
            raise Unfit(f"the state of its random generator: {error}") from None
        with torch.no_grad():
            for part, value in weights:
                part.copy_(value)
        for (_, optimizer, parameter), values in zip(optimized, moments, strict=True):
            if values:
                optimizer.state[parameter] = values
        for numbers, saved in lists:
            numbers[:] = saved

    def _lists(self) -> Iterator[tuple[str, list[float]]]:
        yield "losses", self._state.losses
        if self._state.energy_loss is not None:
            yield "energies", self._state.energies

    def _weights(self) -> Iterator[tuple[str, Tensor]]:
        model = self._state.model
        saved = model.state_dict()
        yield from ((f"model.{name}", value) for name, value in saved.items())
        for name, value in model.named_buffers():
            if name not in saved:  # not persistent: no part of the weights, but perhaps changing
                yield f"buffer.{name}", value

    def _optimized(self) -> Iterator[tuple[str, torch.optim.Optimizer, Tensor]]:
        """Every parameter that an optimiser has, with the name of its place there."""
        for number, optimizer in enumerate(self._state.optimizers.optimizers):
            parameters = (p for group in optimizer.param_groups for p in group["params"])
            for index, parameter in enumerate(parameters):
                yield f"optimizer.{number}.{index}", optimizer, parameter

    def _moments(self, place: str, parameter: Tensor, rest: dict[str, Tensor]) -> dict[str, Any]:
        """An optimiser's state of one parameter, taken out of what is left."""
        prefix = f"{place}."
        names = [name for name in rest if name.startswith(prefix)][: PER_PARAMETER + 1]
        moments = {}
        for name in names:
            value = rest.pop(name)
            if (
                value.shape not in {parameter.shape, torch.Size([])}
                or not value.is_floating_point()
            ):
                raise Unfit(f"{name[:100]!r} does not fit its parameter")
            if value.shape == parameter.shape:  # laid out as the optimiser itself would
                moment = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            else:
                moment = value.to(parameter.device)
            moments[name.removeprefix(prefix)] = moment
        if len(moments) > PER_PARAMETER:
            raise Unfit(f"it holds more about {place!r} than an optimiser does")
        return moments

    def _generators(self, rest: dict[str, Tensor]) -> list[tuple[torch.Generator, Tensor]]:
        generators = {"generator.cpu": torch.default_generator}
        if self._device.type == "cuda":
            index = self._device.index or torch.cuda.current_device()
            generators["generator.cuda"] = torch.cuda.default_generators[index]
        return [(one, _like(name, one.get_state(), rest)) for name, one in generators.items()]


def _list(name: str, rest: dict[str, Tensor]) -> list[float]:
    """The numbers of a name, taken out of what is left."""
    values = rest.pop(name, None)
    if values is None or values.dtype != torch.float64 or values.ndim != 1:
        raise Unfit(f"it has no list of {name}")
    return [float(value) for value in values]


def _like(name: str, part: Tensor, rest: dict[str, Tensor]) -> Tensor:
    """The tensor of a name, taken out of what is left; it must have the form of `part`."""
    value = rest.pop(name, None)
    if value is None or value.shape != part.shape or value.dtype != part.dtype:
        form = "nothing" if value is None else f"{value.dtype} of {tuple(value.shape)}"
        wanted = f"{part.dtype} of {tuple(part.shape)}"
        raise Unfit(f"{name!r} should be {wanted}, it is {form}")
    return value
