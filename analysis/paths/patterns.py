"""What paths are made of: the attention patterns of every layer, and what the first layer reads.

`B` batch, `H` heads, `L` positions that are computed, `S` positions that are read, `E` model width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.analysis.calls import AttentionCall, attention_calls
from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.layers.head_groups import HeadGroups
from attenergy.attention.mixers import Mixer
from attenergy.registry import AnalysisError, UnknownName

#: A name of a call: the module, and the number of the call.
_NAME = re.compile(r"^(?P<module>.*?)(?P<call> \(\d+\))?$")


@dataclass(frozen=True, eq=False)
class Patterns:
    """The attention patterns of one batch.

    Attributes:
        names: of the layers, from the first to the last; `blocks.0.mixer`.
        weights: of each layer (B, H, S, S); the last may be (B, H, L, S).
        inputs: what the first layer reads, (B, S, E).
        outputs: what the last layer gives at its L positions, (B, L, E'); None if that is no such
            tensor.
        parts: the modules of each layer, several if its heads are in groups.
    """

    names: tuple[str, ...]
    weights: tuple[Tensor, ...]
    inputs: Tensor
    outputs: Tensor | None
    parts: tuple[tuple[nn.Module, ...], ...]

    @property
    def heads(self) -> tuple[int, ...]:
        """H of each layer."""
        return tuple(weights.shape[1] for weights in self.weights)


def read_patterns(
    model: nn.Module,
    inputs: Sequence[Any],
    arguments: Mapping[str, Any],
    layers: Sequence[str] | None = None,
) -> Patterns:
    """Run a model on one batch and collect the attention of its layers, in the order of the calls.

    Args:
        model: any model that `attention_calls` reads.
        inputs: what it is called with.
        arguments: the same, by name.
        layers: names of the layers that follow one another; all of them if None.

    Raises:
        ValueError: a layer has no attention weights, its positions are not those of the layer
            before, or there is none.
    """
    calls = _by_layer(model, attention_calls(model, *inputs, **arguments), layers)
    names = tuple(calls)
    weights = tuple(_weights(name, part) for name, part in calls.items())
    parts = tuple(tuple(call.layer for call in part) for part in calls.values())
    _check_chain(names, weights)
    with _watched(parts) as seen, torch.no_grad():
        model(*inputs, **arguments)
    if layers is None:
        _check_sequences(names, parts, seen, arguments)
    first = _sequence(parts[0][0], *seen.called[parts[0][0]])
    if first is None or first.shape[:2] != (weights[0].shape[0], weights[0].shape[-1]):
        raise AnalysisError(
            f"'{names[0]}' reads no sequence of {weights[0].shape[-1]} positions that its weights "
            "are over; name the layers that follow one another in `layers`"
        )
    outputs = [out for out in map(_tensor, seen.returned) if out is not None]
    total = None
    if outputs and len(outputs) == len(parts[-1]):
        total = torch.stack(outputs).sum(0)
        if not getattr(parts[-1][0], "batch_first", True):
            total = total.transpose(0, 1)
    return Patterns(names, weights, _widened(first.detach()), total, parts)


def _by_layer(
    model: nn.Module, calls: Sequence[AttentionCall], layers: Sequence[str] | None
) -> dict[str, list[AttentionCall]]:
    """Layer -> its calls, one of each group of heads."""
    joined: dict[str, list[AttentionCall]] = {}
    for call in calls:
        match = _NAME.match(call.name)
        assert match is not None  # every part of the pattern may be empty
        name = _layer_name(model, match["module"]) + (match["call"] or "")
        joined.setdefault(name, []).append(call)
    if layers is not None:
        for name in layers:
            if name not in joined:
                raise UnknownName("attention layer", name, joined)
        joined = {name: joined[name] for name in layers}
    if not joined:
        raise AnalysisError("there is no attention layer whose paths could be followed")
    return joined


def _layer_name(model: nn.Module, module: str) -> str:
    """The layer that a group of heads belongs to, or the module itself."""
    holder = module.rpartition(".")[0]
    if holder != "groups" and not holder.endswith(".groups"):
        return module
    layer = holder.removesuffix("groups").removesuffix(".")
    if not isinstance(model.get_submodule(layer), HeadGroups):
        return module
    return layer or type(model).__name__


def _weights(name: str, calls: Sequence[AttentionCall]) -> Tensor:
    for call in calls:
        if call.weights is None:
            raise AnalysisError(
                f"'{name}' has no attention weights, and without them it has no paths: "
                f"{call.missing}"
            )
    weights = [call.weights for call in calls if call.weights is not None]
    return _widened(torch.cat(weights, 1).detach())


def _check_chain(names: Sequence[str], weights: Sequence[Tensor]) -> None:
    batch, stored = weights[0].shape[0], weights[0].shape[-1]
    for number, (name, each) in enumerate(zip(names, weights, strict=True)):
        last = number == len(names) - 1
        fits = each.shape[0] == batch and each.shape[-1] == stored
        if not fits or (each.shape[-2] != stored and not last):
            raise AnalysisError(
                f"paths go through layers of one sequence, and '{name}' has weights of shape "
                f"{tuple(each.shape)} where {stored} positions read {stored}; name the layers "
                "that follow one another in `layers`"
            )


@dataclass(frozen=True, eq=False)
class _Seen:
    """What each layer is called with first, and what the parts of the last one return."""

    called: dict[nn.Module, tuple[tuple[Any, ...], dict[str, Any]]]
    returned: list[Any]


@contextmanager
def _watched(parts: Sequence[Sequence[nn.Module]]) -> Iterator[_Seen]:
    seen = _Seen({}, [])

    def before(layer: nn.Module, args: Any, arguments: Any) -> None:
        seen.called.setdefault(layer, (args, arguments))

    def after(_: nn.Module, __: Any, out: Any) -> None:
        seen.returned.append(out)

    every = dict.fromkeys(part for layer in parts for part in layer)
    hooks = [part.register_forward_pre_hook(before, with_kwargs=True) for part in every]
    hooks += [part.register_forward_hook(after) for part in parts[-1]]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _check_sequences(
    names: Sequence[str],
    parts: Sequence[Sequence[nn.Module]],
    seen: _Seen,
    arguments: Mapping[str, Any],
) -> None:
    """Refuse a layer that reads another sequence than the one whose states it moves."""
    for number, (name, layer) in enumerate(zip(names, parts, strict=True)):
        if number == len(names) - 1 and "rows" in arguments:
            continue  # some positions of the sequence read all of it
        if any(_reads_another(part, *seen.called[part]) for part in layer):
            raise AnalysisError(
                f"'{name}' reads another sequence than its own, and paths go through layers of one;"
                " name those that follow one another in `layers`"
            )


def _reads_another(layer: nn.Module, args: Sequence[Any], arguments: Mapping[str, Any]) -> bool:
    if isinstance(layer, nn.MultiheadAttention):
        query, key = (
            args[i] if len(args) > i else arguments.get(name)
            for i, name in enumerate(("query", "key"))
        )
        return key is not query
    others = ("context", "encoder_hidden_states", "key_value_states")
    if isinstance(layer, (EnergyLayer, Mixer)) and len(args) > 1 and args[1] is not args[0]:
        return args[1] is not None
    return any(arguments.get(name) is not None for name in others)


def _sequence(layer: nn.Module, args: Sequence[Any], arguments: Mapping[str, Any]) -> Tensor | None:
    """What a layer reads, (B, S, E), of what it was called with."""
    query = next((x for x in (*args, *arguments.values()) if isinstance(x, Tensor)), None)
    if isinstance(layer, nn.MultiheadAttention):
        key = args[1] if len(args) > 1 else arguments.get("key")
        read = key if isinstance(key, Tensor) else query
        if read is None or read.ndim == 2:
            return None if read is None else read.unsqueeze(0)
        return read if layer.batch_first else read.transpose(0, 1)
    context = args[1] if len(args) > 1 else arguments.get("context")
    # A last block that computes some positions reads the whole sequence as its context.
    read = context if isinstance(context, Tensor) and context.ndim == 3 else query
    return read if read is not None and read.ndim == 3 else None


def _tensor(out: Any) -> Tensor | None:
    out = out[0] if isinstance(out, tuple) and out else out
    return _widened(out.detach()) if isinstance(out, Tensor) and out.ndim == 3 else None


def _widened(x: Tensor) -> Tensor:
    """At least single precision: products of patterns lose too much in half."""
    return x if x.dtype in {torch.float32, torch.float64} else x.float()
