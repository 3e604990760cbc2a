"""`EnergyConv`: every node is a state, its neighbours its stored patterns."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.parameter import is_lazy
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import add_self_loops, remove_self_loops

from attenergy.attention.graphs.inputs import (
    LAZY,
    check_sizes,
    check_width,
    head_width,
    node_map,
    nodes_and_edges,
    reset_linear,
)
from attenergy.attention.graphs.set_heads import SetHeads, split_heads
from attenergy.attention.graphs.sets import Sets
from attenergy.attention.layers.base import Read
from attenergy.attention.layers.description import arguments_around
from attenergy.attention.modules.arguments import (
    check_flag,
    check_numbers,
    check_tensor,
    is_whole,
    weight_of,
)
from attenergy.attention.modules.initialisation import dense
from attenergy.attention.modules.pair_dropout import check_dropout
from attenergy.attention.saving.format import LayerArguments
from attenergy.attention.saving.pretrained import Pretrained
from attenergy.energies import Energy, EnergyLike
from attenergy.energies.settings.keywords import known_arguments
from attenergy.registry import ArgumentError, GraphError, RegistryLike

#: Settings of a layer that are not its energy's, with their defaults.
_OWN = {"head_dim": None, "bias": True, "add_self_loops": False}


class EnergyConv(Pretrained, MessagePassing):
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

    Targets without features, `(x, None)`, start from the bias: xi_i = bq.

    Shapes:
        x (N, in_channels), or (N_src, in), (N_dst, in) for a bipartite graph; edge_index (2, n),
        from source to target, or a sparse adjacency `adj_t` (N_dst, N_src), whose values are read
        as `edge_attr` where there is an `edge_dim`, else not at all; edge_weight (n,) or (n, H);
        edge_attr (n, edge_dim). Output (N_dst, out_channels).

    Args:
        in_channels: width of the nodes, or a pair (sources, targets); -1 for what the first input
            will say.
        out_channels: width of the output.
        heads: H.
        energy: whatever names one (see `attenergy.make_energy`) that reads patterns in no order and
            has an energy of its own for every state.
        steps: number of steps, from 1; the entry's default if None.
        step_size: gamma; the entry's default if None.
        read: `weights`, `state`, or `auto` to follow the entry.
        edge_dim: width of `edge_attr`; None if there is none.
        dropout: probability of dropping a weight in training, where weights are read.
        registry: where the name is looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.
        **settings: parameters, choices and options of the energy; `head_dim` (D; out_channels / H
            if absent), `bias` (of the maps, True), `add_self_loops` (False; replaces those there
            are, field 0), `form` (`auto`; see `attenergy.attention.graphs.set_heads`), and
            `backend`, `solver` and the like as for `EnergyAttention`.

    Raises:
        ValueError: unknown name or setting, numbers that do not fit, or an energy that cannot
            stand on a graph.

    Source: Gilmer et al. 2017, arXiv:1704.01212, for message passing; Ramsauer et al. 2020,
        arXiv:2008.02217, for the step.

    Example:
        >>> conv = EnergyConv(16, 32, heads=4, energy="lse", steps=2)
        >>> edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> conv(torch.randn(3, 16), edges).shape
        torch.Size([3, 32])
    """

    def __init__(
        self,
        /,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        energy: EnergyLike = "lse",
        *,
        steps: int | None = None,
        step_size: float | None = None,
        read: Read = "auto",
        edge_dim: int | None = None,
        dropout: float = 0.0,
        registry: RegistryLike | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(aggr="sum", node_dim=0)
        own = {name: settings.pop(name, default) for name, default in _OWN.items()}
        pair = in_channels if isinstance(in_channels, (tuple, list)) else (in_channels,) * 2
        source, target = pair
        for width in pair:
            check_sizes(in_channels=1 if is_whole(width) and width == LAZY else width)
        check_sizes(heads=heads, out_channels=out_channels)
        check_sizes(edge_dim=1 if edge_dim is None else edge_dim)
        dim = head_width(out_channels, heads, own["head_dim"])
        bias = check_flag("bias", own["bias"])
        self.in_channels, self.out_channels, self.heads = in_channels, out_channels, heads
        self.add_self_loops = check_flag("add_self_loops", own["add_self_loops"])
        self.dropout = check_dropout(dropout)
        with known_arguments(type(self), _OWN):
            self.relaxation = SetHeads(
                energy, dim, heads,
                steps=steps, step_size=step_size, read=read, registry=registry, **settings,
            )  # fmt: skip
        self.query = node_map(target, heads * dim, bias)
        self.key = node_map(source, heads * dim, bias)
        by_weights = self.relaxation.read == "weights"
        self.value = node_map(source, heads * dim, bias) if by_weights else None
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
        x: Tensor | tuple[Tensor, Tensor | None],
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        return_attention_weights: bool = False,
        size: tuple[int | None, int | None] | None = None,
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Relax every node on its neighbours and read.

        Args:
            x: nodes, or a pair of sources and targets; targets of None have no features.
            edge_index: edges from sources to targets, int64 or int32, or a sparse `adj_t`.
            edge_weight: numbers added to the scores of the edges.
            edge_attr: features of the edges, which `edge_dim` maps to such numbers; the values of a
                sparse `adj_t` if None.
            return_attention_weights: whether to return the weights read by as well.
            size: numbers of sources and targets; needed where targets have no features and are
                not as many as the sources.

        Returns:
            (N_dst, out_channels), or a pair of it and (edges, their weights (n, H)).

        Raises:
            TypeError: something is no tensor.
            ValueError: a shape or type does not fit, edges leave the graph, numbers for edges with
                an energy that reads no field, weights where none are read by, or another `flow`.
        """
        self._check_flow()
        sources, targets, count, edges, values = nodes_and_edges(x, edge_index, size)
        check_numbers("x", sources, weight_of(self.out))
        check_width("sources", sources, self.key)
        if targets is not None:
            check_numbers("x", targets, weight_of(self.out))
            check_width("targets", targets, self.query)
        if edge_attr is None and self.edge is not None:
            edge_attr = values
        field = self._field(edges, edge_weight, edge_attr)
        if self.add_self_loops:
            nodes = min(len(sources), count)
            edges, field = remove_self_loops(edges, field)
            edges, field = add_self_loops(edges, field, fill_value=0.0, num_nodes=nodes)
        both = (len(sources), count)

        def pull(weights: Tensor, patterns: Tensor) -> Tensor:
            # propagate_type: (patterns: Tensor, alpha: Tensor)
            pulled: Tensor = self.propagate(edges, patterns=patterns, alpha=weights, size=both)
            return pulled

        X = split_heads(self.key(sources), self.heads)[edges[0]]
        seen = self.explain_message(X, count) if self.explain else None
        read, weights = self.relaxation(
            split_heads(self._states(sources, targets, count), self.heads),
            X,
            None if self.value is None else split_heads(self.value(sources), self.heads)[edges[0]],
            Sets(edges[1], count),
            pull,
            field=field,
            seen=seen,
            dropout=self.dropout if self.training else 0.0,
        )
        out: Tensor = self.out(read.flatten(1))
        if not return_attention_weights:
            return out
        if weights is None:
            raise ArgumentError(
                f"'{self.energy.spec.title}' is read by its state: no weights", topic="no-weights"
            )
        return out, (edges, weights)

    def description(self) -> LayerArguments:
        """What the layer is saved as; see `Pretrained.description`.

        Raises:
            ValueError: a width is not known yet, or as there.
        """
        name = type(self).__name__
        if is_lazy(self.key.weight) or is_lazy(self.query.weight):
            raise ArgumentError(
                f"{name} cannot be described before it has seen features of sources and targets: "
                f"in_channels is {self.in_channels}",
                topic="saved-model",
            )
        self._check_flow()
        source, target = self.key.weight.shape[1], self.query.weight.shape[1]
        bipartite = isinstance(self.in_channels, (tuple, list))
        return arguments_around(
            self.relaxation, "conv", embed_dim=self.out_channels, num_heads=self.heads,
            head_dim=self.relaxation.energy.dim, dropout=check_dropout(self.dropout),
            in_channels=source, target_channels=target if bipartite else None,
            bias=self.out.bias is not None,
            add_self_loops=check_flag("add_self_loops", self.add_self_loops),
            edge_dim=None if self.edge is None else self.edge.in_features,
        )  # fmt: skip

    def message(  # type: ignore[override]
        self, patterns: Tensor, alpha: Tensor
    ) -> Tensor:
        """What an edge brings, w_j x_j (n, H, e)."""
        return alpha.unsqueeze(-1) * patterns

    def __repr__(self) -> str:
        sizes = f"{self.in_channels}, {self.out_channels}, {self.heads}"
        return f"{type(self).__name__}({sizes}, {self.energy.spec.title!r})"

    def _states(self, sources: Tensor, targets: Tensor | None, count: int) -> Tensor:
        """Wq x_i + bq of the targets, (N_dst, H * D); those without features have x_i = 0."""
        if targets is None:
            if is_lazy(self.query.weight):  # nobody knows how wide they would be
                return sources.new_zeros(count, self.query.out_features)
            targets = sources.new_zeros(count, self.query.in_features)
        mapped: Tensor = self.query(targets)
        return mapped

    def _field(self, edges: Tensor, weight: Tensor | None, attr: Tensor | None) -> Tensor | None:
        """The field h (n, H), or None."""
        field = None
        if weight is not None:
            check_tensor("edge_weight", weight)
            self._check_reads_field()
            if weight.shape not in ((edges.shape[1],), (edges.shape[1], self.heads)):
                raise GraphError(
                    f"edge_weight must be ({edges.shape[1]},) or ({edges.shape[1]}, {self.heads}), "
                    f"got {tuple(weight.shape)}"
                )
            field = weight.view(len(weight), -1).expand(-1, self.heads)
        if attr is None:
            return field
        check_tensor("edge_attr", attr)
        attr = attr.unsqueeze(-1) if attr.ndim == 1 else attr
        wanted = None if self.edge is None else (edges.shape[1], self.edge.in_features)
        if self.edge is None or attr.shape != wanted:
            raise GraphError(
                f"edge_attr must be {'None (no edge_dim was given)' if wanted is None else wanted},"
                f" got {tuple(attr.shape)}"
            )
        check_numbers("edge_attr", attr, weight_of(self.edge))
        mapped: Tensor = self.edge(attr)
        return mapped if field is None else field + mapped

    def _check_flow(self) -> None:
        if self.flow != "source_to_target":
            raise ArgumentError(
                f"{type(self).__name__} has flow 'source_to_target' alone, got '{self.flow}': "
                "turn the edges round, edge_index.flip(0)"
            )

    def _check_reads_field(self) -> None:
        if not self.energy.reads_field:
            raise ArgumentError(
                f"'{self.energy.spec.title}' reads no field h, so edges can have no numbers",
                topic="no-field",
            )
