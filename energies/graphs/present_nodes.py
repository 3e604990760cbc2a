"""A rule's graph on the nodes of each sample that are present: padding changes no result."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attenergy.energies.graphs.couplings import coupling_matrix
from attenergy.energies.presence import may_count


def embedded_couplings(
    kind: str, rule: str, present: Tensor, seed: int, numbers: tuple[Any, ...], like: Tensor
) -> Tensor:
    """The couplings of a rule's graph on the present nodes of each sample, 0 at the others.

    Args:
        kind: one of `attenergy.energies.graphs.couplings.KINDS`.
        rule: a topology.
        present: boolean (..., n).
        seed: of the graph and of the couplings.
        numbers: degree, rewire, blocks, mixing.
        like: gives the type.

    Returns:
        (..., n, n).
    """
    chosen = (kind, rule, seed, [float(number) for number in numbers], like.dtype)
    if may_count(present):
        return _embed(present, *chosen)
    placed: Tensor = _embedded(present, *chosen)
    return placed


def _embed(
    present: Tensor, kind: str, rule: str, seed: int, numbers: list[float], dtype: torch.dtype
) -> Tensor:
    exact = [int(number) if number.is_integer() else number for number in numbers]
    nodes = present.shape[-1]
    samples = present.reshape(-1, nodes)
    counts = samples.sum(-1)
    matrix = torch.zeros(len(samples), nodes, nodes, dtype=dtype, device=present.device)
    for count in sorted(set(counts.tolist()) - {0}):
        rows = (counts == count).nonzero()
        places = samples[rows[:, 0]].nonzero()[:, 1].view(-1, count)
        graph = coupling_matrix(kind, rule, count, seed, *exact).to(matrix)
        matrix[rows.unsqueeze(-1), places.unsqueeze(-1), places.unsqueeze(-2)] = graph
    return matrix.view(*present.shape, nodes)


#: The same as one operation, for what writes graphs of operations down (compilers, exporters,
#: `torch.vmap`): how many nodes are present is known only when the program runs.
_embedded = torch.library.custom_op("attenergy::embedded_couplings", _embed, mutates_args=())


@_embedded.register_fake
def _shape(
    present: Tensor, kind: str, rule: str, seed: int, numbers: list[float], dtype: torch.dtype
) -> Tensor:
    return present.new_empty(*present.shape, present.shape[-1], dtype=dtype)


@_embedded.register_vmap
def _batched(info: Any, axes: Any, present: Tensor, *chosen: Any) -> tuple[Tensor, int]:
    return _embedded(present.movedim(axes[0], 0), *chosen), 0
