"""Couplings: numbers on the edges of a graph, as a matrix or as a list of edges.

    ferromagnetic        1 on every edge: neighbours agree
    antiferromagnetic   -1: neighbours disagree
    plus_minus          -1 or 1 with equal chances
    spin_glass          Gaussian, variance 1/(mean degree + 1), which is 1/n on the complete graph

A graph of many nodes and few edges is kept as a list; what is computed with it is the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from attenergy.energies.graphs.sparse_products import symmetric_product
from attenergy.energies.graphs.topologies import adjacency, cached, constant, edge_index
from attenergy.energies.rows.apply import fast_here
from attenergy.registry import UnknownName

KINDS = ("ferromagnetic", "antiferromagnetic", "plus_minus", "spin_glass")

#: From so many nodes on, and with at most this share of all pairs joined, edges are a list.
SPARSE_NODES = 96
SPARSE_SHARE = 1 / 16


class EdgeList(NamedTuple):
    """Symmetric couplings as a list: `pairs` (2, m), `values` (m,), number of `nodes`."""

    pairs: Tensor
    values: Tensor
    nodes: int


Couplings = Tensor | EdgeList


def check_kind(kind: str, also: tuple[str, ...] = ()) -> str:
    """Return the kind's name.

    Args:
        kind: the name.
        also: names that are allowed besides those of this module.

    Raises:
        ValueError: unknown kind; names the nearest and all known ones.
    """
    names = [*also, *KINDS]
    if kind not in names:
        raise UnknownName("couplings", kind, names)
    return kind


@constant
def edge_values(kind: str, rule: str, nodes: int, seed: int, *numbers: Any) -> Tensor:
    """The couplings on `edge_index(rule, nodes, seed, *numbers)`, float64 (m,).

    Raises:
        ValueError: unknown kind or rule.
    """
    return cached(
        ("values", kind, rule, nodes, seed, numbers),
        lambda: _values(kind, edge_index(rule, nodes, seed, *numbers), nodes, seed),
    )


@constant
def coupling_matrix(kind: str, rule: str, nodes: int, seed: int = 0, *numbers: Any) -> Tensor:
    """The symmetric couplings (nodes, nodes) of a kind on a rule's graph, float64, zero diagonal.

    Args:
        kind: one of `KINDS`.
        rule: a topology (`attenergy.energies.graphs.topologies`).
        nodes: number of nodes.
        seed: of the graph and of the couplings.
        *numbers: degree, rewire, blocks, mixing.

    Raises:
        ValueError: unknown kind or rule.
    """
    if check_kind(kind) == "ferromagnetic":
        made: Tensor = adjacency(rule, nodes, seed, *numbers)
        return made

    def make() -> Tensor:
        values = edge_values(kind, rule, nodes, seed, *numbers)
        return as_matrix(EdgeList(edge_index(rule, nodes, seed, *numbers), values, nodes))

    return cached(("couplings", kind, rule, nodes, seed, numbers), make)


def rule_couplings(
    kind: str, rule: str, nodes: int, seed: int, numbers: tuple[Any, ...], like: Tensor
) -> Couplings:
    """Couplings of a rule's graph in the type of `like`: a list if large and sparse, else a matrix.

    Args:
        kind: one of `KINDS`.
        rule: a topology.
        nodes: number of nodes.
        seed: of the graph and of the couplings.
        numbers: degree, rewire, blocks, mixing.
        like: gives type and device.

    Raises:
        ValueError: unknown kind or rule.
    """
    degree = max(6.0, numbers[0]) if numbers else 6.0  # 6 neighbours in a cubic lattice
    if rule != "complete" and is_sparse(nodes, degree * nodes):
        index = edge_index(rule, nodes, seed, *numbers).to(like.device)
        values = edge_values(kind, rule, nodes, seed, *numbers).to(like)
        return EdgeList(index, values, nodes)
    matrix: Tensor = coupling_matrix(kind, rule, nodes, seed, *numbers).to(like)
    return matrix


def is_sparse(nodes: int, edges: float) -> bool:
    """Whether a graph is large and sparse enough for a list."""
    return nodes >= SPARSE_NODES and edges <= SPARSE_SHARE * nodes * nodes


def as_matrix(edges: EdgeList) -> Tensor:
    """The same couplings as a matrix (nodes, nodes); values of a repeated edge add up."""
    matrix = edges.values.new_zeros(edges.nodes, edges.nodes)
    return matrix.index_put((edges.pairs[0], edges.pairs[1]), edges.values, accumulate=True)


def times(couplings: Couplings, x: Tensor) -> Tensor:
    """J x over the last but one axis: sum_j J_ij x_j, (..., n, D)."""
    if isinstance(couplings, Tensor):
        return couplings @ x
    if fast_here(x, *couplings[:2]) and not couplings.values.requires_grad and x.numel():
        return symmetric_product(couplings.pairs, couplings.values, x)
    i, j = couplings.pairs
    parts = x.index_select(-2, j) * couplings.values.unsqueeze(-1)
    return torch.zeros_like(x).index_add(-2, i, parts)


def along_last(couplings: Couplings, x: Tensor) -> Tensor:
    """J x over the last axis, (..., L, n); J is (n, n), a list, or (..., L|1, n, n)."""
    if isinstance(couplings, EdgeList):
        return times(couplings, x.mT).mT
    if couplings.ndim == 2 or couplings.shape[-3] == 1:
        return x @ (couplings if couplings.ndim == 2 else couplings.squeeze(-3))
    return (x.unsqueeze(-2) @ couplings).squeeze(-2)


def squared(couplings: Couplings) -> Couplings:
    """J_ij^2."""
    if isinstance(couplings, EdgeList):
        return couplings._replace(values=couplings.values.square())
    return couplings.square()


def absolute(couplings: Couplings) -> Couplings:
    """|J_ij|."""
    if isinstance(couplings, EdgeList):
        return couplings._replace(values=couplings.values.abs())
    return couplings.abs()


def normalised(couplings: Couplings) -> Couplings:
    """J_ij / sqrt(d_i d_j) with d_i = sum_j |J_ij|: all eigenvalues lie in [-1, 1].

    So do those of every part of it that is left when nodes are taken out.
    """
    if isinstance(couplings, EdgeList):
        i, j = couplings.pairs
        degree = couplings.values.new_zeros(couplings.nodes)
        scale = _inverse_root(degree.index_add(0, i, couplings.values.abs()))
        return couplings._replace(values=couplings.values * scale[i] * scale[j])
    scale = _inverse_root(couplings.abs().sum(-1, keepdim=True))
    return scale * couplings * scale.mT


def _inverse_root(degree: Tensor) -> Tensor:
    return torch.where(degree > 0, degree, 1.0).rsqrt()


def _values(kind: str, index: Tensor, nodes: int, seed: int) -> Tensor:
    count = index.shape[1] // 2
    generator = np.random.default_rng(seed)
    if check_kind(kind) == "spin_glass":
        half = generator.standard_normal(count) / np.sqrt(2 * count / nodes + 1)
    elif kind == "plus_minus":
        half = generator.choice([-1.0, 1.0], count)
    else:
        half = np.full(count, 1.0 if kind == "ferromagnetic" else -1.0)
    return torch.from_numpy(np.concatenate([half, half]))
