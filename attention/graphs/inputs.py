"""Sizes, nodes and edges as PyTorch Geometric's layers take them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch_geometric.utils import is_sparse, to_edge_index

from attenergy.attention.modules.arguments import check_size, check_tensor
from attenergy.attention.modules.initialisation import dense, lecun_normal_
from attenergy.energies.presence import may_count
from attenergy.registry import ArgumentError, GraphError

#: A size that is seen in the first input.
LAZY = -1


def head_width(channels: int, heads: int, head_dim: int | None) -> int:
    """Return the width of a head, `channels / heads` if it is not given.

    Raises:
        ValueError: it is below 1, or `heads` does not divide `channels`.
    """
    if head_dim is None:
        if channels % heads:
            raise ArgumentError(
                f"out_channels ({channels}) is not a multiple of heads ({heads}); choose another "
                "number of heads or give head_dim",
                topic="head-width",
            )
        return channels // heads
    check_sizes(head_dim=head_dim)
    return head_dim


def check_sizes(**sizes: int) -> None:
    """Check sizes of a layer.

    Raises:
        ValueError: naming the one that is below 1.
    """
    for name, size in sizes.items():
        check_size(name, size)


class LazyDense(nn.LazyLinear):
    """A map that becomes the `nn.Linear` of `dense` when it sees its first input."""

    def reset_parameters(self) -> None:
        """Draw the weights, once their number is known."""
        if self.in_features:
            reset_linear(self)


def node_map(width: int, out: int, bias: bool) -> nn.Linear:
    """A map of nodes whose width may not be known yet."""
    return LazyDense(out, bias) if width == LAZY else dense(width, out, bias)


def reset_linear(linear: nn.Linear) -> None:
    """Draw the weights of a map anew, LeCun normal, and set its bias to 0."""
    if is_lazy(linear.weight):
        return
    lecun_normal_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def nodes_and_edges(
    x: Any, edge_index: Any, size: tuple[int | None, int | None] | None
) -> tuple[Tensor, Tensor | None, int, Tensor, Tensor | None]:
    """Sources, targets or None, the number of targets, edges (2, n), and values on a sparse one.

    Args:
        x: nodes, or a pair of sources and targets; targets may be None.
        edge_index: edges (2, n) from sources to targets, int64 or int32, or a sparse `adj_t`.
        size: numbers of sources and targets, or None.

    Raises:
        TypeError: something is no tensor.
        ValueError: a type or shape does not fit, or edges leave the graph.
    """
    sources, targets = _pair(x)
    sparse = is_sparse(edge_index)
    if size is not None and len(size) != 2:
        raise GraphError(f"size must be (sources, targets), got {size}")
    given = (None, None) if size is None else tuple(size)
    if sparse and size is None:
        given = (edge_index.size(1), edge_index.size(0))
    count = given[1] if targets is None else len(targets)
    count = len(sources) if count is None else count
    for name, said, nodes in (("sources", given[0], len(sources)), ("targets", given[1], count)):
        if said not in (None, nodes):
            by = "adj_t" if size is None else "size"
            raise GraphError(f"{by} says {said} {name}, x has {nodes}")
    edges, values = _edges(edge_index) if sparse else (_checked(edge_index), None)
    edges = edges.long()  # what indexes nodes
    _check_edges(edges, len(sources), count)
    return sources, targets, count, edges, values


def check_width(who: str, nodes: Tensor, linear: nn.Linear) -> None:
    """Check that nodes have as many features as the map that they go through.

    Args:
        who: whose features they are, "sources" or "targets".
        nodes: (N, width).
        linear: the map; one that has not seen its first input takes any width.

    Raises:
        ValueError: they have not.
    """
    if linear.in_features and nodes.shape[1] != linear.in_features:
        raise GraphError(
            f"x must be (N, {linear.in_features}), got {tuple(nodes.shape)} for the {who}"
        )


def sets_between(ptr: Tensor, elements: int) -> Tensor:
    """The set (n,) of each of n sorted elements, from where each set begins and the last one ends.

    Raises:
        ValueError: it does not end with their number; on a CPU, as a GPU would have to wait for it.
    """
    if _may_look(ptr):
        ends = ptr.ndim == 1 and len(ptr) > 0 and (int(ptr[0]), int(ptr[-1])) == (0, elements)
        if not ends or bool((ptr.diff() < 0).any()):
            raise GraphError(
                f"ptr must go from 0 to the number of elements, {elements}, and never fall, got "
                f"{ptr.tolist()[:9]}"
            )
    return torch.repeat_interleave(ptr.diff(), output_size=elements)


def check_sets(index: Any, elements: int, count: int | None) -> None:
    """Check the set of each element; their range on a CPU only, as a GPU would have to wait for it.

    Args:
        index: (n,), from 0.
        elements: n.
        count: of sets; as many as the index says if None.

    Raises:
        TypeError: it is no tensor.
        ValueError: a type, a shape or a number does not fit.
    """
    check_tensor("index", index)
    if index.ndim != 1 or len(index) != elements or index.dtype not in (torch.int64, torch.int32):
        raise GraphError(
            f"index must be whole numbers ({elements},), one for each element, got "
            f"{tuple(index.shape)} of {index.dtype}"
        )
    if not _may_look(index) or not elements:
        return
    low, high = int(index.min()), int(index.max())
    if low < 0 or (count is not None and high >= count):
        most = "" if count is None else f" to {count - 1}"
        raise GraphError(f"sets are numbered from 0{most}, index has {low} to {high}")


def _may_look(tensor: Tensor) -> bool:
    """Whether an error may depend on the numbers in a tensor: on a CPU, while nothing is traced."""
    if not may_count(tensor) or tensor.device.type != "cpu":
        return False
    return torch._C._len_torch_dispatch_stack() == 0  # not under `make_fx`


def _pair(x: Any) -> tuple[Tensor, Tensor | None]:
    sources, targets = x if isinstance(x, (tuple, list)) and len(x) == 2 else (x, x)
    for name, nodes in (("sources", sources), ("targets", targets)):
        if nodes is None and name == "targets":
            continue
        check_tensor(f"x ({name})", nodes)
        if nodes.ndim != 2:
            raise GraphError(
                f"x must be (N, width) or a pair of such, got {tuple(nodes.shape)} for the {name}"
            )
    return sources, targets


def _edges(adj_t: Any) -> tuple[Tensor, Tensor | None]:
    """Edges (2, n) from source to target of a sparse `adj_t`, and its values."""
    if getattr(adj_t, "layout", None) == torch.sparse_coo and not adj_t.is_coalesced():
        adj_t = adj_t.clone()  # PyTorch Geometric marks what it is given as coalesced
    edges, values = to_edge_index(adj_t)
    return edges.flip(0), values


def _checked(edge_index: Tensor) -> Tensor:
    check_tensor("edge_index", edge_index)
    fits = edge_index.ndim == 2 and edge_index.shape[0] == 2
    if not fits or edge_index.dtype not in (torch.int64, torch.int32):
        raise GraphError(
            "edge_index must be integers (2, n), of int64 or int32, or a sparse adj_t, got "
            f"{tuple(edge_index.shape)} of {edge_index.dtype}"
        )
    return edge_index


def _check_edges(edges: Tensor, sources: int, targets: int) -> None:
    """Check that edges stay within the nodes; on a CPU, as a GPU would have to wait for it."""
    if not _may_look(edges) or not edges.numel():
        return
    for name, nodes, used in (("source", sources, edges[0]), ("target", targets, edges[1])):
        if not 0 <= int(used.min()) <= int(used.max()) < nodes:
            raise GraphError(
                f"{name} nodes are numbered 0 to {nodes - 1}, edge_index has "
                f"{int(used.min())} to {int(used.max())}"
            )
