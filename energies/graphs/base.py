"""Energies on a graph: a rule from the entry's options, or the user's own graph."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from attenergy.energies.base import Energy
from attenergy.energies.graphs.couplings import Couplings, EdgeList, check_kind, rule_couplings
from attenergy.energies.graphs.own_graphs import checked, own_couplings
from attenergy.energies.graphs.present_nodes import embedded_couplings
from attenergy.energies.graphs.topologies import (
    KNN,
    Shape,
    check_shape,
    check_topology,
    nearest_neighbours,
)
from attenergy.energies.presence import all_present
from attenergy.registry import ArgumentError, GraphError

if TYPE_CHECKING:
    import networkx as nx
    import numpy as np

    Graph = nx.Graph[Any]
    Array = np.ndarray[Any, Any]

#: The buffers that hold a graph of the user's own begin so.
_OWN = "own_graph_"


class OnGraph(Energy):
    """An energy whose states, patterns or components are the nodes of a graph.

    Options, as far as the entry has them:
        graph: rule of the graph (`attenergy.energies.graphs.topologies`); `knn` joins nearest
            patterns.
        graph_seed: seed of the rules and couplings that are random.
        graph_degree, graph_rewire, graph_blocks, graph_mixing: numbers of the rules (`Shape`).
        couplings: kind of the numbers on the edges (`attenergy.energies.graphs.couplings`).

    A rule's graph is built on the nodes that are present, so padding changes nothing: patterns that
    some state sees, or, where states are the nodes, those that see some pattern. `use_graph` puts a
    graph of the user's own in the rule's place; its nodes are positions, present or not.

    Raises:
        ValueError: unknown rule or kind, or a number out of range.
    """

    #: Kinds of couplings besides those of `attenergy.energies.graphs.couplings`.
    own_kinds: ClassVar[tuple[str, ...]] = ()
    #: Is told the sizes of the user's graph whenever there is another one; see `own_sizes`.
    watch_graph: Callable[[dict[str, list[int]]], None] | None = None

    def setup(self) -> None:
        """Read the options of the graph."""
        chosen = {
            n: self.settings.get(n, option.default) for n, option in self.spec.options.items()
        }
        self.chosen = chosen
        self.graph = check_topology(str(chosen.get("graph", "lattice")))
        self.kind = check_kind(str(chosen.get("couplings", "ferromagnetic")), self.own_kinds)
        self.graph_seed = self.whole_option("graph_seed", 0)
        given = {n: chosen[f"graph_{n}"] for n in Shape._fields if f"graph_{n}" in chosen}
        self.shape = Shape(**given)  # type: ignore[arg-type]
        check_shape(self.shape)

    def use_graph(
        self,
        graph: Graph | Tensor | Array | None,
        *,
        nodes: int | None = None,
        weights: Tensor | Array | str | None = None,
        batch: Tensor | Array | None = None,
        order: Iterable[Hashable] | None = None,
    ) -> Self:
        """Take a graph of your own instead of the rule; None goes back to the rule.

        Its weights are the couplings J_ij, 1 if it has none. What is given is copied; it is part of
        the state dictionary and of a saved folder, moves with the energy and is copied with it.

        Args:
            graph: a networkx graph of any class, directed ones with the same weight both ways;
                floating point or boolean: an adjacency matrix (n, n), or (B, n, n) with one for
                each sample; integers: edges (2, m) as PyTorch Geometric's `edge_index`, both
                directions listed. Arrays of numpy do as well. Nodes without edges are nodes, and
                parallel edges add up.
            nodes: n, for edges.
            weights: of the edges, (m,), PyTorch Geometric's `edge_weight`; for a networkx graph the
                name of the edges' attribute, `weight` if None.
            batch: sample of every node, for the edges of a PyTorch Geometric batch; the graphs
                are padded to the size of the largest.
            order: names of a networkx graph's nodes, state or pattern 0 first; if None as in
                `list(graph)`, the order in which they were added, whatever their names are.

        Returns:
            The energy itself.

        Raises:
            ValueError: a type or shape does not fit, or the graph is not symmetric or has
                self-loops.
        """
        own = None if graph is None else own_couplings(graph, nodes, weights, batch, order)
        if isinstance(own, EdgeList):
            own = EdgeList(own.pairs.clone(), own.values.clone(), own.nodes)
        self._keep_graph(own.clone() if isinstance(own, Tensor) else own)
        return self

    def _keep_graph(self, own: Couplings | None) -> None:
        """Keep the user's graph in buffers; the nodes of a list are an empty tensor's length."""
        for name in [name for name in self._buffers if name.startswith(_OWN)]:
            delattr(self, name)
        if isinstance(own, EdgeList):
            self.register_buffer(_OWN + "pairs", own.pairs)
            self.register_buffer(_OWN + "values", own.values)
            self.register_buffer(_OWN + "nodes", own.values.new_zeros(own.nodes, 0))
        elif own is not None:
            self.register_buffer(_OWN + "matrix", own)
        if self.watch_graph is not None:
            self.watch_graph(self.own_sizes())

    def own_sizes(self) -> dict[str, list[int]]:
        """Shapes of the tensors of the user's graph by name; none if the rule's is in use."""
        own = {name: value for name, value in self._buffers.items() if name.startswith(_OWN)}
        return {name[len(_OWN) :]: list(t.shape) for name, t in own.items() if t is not None}

    def make_room(self, sizes: Mapping[str, Sequence[int]]) -> None:
        """Take tensors of these sizes, as of `own_sizes`, for a graph whose values come later.

        Raises:
            ValueError: no graph consists of such tensors.
        """
        types = {"pairs": torch.long}
        made = {n: torch.zeros(*size, dtype=types.get(n)) for n, size in sizes.items()}
        own = _of_tensors(made)
        if own is None:
            raise GraphError(f"a graph does not consist of {', '.join(sizes) or 'nothing'}")
        self._keep_graph(own)

    def check_graph(self) -> None:
        """Check the user's graph, whose values somebody else may have written.

        Raises:
            ValueError: it is no graph of an energy.
        """
        if self._own is not None:
            checked(self._own)

    @property
    def _own(self) -> Couplings | None:
        """The user's graph, or None; that of a layer's last step is lent to the other steps."""
        lent: Couplings | None = vars(self).get("_lent")
        if lent is not None:
            return lent
        matrix = self._buffers.get(_OWN + "matrix")
        if matrix is not None:
            return matrix
        pairs, values = self._buffers.get(_OWN + "pairs"), self._buffers.get(_OWN + "values")
        nodes = self._buffers.get(_OWN + "nodes")
        if pairs is None or values is None or nodes is None:
            return None
        return EdgeList(pairs, values, nodes.shape[0])

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any, **more: Any
    ) -> None:
        """Take the graph that was saved, or the rule if none was."""
        start = prefix + _OWN
        saved = {name[len(start) :]: t for name, t in state_dict.items() if name.startswith(start)}
        like = next(iter(self.buffers()), next(iter(self.parameters()), None))
        device = None if like is None else like.device
        try:
            own = _saved_graph(saved)
        except ArgumentError as error:
            # The last argument collects errors, which `load_state_dict` raises together.
            rest[-1].append(f"{start}*: {error}")
            return
        if isinstance(own, EdgeList):
            pairs, values = (part.to(device, copy=True) for part in own[:2])
            self._keep_graph(EdgeList(pairs, values, own.nodes))
        elif own is not None:
            self._keep_graph(own.to(device, copy=True))
        elif not saved:
            self._keep_graph(None)
        super()._load_from_state_dict(state_dict, prefix, *rest, **more)

    def constants(self) -> tuple[object, ...]:
        """What the user's graph consists of."""
        own = self._own
        return own[:2] if isinstance(own, EdgeList) else () if own is None else (own,)

    def couplings_of_states(self, xi: Tensor, mask: Tensor | None = None) -> Couplings:
        """J between states, a list or (..., L, L).

        A rule's graph is that of the states which see something, in their order.

        Raises:
            ValueError: another number of states than the graph has nodes, or `knn`.
        """
        if self._own is None and self.graph == KNN:
            raise GraphError(
                "the graph 'knn' is one of stored patterns, and here states interact; build one "
                "with `nearest_neighbours` and give it to `use_graph`"
            )
        if mask is None or self._own is not None or all_present(mask, -1):
            return self._by_position(xi.shape[-2], xi, 0)
        present = mask.any(-1).expand(*mask.shape[:-2], xi.shape[-2])
        return self._of_present(xi.shape[-2], xi, present, 0)

    def couplings_of_patterns(self, X: Tensor, mask: Tensor | None) -> Couplings:
        """J between patterns, a list, (S, S) or (..., L|1, S, S).

        A rule's graph is that of the patterns which some state sees, in their order.

        Raises:
            ValueError: another number of patterns than the graph has nodes.
        """
        if self._own is None and self.graph == KNN:
            return nearest_neighbours(X, self.shape.degree, mask)
        if mask is None or self._own is not None or all_present(mask, -2):
            return self._by_position(X.shape[-2], X, 1)
        return self._of_present(X.shape[-2], X, mask.any(-2), 1)

    def _of_present(self, nodes: int, like: Tensor, present: Tensor, extra_axes: int) -> Tensor:
        """J on the present nodes (..., n), with as many axes of length 1 before the last two."""
        shape = tuple(self.shape)
        placed = embedded_couplings(self.kind, self.graph, present, self.graph_seed, shape, like)
        return placed.reshape(*present.shape[:-1], *(1,) * extra_axes, nodes, nodes)

    def _by_position(self, nodes: int, like: Tensor, extra_axes: int) -> Couplings:
        if self._own is None:
            return rule_couplings(
                self.kind, self.graph, nodes, self.graph_seed, tuple(self.shape), like
            )
        own = self._own
        size = own.nodes if isinstance(own, EdgeList) else own.shape[-1]
        if size != nodes:
            raise GraphError(f"the graph in use has {size} nodes, there are {nodes}")
        if isinstance(own, EdgeList):
            return EdgeList(own.pairs.to(like.device), own.values.to(like), size)
        own = own.to(like)
        if own.ndim == 2:
            return own
        extra_axes += self.num_heads is not None
        return own.reshape(-1, *(1,) * extra_axes, nodes, nodes)


def _saved_graph(saved: dict[str, Tensor]) -> Couplings | None:
    """The graph among the tensors of a state dictionary, checked if it has values."""
    own = _of_tensors(saved)
    if own is None or any(part.is_meta for part in saved.values()):
        return own
    return checked(own)


def _of_tensors(tensors: dict[str, Tensor]) -> Couplings | None:
    """The graph that consists of some tensors, if they are those of one."""
    if set(tensors) == {"matrix"}:
        return tensors["matrix"]
    if set(tensors) == {"pairs", "values", "nodes"}:
        return EdgeList(tensors["pairs"], tensors["values"], tensors["nodes"].shape[0])
    return None
