"""`EnergyConv`: every node is a state, its neighbours its stored patterns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import add_self_loops, is_sparse, remove_self_loops, to_edge_index

from attenergy.attention.core import Read
from attenergy.attention.dropout import check_dropout
from attenergy.attention.graphs.heads import SetHeads, reset_linear, split_heads
from attenergy.attention.graphs.sets import Sets
from attenergy.attention.initialisation import dense
from attenergy.energies import Energy
from attenergy.registry import EnergySpec, Registry

#: Settings of a layer that are not its energy's, with their defaults.
_OWN = {"head_dim": None, "bias": True, "add_self_loops": False}


class EnergyConv(MessagePassing):
    """out_i = sum_h Wout_h r[h,i] + bout, r[h,i] read after a relaxation on the neighbours of i.

    The state is xi_i = Wq_h x_i + bq, the patterns of node i are Wk_h x_j + bk of the nodes j with
    an edge (j, i), and the field on an edge is h_ij = edge_weight + We_h edge_attr. After steps
    xi <- xi - gamma/A grad_xi E(xi; X, h) either

        weights  r = sum_j w_j (Wv_h x_j + bv), the last step's weights over the neighbours
        state    r = xi

    is read, as in `attenergy.attention.EnergyAttention`; on a complete graph with self-loops the
    two are the same layer. What is read by weights is one `propagate` with messages w_j v_j, so
    hooks and explainers see the edges. An explainer's mask scales these messages; and while states
    move, the messages w_j x_j (form `segments`) or the patterns x_j (form `padded`).

    The state of a node without neighbours does not move; by weights it reads 0, so its output is
    the bias. A field is added to the scores: for log-sum-exp, `edge_weight = log(m)` is m parallel
    edges.

    Shapes:
        x (N, in_channels), or (N_src, in), (N_dst, in) for a bipartite graph; edge_index (2, n),
        from source to target, or a sparse adjacency `adj_t` (N_dst, N_src), whose values are not
        read; edge_weight (n,) or (n, H); edge_attr (n, edge_dim). Output (N_dst, out_channels).

    Args:
        in_channels: width of the nodes, or a pair (sources, targets).
        out_channels: width of the output.
        heads: H.
        energy: name in the registry, or an entry, of an energy that reads patterns in no order
            and has an energy of its own for every state.
        steps: number of steps, from 1; the entry's default if None.
        step_size: gamma; the entry's default if None.
        read: `weights`, `state`, or `auto` to follow the entry.
        edge_dim: width of `edge_attr`; None if there is none.
        dropout: probability of dropping a weight in training, where weights are read.
        registry: where the name is looked up; the built-in one and plug-ins if None.
        **settings: parameters, choices and options of the energy; `head_dim` (D; out_channels / H
            if absent), `bias` (of the maps, True), `add_self_loops` (False; replaces those there
            are, field 0), `form` (`auto`; see `attenergy.attention.graphs.heads`), and
            `backend`, `solver` and the like as for `EnergyAttention`.

    Raises:
        ValueError: unknown name or setting, numbers that do not fit, or an energy that cannot
            stand on a graph.

    Source: Gilmer et al. 2017, arXiv:1704.01212, for message passing; Ramsauer et al. 2020,
        arXiv:2008.02217, for the step.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        energy: str | EnergySpec = "lse",
        *,
        steps: int | None = None,
        step_size: float | None = None,
        read: Read = "auto",
        edge_dim: int | None = None,
        dropout: float = 0.0,
        registry: Registry | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(aggr="sum", node_dim=0)
        own = {name: settings.pop(name, default) for name, default in _OWN.items()}
        source, target = (in_channels,) * 2 if isinstance(in_channels, int) else in_channels
        sizes = {"in_channels": min(source, target), "heads": heads, "out_channels": out_channels}
        check_sizes(**sizes, edge_dim=1 if edge_dim is None else edge_dim)
        dim, bias = head_width(out_channels, heads, own["head_dim"]), own["bias"]
        self.in_channels, self.out_channels, self.heads = in_channels, out_channels, heads
        self.add_self_loops, self.dropout = bool(own["add_self_loops"]), check_dropout(dropout)
        self.relaxation = SetHeads(
            energy, dim, heads,
            steps=steps, step_size=step_size, read=read, registry=registry, **settings,
        )  # fmt: skip
        self.query = dense(target, heads * dim, bias)
        self.key = dense(source, heads * dim, bias)
        self.value = dense(source, heads * dim, bias) if self.relaxation.read == "weights" else None
        self.out = dense(heads * dim, out_channels, bias)
        self.edge = None if edge_dim is None else dense(edge_dim, heads, bias=False)
        if edge_dim is not None:
            self._check_reads_field()

    @property
    def energy(self) -> Energy:
        """The energy of the heads."""
        return self.relaxation.energy

    def reset_parameters(self) -> None:
        """Draw all maps anew and set the energy's parameters to where they started."""
        super().reset_parameters()
        self.relaxation.reset_parameters()
        for linear in (self.query, self.key, self.value, self.out, self.edge):
            if linear is not None:
                reset_linear(linear)

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        return_attention_weights: bool = False,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Relax every node on its neighbours and read.

        Args:
            x: nodes, or a pair of sources and targets.
            edge_index: edges from sources to targets, or a sparse `adj_t`.
            edge_weight: numbers added to the scores of the edges.
            edge_attr: features of the edges, which `edge_dim` maps to such numbers.
            return_attention_weights: whether to return the weights read by as well.

        Returns:
            (N_dst, out_channels), or a pair of it and (edges, their weights (n, H)).

        Raises:
            ValueError: a shape does not fit, edges leave the graph, numbers for edges with an
                energy that reads no field, or weights where none are read by.
        """
        sources, targets = (x, x) if isinstance(x, Tensor) else x
        edges = _edges(edge_index)
        _check_edges(edges, sources, targets)
        field = self._field(edges, edge_weight, edge_attr)
        if self.add_self_loops:
            nodes = min(len(sources), len(targets))
            edges, field = remove_self_loops(edges, field)
            edges, field = add_self_loops(edges, field, fill_value=0.0, num_nodes=nodes)
        size = (len(sources), len(targets))

        def pull(weights: Tensor, patterns: Tensor) -> Tensor:
            # propagate_type: (patterns: Tensor, alpha: Tensor)
            found: Tensor = self.propagate(edges, patterns=patterns, alpha=weights, size=size)
            return found

        X = split_heads(self.key(sources), self.heads)[edges[0]]
        seen = self.explain_message(X, len(targets)) if self.explain else None
        read, weights = self.relaxation(
            split_heads(self.query(targets), self.heads),
            X,
            None if self.value is None else split_heads(self.value(sources), self.heads)[edges[0]],
            Sets(edges[1], len(targets)),
            pull,
            field=field,
            seen=seen,
            dropout=self.dropout if self.training else 0.0,
        )
        out: Tensor = self.out(read.flatten(1))
        if not return_attention_weights:
            return out
        if weights is None:
            raise ValueError(f"'{self.energy.spec.title}' is read by its state: no weights")
        return out, (edges, weights)

    def message(  # type: ignore[override]
        self, patterns: Tensor, alpha: Tensor
    ) -> Tensor:
        """What an edge brings, w_j x_j (n, H, e)."""
        return alpha.unsqueeze(-1) * patterns

    def __repr__(self) -> str:
        sizes = f"{self.in_channels}, {self.out_channels}, {self.heads}"
        return f"{type(self).__name__}({sizes}, {self.energy.spec.title!r})"

    def _field(self, edges: Tensor, weight: Tensor | None, attr: Tensor | None) -> Tensor | None:
        """The field h (n, H), or None."""
        field = None
        if weight is not None:
            self._check_reads_field()
            if weight.shape not in ((edges.shape[1],), (edges.shape[1], self.heads)):
                raise ValueError(
                    f"edge_weight must be ({edges.shape[1]},) or ({edges.shape[1]}, {self.heads}), "
                    f"got {tuple(weight.shape)}"
                )
            field = weight.view(len(weight), -1).expand(-1, self.heads)
        if attr is None:
            return field
        attr = attr.unsqueeze(-1) if attr.ndim == 1 else attr
        wanted = None if self.edge is None else (edges.shape[1], self.edge.in_features)
        if self.edge is None or attr.shape != wanted:
            raise ValueError(
                f"edge_attr must be {'None (no edge_dim was given)' if wanted is None else wanted},"
                f" got {tuple(attr.shape)}"
            )
        mapped: Tensor = self.edge(attr)
        return mapped if field is None else field + mapped

    def _check_reads_field(self) -> None:
        if not self.energy.reads_field:
            raise ValueError(
                f"'{self.energy.spec.title}' reads no field h, so edges can have no numbers"
            )


def head_width(channels: int, heads: int, head_dim: int | None) -> int:
    """Return the width of a head, `channels / heads` if it is not given.

    Raises:
        ValueError: it is below 1, or `heads` does not divide `channels`.
    """
    if head_dim is None:
        if channels % heads:
            raise ValueError(
                f"out_channels ({channels}) is not a multiple of heads ({heads}); choose another "
                "number of heads or give head_dim"
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
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def _edges(edge_index: Tensor) -> Tensor:
    """Edges (2, n) from source to target, also of a sparse `adj_t`."""
    if is_sparse(edge_index):
        return to_edge_index(edge_index)[0].flip(0)
    if edge_index.ndim != 2 or edge_index.shape[0] != 2 or edge_index.is_floating_point():
        raise ValueError(
            f"edge_index must be integers (2, n) or a sparse adj_t, got {tuple(edge_index.shape)} "
            f"of {edge_index.dtype}"
        )
    return edge_index


def _check_edges(edges: Tensor, sources: Tensor, targets: Tensor) -> None:
    """Check that edges stay within the nodes; on a CPU, as a GPU would have to wait for it."""
    if torch.compiler.is_compiling() or edges.device.type != "cpu" or not edges.numel():
        return
    for name, nodes, used in (("source", sources, edges[0]), ("target", targets, edges[1])):
        if not 0 <= int(used.min()) <= int(used.max()) < len(nodes):
            raise ValueError(
                f"{name} nodes are numbered 0 to {len(nodes) - 1}, edge_index has "
                f"{int(used.min())} to {int(used.max())}"
            )
