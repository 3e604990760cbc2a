"""AdamW and Muon for the members of a population at once, on one tensor of all their parameters.

`P` members, `N` numbers of a member's parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attenergy.search.training.muon import BatchedMuon
from attenergy.search.training.optimizers import Optimizers

ALIGN = 8  # numbers; each parameter begins at a multiple of so many


@dataclass(frozen=True)
class Span:
    """Where one parameter stands among the numbers of a member."""

    name: str
    start: int
    shape: torch.Size

    @property
    def size(self) -> int:
        return self.shape.numel()

    def of(self, flat: Tensor) -> Tensor:
        """The parameter of all members (P, *shape), a view."""
        return flat[:, self.start : self.start + self.size].view(len(flat), *self.shape)


def spans(model: torch.nn.Module) -> list[Span]:
    """All trained parameters, one after the other."""
    start, result = 0, []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            result.append(Span(name, start, parameter.shape))
            start += math.ceil(parameter.numel() / ALIGN) * ALIGN
    return result


class StackedOptimizer:
    """AdamW and Muon of `attenergy.search.training.optimizers` for all members at once.

    Args:
        flat: parameters (P, N).
        optimizers: of every member, made for its own model.
        names: of every member's parameters, by identity.
        places: where they stand.
        schedule: rate of every step as a share of the peak, (steps).
    """

    def __init__(
        self,
        flat: Tensor,
        optimizers: Sequence[Optimizers],
        names: Sequence[dict[int, str]],
        places: Sequence[Span],
        schedule: Sequence[float],
    ) -> None:
        self.flat, self.gradient = flat, torch.zeros_like(flat)
        self.first, self.second = torch.zeros_like(flat), torch.zeros_like(flat)
        by_name = {place.name: place for place in places}
        columns: dict[str, Tensor] = {
            key: torch.zeros_like(flat) for key in ("rate", "decay", "adam")
        }
        self.muon: list[_MuonGroup] = []
        matrices: dict[tuple[torch.Size, float, float], list[tuple[int, Span]]] = {}
        for member, each in enumerate(optimizers):
            for optimizer in each.optimizers:
                is_muon = isinstance(optimizer, BatchedMuon)
                for group in optimizer.param_groups:
                    for parameter in group["params"]:
                        place = by_name[names[member][id(parameter)]]
                        part = slice(place.start, place.start + place.size)
                        if is_muon:
                            key = (place.shape, group["lr"], group["weight_decay"])
                            matrices.setdefault(key, []).append((member, place))
                            continue
                        columns["adam"][member, part] = 1.0
                        columns["rate"][member, part] = group["lr"]
                        columns["decay"][member, part] = group["lr"] * group["weight_decay"]
                if is_muon:
                    options = optimizer.param_groups[0]
                    self._ns = (options["ns_coefficients"], options["ns_steps"], options["eps"])
                    self._momentum = options["momentum"]
        self.rate, self.decay = columns["rate"], columns["decay"]
        for (shape, rate, decay), entries in matrices.items():
            self.muon.append(_MuonGroup(shape, rate, decay, entries, flat))
        self.adam = columns["adam"] if self.muon else None
        steps = torch.arange(1, len(schedule) + 1, dtype=torch.float64)
        table = [torch.tensor(schedule, dtype=torch.float64), 1 - 0.9**steps]
        table.append((1 - 0.999**steps).sqrt())
        self.table = torch.stack(table, 1).to(flat)

    @torch.no_grad()
    def step(self, counter: Tensor) -> None:
        """Update the parameters by `gradient`; `counter` (1) counts the steps taken before."""
        share, bias, root = self.table.index_select(0, counter)[0].unbind()
        gradient = self.gradient
        self._adamw(gradient, share, bias, root)
        for group in self.muon:
            group.step(self.flat, gradient, self._momentum, self._ns, share)

    def _adamw(self, gradient: Tensor, share: Tensor, bias: Tensor, root: Tensor) -> None:
        # Where Muon works, rate and decay are 0.
        self.flat.addcmul_(self.flat * self.decay, share, value=-1)
        self.first.lerp_(gradient, 0.1)
        self.second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        length = (self.second.sqrt() / root).add_(1e-8)
        self.flat.sub_((self.first / length).mul_(self.rate).mul_(share / bias))


class _MuonGroup:
    """Matrices of one shape and one rate, of any members."""

    def __init__(
        self,
        shape: torch.Size,
        rate: float,
        decay: float,
        entries: Sequence[tuple[int, Span]],
        flat: Tensor,
    ) -> None:
        self.shape, self.decay = shape, rate * decay
        self.rate = rate * math.sqrt(max(1, shape[0] / shape[1]))
        starts = [member * flat.shape[1] + place.start for member, place in entries]
        within = torch.arange(shape.numel(), device=flat.device)
        self.index = torch.tensor(starts, device=flat.device)[:, None] + within
        self.momentum = torch.zeros(len(entries), *shape, dtype=flat.dtype, device=flat.device)

    def step(self, flat: Tensor, gradient: Tensor, momentum: float, ns: Any, share: Tensor) -> None:
        g = gradient.view(-1)[self.index].view(-1, *self.shape)
        average = self.momentum.lerp_(g, 1 - momentum)
        step = orthogonal_stack(g.lerp(average, momentum), *ns).to(flat.dtype)
        now = flat.view(-1)[self.index].view(-1, *self.shape)
        new = now * (1 - share * self.decay) - step * (share * self.rate)
        flat.view(-1).index_copy_(0, self.index.flatten(), new.flatten())


def orthogonal_stack(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """`attenergy.search.training.muon.orthogonal`, with all lengths taken in one call."""
    a, b, c = coefficients
    x = matrices.bfloat16()
    tall = matrices.shape[1] > matrices.shape[2]
    x = x.mT if tall else x
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
