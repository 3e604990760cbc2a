"""Optimisers of the training recipe: AdamW for everything, or Muon for the matrices of the blocks.

One recipe is one function from a model and its training to optimisers, and one row of `RECIPES`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from attenergy.attention import Transformer
from attenergy.energies import Energy
from attenergy.registry import TrainingSpec
from attenergy.search.training.muon import BatchedMuon
from attenergy.search.training.schedule import SCHEDULES


class Optimizers:
    """Optimisers that step together; the rate of each group follows one schedule to its own peak.

    Args:
        optimizers: in the order in which they step. The rate with which a group was made is its
            peak.
    """

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.optimizers = optimizers
        self.groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        self._peaks = [group["lr"] for group in self.groups]

    def schedule(
        self, step: int, *, warmup: int, total: int, kind: str = "cosine", tail: float = 0.2
    ) -> None:
        """Set the rates of update `step` (from 0) out of `total`.

        Args:
            step: from 0.
            warmup: updates of the warm-up.
            total: all updates.
            kind: a name in `SCHEDULES`.
            tail: share of the updates in which a schedule with a tail falls.
        """
        rate = SCHEDULES[kind]
        for group, peak in zip(self.groups, self._peaks, strict=True):
            group["lr"] = rate(step, peak=peak, warmup=warmup, total=total, tail=tail)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Update all parameters."""
        for optimizer in self.optimizers:
            optimizer.step()


def make_optimizers(model: nn.Module, training: TrainingSpec) -> Optimizers:
    """Make the optimisers that `training.optimizer` names."""
    return RECIPES[training.optimizer](model, training)


def adamw(model: nn.Module, training: TrainingSpec) -> Optimizers:
    """Make AdamW (0.9, 0.999, 1e-8) with decoupled decay and without clipping of gradients.

    Parameters with one axis (biases, gains) are not decayed; matrices and relative-position
    tables are. An energy's own parameters never are: an inverse temperature is stored as its
    logarithm, and pulling that to zero would choose the temperature.

    Source: Schug et al. 2025, arXiv:2406.05816, and its published code, but for the energies and
    for the biases of queries, keys and values, which that code decays.
    """
    own = _parameters_of(model, Energy)
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim != 1 and id(p) not in own]
    free = [p for p in trained if p.ndim == 1 or id(p) in own]
    return Optimizers(_adamw(training.learning_rate, (decayed, training.weight_decay), (free, 0.0)))


def muon(model: nn.Module, training: TrainingSpec) -> Optimizers:
    """Make Muon for the weight matrices of the blocks, and AdamW without decay for all else.

    Muon takes the step of a matrix along the nearest matrix with orthonormal rows or columns to
    its averaged gradient (momentum 0.95, Nesterov, five Newton-Schulz iterations), so no direction
    starves; it has `muon_learning_rate` and `weight_decay`. AdamW has `learning_rate`. It trains
    embedding, readout, norms, biases, absolute positions, what is stacked over heads and an
    energy's own parameters. The tables of relative positions are matrices of the blocks, heads by
    distances: with AdamW for them, linear attention hardly leaves chance on `raven-small`.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    apart = _parameters_of(model, Energy)
    blocks = model.blocks if isinstance(model, Transformer) else nn.ModuleList()
    matrices = [
        p for p in blocks.parameters() if p.requires_grad and p.ndim == 2 and id(p) not in apart
    ]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        optimizers.append(
            BatchedMuon(
                matrices,
                lr=training.muon_learning_rate,
                weight_decay=training.weight_decay,
                momentum=0.95,
            )
        )
    return Optimizers(*optimizers, _adamw(training.learning_rate, (rest, 0.0)))


Recipe = Callable[[nn.Module, TrainingSpec], Optimizers]
#: By the names that `training.optimizer` takes.
RECIPES: dict[str, Recipe] = {"adamw": adamw, "muon": muon}


def _adamw(rate: float, *groups: tuple[list[nn.Parameter], float]) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        [{"params": parameters, "weight_decay": decay} for parameters, decay in groups],
        lr=rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        fused=True,
    )


def _parameters_of(model: nn.Module, *kinds: type[nn.Module]) -> set[int]:
    """Identities of the parameters that belong to modules of some kinds."""
    modules = (module for module in model.modules() if isinstance(module, kinds))
    return {id(parameter) for module in modules for parameter in module.parameters()}
