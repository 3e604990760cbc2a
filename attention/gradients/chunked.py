"""Some states at a time: memory that grows neither with the number of states nor of patterns.

Forward, nothing but the inputs is kept; backward, every chunk is computed again. As states that do
not interact see all patterns of their own row at once, this is exact for any energy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from attenergy.energies import Energy

#: Bytes of the scores (..., L, S) from which `auto` works in chunks. In training, explicit weights
#: keep about 5 times, a derivative by autograd about 12 times as much for every step, so this is
#: where one step starts to take gigabytes; below, chunks only cost time (half as much again).
THRESHOLD = 2**28
#: Scores of one chunk: smaller ones take a tenth more time, and a step then needs about 100 MB.
CHUNK = 2**21
#: Fewer rows than this make matrix products slow.
LEAST_ROWS = 128

#: f(energy, xi, mask, field, *shared) -> (..., L, e), row by row of xi, mask and field.
Rows = Callable[..., Tensor]


def can_chunk(energy: Energy) -> bool:
    """Whether states can be computed one after the other: none has a say in another's energy."""
    return energy.reads_patterns and not energy.states_interact


def chunks_pay(xi: Tensor, X: Tensor) -> bool:
    """Whether the scores of these states are so many that memory counts more than time.

    Never for compilers, which plan memory themselves.
    """
    if torch.compiler.is_compiling():
        return False
    return _scores(xi, X) * xi.shape[-2] * xi.element_size() >= THRESHOLD


def in_chunks(
    rows: Rows,
    energy: Energy,
    xi: Tensor,
    shared: Sequence[Tensor],
    mask: Tensor | None,
    field: Tensor | None,
) -> Tensor:
    """rows(energy, xi, mask, field, *shared), (..., L, e), some states at a time.

    Compiled or exported, all at once.

    Args:
        rows: computes each state's row from its own rows of xi, mask and field.
        energy: `can_chunk` it; its parameters get their derivatives.
        xi: states (..., L, D), with every batch axis.
        shared: what all states see: the patterns (..., S, D), perhaps values.
        mask: (..., L|1, S).
        field: (..., L|1, S).
    """
    if torch.compiler.is_compiling():  # compilers plan memory themselves
        return rows(energy, xi, mask, field, *shared)
    if energy.patterns_interact and mask is not None and mask.shape[-2] > 1:
        rows, shared = partial(_with_witness, rows), (*shared, mask.any(-2, keepdim=True))
    state = {f"energy.{n}": p for n, p in [*energy.named_parameters(), *energy.named_buffers()]}
    count = max(LEAST_ROWS, CHUNK // max(1, _scores(xi, shared[0])))
    plan = _Plan(
        _Bound(energy, rows), tuple(state), len(shared), count, autocast_now(xi.device.type)
    )
    tensors = (xi, mask, field, *shared, *state.values())
    out: Tensor = _Chunks.apply(plan, *tensors)  # type: ignore[no-untyped-call]
    return out


def _with_witness(
    rows: Rows, energy: Energy, xi: Tensor, mask: Tensor, field: Tensor | None, *shared: Tensor
) -> Tensor:
    """The rows of a chunk, beside which one more state sees what any state sees, `shared[-1]`.

    Where patterns interact, those that no state of this chunk sees are still there.
    """
    mask = torch.cat([mask, shared[-1]], -2)
    if field is not None and field.shape[-2] > 1:
        field = pad(field, (0, 0, 0, 1))
    return rows(energy, pad(xi, (0, 0, 0, 1)), mask, field, *shared[:-1])[..., :-1, :]


def _scores(xi: Tensor, X: Tensor) -> int:
    """Scores of one state in all samples and heads."""
    return math.prod(xi.shape[:-2]) * X.shape[-2]


def autocast_now(device: str) -> torch.autocast:
    """Autocast as it is now: backward, where things are computed again, it is off."""
    on, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return torch.autocast(device, dtype=dtype, enabled=on)


class _Bound(nn.Module):
    """A function of an energy as a module, whose parameters can be given from outside."""

    def __init__(self, energy: Energy, rows: Rows) -> None:
        super().__init__()
        self.energy, self.rows = energy, rows

    def forward(self, *tensors: Tensor | None) -> Tensor:
        out: Tensor = self.rows(self.energy, *tensors)
        return out


class _Plan(NamedTuple):
    """How to compute a chunk from the flat inputs xi, mask, field, *shared, *parameters."""

    bound: _Bound
    names: tuple[str, ...]  # of the parameters
    shared: int
    rows: int
    autocast: torch.autocast

    def run(self, tensors: Sequence[Tensor | None]) -> Tensor:
        inputs, state = tensors[: 3 + self.shared], tensors[3 + self.shared :]
        parameters = dict(zip(self.names, state, strict=True))
        with self.autocast:
            out: Tensor = torch.func.functional_call(self.bound, parameters, tuple(inputs))  # type: ignore[arg-type]
        return out

    def parts(self, tensors: Sequence[Tensor | None]) -> Iterator[tuple[slice, list[Any]]]:
        """Rows, and the inputs with only these rows."""
        length = tensors[0].shape[-2]  # type: ignore[union-attr]
        for start in range(0, max(length, 1), self.rows):  # of no rows there is one empty chunk
            rows = slice(start, min(start + self.rows, length))
            yield rows, [t[..., rows, :] if _split(i, t) else t for i, t in enumerate(tensors)]  # type: ignore[index]


def _split(index: int, tensor: Tensor | None) -> bool:
    """Whether an input has a row for every state: xi, and mask and field unless broadcast."""
    return index == 0 or (index < 3 and tensor is not None and tensor.shape[-2] > 1)


class _Chunks(torch.autograd.Function):
    """The chunks one after the other; its backward is differentiable like any other code."""

    generate_vmap_rule = True

    @staticmethod
    def forward(plan: _Plan, *tensors: Tensor | None) -> Tensor:
        return torch.cat([plan.run(part) for _, part in plan.parts(tensors)], -2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.plan, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        plan: _Plan = ctx.plan
        tensors = ctx.saved_tensors
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        pieces: dict[int, list[Tensor]] = {i: [] for i in wanted}
        for rows, part in plan.parts(tensors):
            for i, piece in zip(
                wanted, _pulled(plan, part, wanted, grad[..., rows, :]), strict=True
            ):
                if _split(i, tensors[i]) or not pieces[i]:
                    pieces[i].append(piece)
                else:
                    pieces[i][0] = pieces[i][0] + piece
        joined = {i: torch.cat(f, -2) if _split(i, tensors[i]) else f[0] for i, f in pieces.items()}
        return None, *(joined.get(i) for i in range(len(tensors)))


def _pulled(plan: _Plan, part: list[Any], wanted: list[int], grad: Tensor) -> tuple[Tensor, ...]:
    """What `grad` at a chunk is at the wanted inputs; nothing of the chunk is kept."""

    def run(*chosen: Tensor) -> Tensor:
        changed = dict(zip(wanted, chosen, strict=True))
        return plan.run([changed.get(i, t) for i, t in enumerate(part)])

    pull = torch.func.vjp(run, *(part[i] for i in wanted))[1]
    pulled: tuple[Tensor, ...] = pull(grad)
    return pulled
