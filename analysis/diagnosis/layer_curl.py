"""Whether a whole attention layer, from its input to its output, is the gradient of anything."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from attenergy.analysis.diagnosis.derivatives import PROBES, SAMPLES
from attenergy.analysis.diagnosis.linear_maps import LinearMap, asymmetry
from attenergy.analysis.untouched import untouched
from attenergy.attention.modules.modes import evaluating
from attenergy.attention.solvers.fixed_point import UnsolvedGradient

#: What a layer was called with.
Given = tuple[tuple[Any, ...], dict[str, Any]]


@torch.no_grad()
def inputs_of(
    model: nn.Module, layers: list[nn.Module], inputs: tuple[Any, ...], arguments: dict[str, Any]
) -> dict[nn.Module, Given]:
    """What each of the layers is called with, the first time that it is, in one forward pass."""
    seen: dict[nn.Module, Given] = {}

    def remember(layer: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.setdefault(layer, (args, named))

    with ExitStack() as stack:
        stack.enter_context(untouched(model))
        stack.enter_context(_without_fast_path())
        for layer in set(layers):
            hook = layer.register_forward_pre_hook(remember, with_kwargs=True)
            stack.callback(hook.remove)
        model(*inputs, **arguments)
    return seen


def curl_of_layer(layer: nn.Module, given: Given, generator: torch.Generator) -> float:
    """|J - J'| / |J| of the layer's output by its input; nan if the two differ in shape.

    The input counts wherever it enters, as queries, keys and values.
    """
    args, named = given
    x = next((v for v in (*args, *named.values()) if _is_input(v)), None)
    if x is None:
        return math.nan
    batch = x.shape[0]

    def some(value: Any) -> Any:
        if hasattr(value, "get_seq_length"):
            return None  # a cache of earlier tokens, which would grow
        apart = isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] == batch
        return value[:SAMPLES] if apart and batch not in value.shape[1:] else value

    def call(z: Tensor) -> Tensor:
        moved = [z if v is x else some(v) for v in args]
        out = layer(*moved, **{n: z if v is x else some(v) for n, v in named.items()})
        first: Tensor = out[0] if isinstance(out, tuple) else out
        return first

    point = some(x)
    with (
        untouched(layer),
        evaluating(layer),  # dropout would draw anew at every call
        sdpa_kernel(SDPBackend.MATH),
        _without_fast_path(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UnsolvedGradient)  # what is at no minimum has a rule
        try:
            return _curl(call, point, generator)
        except (RuntimeError, NotImplementedError):  # no double backward pass
            return math.nan


def _curl(call: Callable[[Tensor], Tensor], point: Tensor, generator: torch.Generator) -> float:
    shapes = []

    def same_shape(z: Tensor) -> Tensor:
        out = call(z)
        shapes.append(out.shape)
        return out if out.shape == z.shape else z

    jacobian = LinearMap(same_shape, point)
    if shapes[0] != point.shape:
        return math.nan
    axes = tuple(range(point.ndim))
    return float(asymmetry(jacobian, point, generator, probes=PROBES, axes=axes))


def _is_input(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim == 3


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """PyTorch's encoder in one call leaves its attention out."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
