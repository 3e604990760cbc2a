"""The gradient as a plain graph of tensor operations, for tools that cannot look into autograd.

`torch.export`, ONNX and checkpointing without re-entry refuse `torch.func.grad`. Here it is traced
once and replayed as ordinary operations, which all of them take. Only `torch.func.grad` may be
traced: a trace of `torch.autograd.grad` detaches what it saved, and trains wrongly without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import _disable_current_modes

from attenergy.energies import Energy
from attenergy.registry import AttenergyError

#: Axes of the largest input: states, patterns and batches get these lengths in the example, all
#: different, as the tracer takes equal lengths for the same length.
_PRIMES = (11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)


class TraceError(AttenergyError, ValueError):
    """An energy whose gradient cannot be written as one graph of operations."""

    topic = "backend"


class _Input(NamedTuple):
    """What a graph depends on besides numbers: which axes have length 1, type and device."""

    name: str
    single: tuple[bool, ...]
    dtype: torch.dtype
    device: torch.device


class _Key(NamedTuple):
    inputs: tuple[_Input, ...]
    parameters: tuple[torch.dtype, ...]
    lengths: tuple[int, int] | None  # L and S if the graph is for these only; None if for any


class _Traces:
    """The graphs of one energy, and what they took for constant."""

    def __init__(self) -> None:
        self.constants: tuple[object, ...] = ()
        self.graphs: dict[_Key, GraphModule | TraceError] = {}


# Beside the energies, not in them: copies, pickles and state dictionaries know nothing of it.
_TRACES: WeakKeyDictionary[Energy, _Traces] = WeakKeyDictionary()


def trace_needed() -> bool:
    """Whether `torch.func.grad` is refused here: under export, or while hooks save tensors.

    Checkpointing without re-entry works by such hooks.
    """
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting()
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


def traced_gradient(
    energy: Energy, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None
) -> Tensor:
    """grad_xi E, (..., L, D), by a graph that was traced at the first call of its kind.

    A graph serves all lengths; an energy on a graph of nodes has one for every number of nodes.
    There is one for each presence of mask and field, each set of axes of length 1, type and device.
    The energy's parameters are inputs, so that they train.

    Raises:
        TraceError: the energy cannot be traced, because what it does depends on numbers in its
            tensors, or because a graph of the user's differs between samples.
    """
    if torch.is_autocast_enabled(xi.device.type):
        # A graph keeps the types that it was traced with, so autocast may not change them.
        with torch.autocast(xi.device.type, enabled=False):
            field = None if field is None else _wide(field)
            wide = traced_gradient(energy, _wide(xi), _wide(X), mask, field)
            return wide.to(xi.dtype)
    given = {"xi": xi, "X": X, "mask": mask, "field": field}
    tensors = {name: tensor for name, tensor in given.items() if tensor is not None}
    state = _state(energy)
    graph = _graph(energy, tensors, state)
    gradient: Tensor = graph(*tensors.values(), *state.values())
    return gradient


def _wide(tensor: Tensor) -> Tensor:
    """In single precision, where it is less."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def _state(energy: Energy) -> dict[str, Tensor]:
    return {**dict(energy.named_parameters()), **dict(energy.named_buffers())}


def _graph(energy: Energy, tensors: dict[str, Tensor], state: dict[str, Tensor]) -> GraphModule:
    """The graph for such tensors: for any lengths if there can be one, else for these."""
    traces = _TRACES.setdefault(energy, _Traces())
    now = energy.constants()
    if len(now) != len(traces.constants) or any(
        a is not b for a, b in zip(now, traces.constants, strict=True)
    ):
        traces.constants = now
        traces.graphs.clear()
    inputs = tuple(
        _Input(name, tuple(bool(n == 1) for n in t.shape), t.dtype, t.device)
        for name, t in tensors.items()
    )
    any_length = _Key(inputs, tuple(p.dtype for p in state.values()), None)
    graph = _traced(traces, energy, any_length, state)
    if isinstance(graph, TraceError):
        stored = tensors["X" if energy.reads_patterns else "xi"].shape[-2]
        lengths = (int(tensors["xi"].shape[-2]), int(stored))
        graph = _traced(traces, energy, any_length._replace(lengths=lengths), state)
    if isinstance(graph, TraceError):
        raise graph
    return graph


def _traced(
    traces: _Traces, energy: Energy, key: _Key, state: dict[str, Tensor]
) -> GraphModule | TraceError:
    if key not in traces.graphs:
        # In a thread of its own, where no hook or mode of the caller's (checkpoint, autocast,
        # inference) is on; an exporter's modes reach even there.
        with _disable_current_modes(), ThreadPoolExecutor(1) as thread:
            traces.graphs[key] = thread.submit(_trace, energy, key, state).result()
    return traces.graphs[key]


def _trace(energy: Energy, key: _Key, state: dict[str, Tensor]) -> GraphModule | TraceError:
    names = [i.name for i in key.inputs]

    def step(*flat: Tensor) -> Tensor:
        tensors = dict(zip(names, flat, strict=False))
        if key.lengths is not None:
            tensors = {n: _of_lengths(t, n, key.lengths) for n, t in tensors.items()}
        parameters = dict(zip(state, flat[len(names) :], strict=True))
        seen = {"mask": tensors.get("mask"), "field": tensors.get("field")}

        def total(xi: Tensor) -> Tensor:
            inputs = (xi, tensors["X"])
            value: Tensor = torch.func.functional_call(energy, parameters, inputs, seen).sum()
            return value

        slope: Tensor = torch.func.grad(total)(tensors["xi"])
        return slope

    examples = [
        *_examples(energy, key, state),
        *(torch.zeros(p.shape, dtype=p.dtype, device=p.device) for p in state.values()),
    ]
    if key.lengths is not None:
        with torch.no_grad():  # tables for this number of nodes, made before the tracer looks on
            step(*examples)
    try:
        graph: GraphModule = make_fx(step, tracing_mode="symbolic", _allow_non_fake_inputs=True)(
            *examples
        )
    except Exception as error:  # whatever an energy does that the tracer cannot follow
        return TraceError(
            f"the gradient of '{energy.spec.title}' cannot be traced: {str(error).splitlines()[0]}"
        )
    if key.lengths is None and not _is_open(graph, energy):
        return TraceError(f"the gradient of '{energy.spec.title}' depends on the lengths")
    return _cleaned(graph)


def _of_lengths(tensor: Tensor, name: str, lengths: tuple[int, int]) -> Tensor:
    """The same tensor, whose lengths are numbers instead of symbols to the tracer."""
    states, patterns = lengths
    if name in ("xi", "X"):
        rows = states if name == "xi" else patterns
        return tensor.reshape(*tensor.shape[:-2], rows, tensor.shape[-1])
    rows = 1 if tensor.shape[-2] == 1 else states
    return tensor.reshape(*tensor.shape[:-2], rows, patterns)


def _examples(energy: Energy, key: _Key, state: dict[str, Tensor]) -> Iterator[Tensor]:
    """Tensors of the key's kind; equal lengths only where they must be equal."""
    taken = {energy.dim, energy.num_heads, *(n for p in state.values() for n in p.shape)}
    free = iter(p for p in _PRIMES if p not in taken and p not in (key.lengths or ()))
    states, patterns = key.lengths or (next(free), next(free))
    if not energy.reads_patterns:
        patterns = states
    heads = () if energy.num_heads is None else (energy.num_heads,)
    # Batch axes, counted from the right.
    batch = [*heads, *(next(free) for _ in range(max(len(i.single) for i in key.inputs)))]
    for name, single, dtype, device in key.inputs:
        last = {"xi": (states, energy.dim), "X": (patterns, energy.dim)}
        sizes = (*reversed(batch[: len(single) - 2]), *last.get(name, (states, patterns)))
        sizes = tuple(1 if s else n for s, n in zip(single, sizes, strict=True))
        yield torch.zeros(sizes, dtype=dtype, device=device)


def _is_open(graph: GraphModule, energy: Energy) -> bool:
    """Whether every choice made while tracing holds for any lengths, small or large.

    The tracer notes what it compared. Width and heads are given numbers; for all other lengths,
    small and large, rising and falling ones are tried.
    """
    environment = graph.shape_env
    assert environment is not None
    sizes = (energy.dim, energy.num_heads)
    given = {s: value for s, value in environment.replacements.items() if value in sizes}
    expressions = [guard.expr.subs(given) for guard in environment.guards]
    lengths = sorted({s for e in expressions for s in e.free_symbols}, key=str)
    rising = [10**power + 2 for power in range(len(lengths))]
    trials = ([2] * len(lengths), [10**6] * len(lengths), rising, rising[::-1])
    return all(e.subs(dict(zip(lengths, t, strict=True))) for e in expressions for t in trials)


def _cleaned(graph: GraphModule) -> GraphModule:
    """Without notes of the tracer, and with two operations in the form that vmap takes."""
    for node in graph.graph.nodes:
        node.meta.clear()
        if node.target is torch.ops.aten.sym_size.int:
            node.op, node.target = "call_method", "size"
        elif node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
    del graph.shape_env
    graph.recompile()
    return graph
