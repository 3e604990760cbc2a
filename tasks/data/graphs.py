"""Graphs of a user's: a class or a number for each node of one graph, or for each of many."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from attenergy.registry import DataError
from attenergy.tasks.core.base import IGNORE
from attenergy.tasks.core.batches import Batch, Inputs
from attenergy.tasks.core.contents import graph_codes
from attenergy.tasks.core.streams import Fields
from attenergy.tasks.data.base import DataTask
from attenergy.tasks.data.files import bytes_of, content_of, existing, is_builtin, signature
from attenergy.tasks.data.graph_files import Graph, content_of_graphs, pyg_set, read_graphs
from attenergy.tasks.data.prepared import MOST_CLASSES, Loaded, Prepared, at_last
from attenergy.tasks.data.splitting import SPLITS, row_keys

_MOST_PAIRS = 1 << 28  # of nodes, of all graphs
_AT_ONCE = 1 << 22  # pairs that are coded at a time
_WHAT = "a .pt file that torch.save wrote"


class _GraphData(DataTask):
    """What both tasks over graphs read."""

    def __init__(
        self,
        *,
        path: str = "",
        valid: float = 0.15,
        test: float = 0.15,
        content: str = "",
        facts: str = "",
        name: str = "graphs",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.path = str(path)
        super().__init__()

    def signature(self) -> Hashable:
        """Of the file."""
        return None if is_builtin(self.path) else signature(existing(self.path, _WHAT))

    def graphs(self) -> tuple[list[Graph], str, tuple[str, ...]]:
        """The graphs, a hash of them, and what is not read of them."""
        graphs = pyg_set(self.path)
        if graphs is not None:
            content = content_of(iter(content_of_graphs(graphs)))
        else:
            file = existing(self.path, _WHAT)
            content = content_of(bytes_of(file))
            graphs = read_graphs(file)
        ignored = ", ".join(sorted({name for graph in graphs for name in graph.ignored}))
        return graphs, content, (f"not read: {ignored}",) if ignored else ()

    def classes(self, y: Tensor) -> tuple[Tensor, tuple[str, ...]]:
        """The targets (N,) or (N, T), and the names of classes."""
        if y.is_floating_point():
            if not y.isfinite().all():
                raise DataError(f"{self.path}: y is not finite")
            return (y if y.ndim == 2 else y[:, None]).double(), ()
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if y.ndim != 1 or y.min() < 0:
            raise DataError(
                f"{self.path}: classes y are whole numbers from 0, one for each, got "
                f"{tuple(y.shape)} from {int(y.min())}"
            )
        size = int(y.max()) + 1
        if size > MOST_CLASSES:
            raise DataError(f"{self.path}: {size:,} classes y; at most {MOST_CLASSES:,}")
        return y.long(), tuple(map(str, range(size)))


class Nodes(_GraphData):
    """A class or a number for every node of one graph; a node sees its neighbours and itself.

    The nodes fall to train, valid and test, by the shares or by `train_mask`, `val_mask` and
    `test_mask` of the data; all of them are there in every instance, and those of the split are
    asked for. So a split has one instance, and a batch of one is enough. Features other than 0 and
    1 have the mean and deviation of the nodes in training; without any, a node has its degree.

    Args:
        path: a .pt file with one PyTorch Geometric `Data`: x, edge_index, y; or `pyg:karate`.
        valid: share of the nodes.
        test: share of the nodes.
        content: hash of the file, checked; written by the toolkit.
        facts: written by the toolkit.
        name: name in reports.
        seed: of the run; nothing is drawn.
        split_seed: decides the splits.

    Raises:
        ValueError: the file holds anything but tensors and Data, or what does not fit.

    Example:
        >>> make_task("karate-club").batch("train", 0, 1).inputs.shape
        torch.Size([1, 34, 34])
    """

    def load(self) -> Loaded:
        """Read the graph."""
        graphs, content, notes = self.graphs()
        if len(graphs) > 1:
            raise DataError(
                f"{self.path}: holds {len(graphs)} graphs; task 'graphs' asks for each of them"
            )
        graph = graphs[0]
        nodes = len(graph.x)
        if graph.y.ndim not in {1, 2} or len(graph.y) != nodes:
            raise DataError(
                f"{self.path}: y must have a row for each of the {nodes} nodes, got "
                f"{tuple(graph.y.shape)}"
            )
        targets, names = self.classes(graph.y)
        edges = int(graph.sees.sum()) - nodes
        return Loaded(
            targets=targets,
            keys=torch.arange(nodes),  # nodes alike are no leak: their neighbours tell them apart
            content=content,
            classes=names,
            given=self._given(graph),
            last=False,
            pairs=True,
            raw=graphs,
            notes=(f"one graph of {nodes} nodes and {edges} edges", *notes),
        )

    def _given(self, graph: Graph) -> Tensor | None:
        if "train_mask" not in graph.masks or len(graph.masks) < 2:
            return None
        given = torch.full((len(graph.x),), -1)
        for number, name in enumerate(("train_mask", "val_mask", "test_mask")):
            mask = graph.masks.get(name)
            if mask is None:
                continue
            if mask.dtype != torch.bool or mask.shape != given.shape:
                raise DataError(
                    f"{self.path}: {name} must be boolean ({len(given)},), got {mask.dtype} "
                    f"{tuple(mask.shape)}"
                )
            given[mask] = number
        return given

    def fit(self, loaded: Loaded, train: Tensor) -> tuple[Inputs, Fields]:
        """The features of all nodes."""
        x = loaded.raw[0].x
        return Inputs("vector", x.shape[1], len(x)), {"x": _scaled(x, x[train])}

    def _prepare(self) -> Prepared:
        prepared = super()._prepare()
        sizes = ", ".join(f"{name} {len(rows)}" for name, rows in prepared.rows.items())
        facts = prepared.facts.model_copy(update={"rows": dict.fromkeys(SPLITS, 1)})
        notes = (f"nodes asked for: {sizes}", *prepared.notes)
        return replace(prepared, facts=facts, notes=notes)

    def _take(self, split: str) -> Callable[[Tensor], Fields]:
        def take(rows: Tensor) -> Fields:
            data = self._data
            whole = data.loaded.targets
            asked = torch.full_like(whole, IGNORE if data.loaded.classes else torch.nan)
            asked[data.rows[split]] = whole[data.rows[split]]
            return {"targets": asked.expand(len(rows), *asked.shape).clone(), "row": rows}

        return take

    def encode(self, instances: Fields) -> Batch:
        """The whole graph (B, nodes, F), and who sees whom (B, nodes, nodes)."""
        count, data = len(instances["row"]), self._data
        x, sees = data.fields["x"], data.loaded.raw[0].sees
        return Batch(
            x.expand(count, *x.shape).clone(),
            self.answers(instances),
            sees.expand(count, *sees.shape).clone(),
        )

    def show(self, prepared: Prepared, row: int) -> GraphText:
        """The graph, with the answers of all nodes."""
        return GraphText(prepared.loaded.raw[0].sees, _answers(prepared))


class Graphs(_GraphData):
    """A class or a number for each of many graphs, asked for at a query that sees all nodes.

    A node sees its neighbours and itself. Features as in `Nodes`. Graphs that equal each other but
    for the numbering of their nodes stand in one split, as far as three rounds of colour refinement
    tell; see `DataTask` for splits, metrics and chance.

    Args:
        path: a .pt file with a list of PyTorch Geometric `Data` (x, edge_index, y), or what
            `InMemoryDataset.save` writes.
        valid: share of the graphs.
        test: share of the graphs.
        content: hash of the file, checked; written by the toolkit.
        facts: written by the toolkit.
        name: name in reports.
        seed: decides the order in training.
        split_seed: decides the splits.

    Raises:
        ValueError: the file holds anything but tensors and Data, or what does not fit.

    Example:
        >>> from torch_geometric.data import Data
        >>> x, edges = torch.randn(20, 3, 2), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> graphs = [Data(x=x[k], edge_index=edges, y=torch.tensor([k % 2])) for k in range(20)]
        >>> torch.save(graphs, "graphs.pt")
        >>> Graphs(path="graphs.pt").batch("train", 0, 4).inputs.shape
        torch.Size([4, 4, 3])
    """

    def load(self) -> Loaded:
        """Read the graphs."""
        graphs, content, notes = self.graphs()
        if len(graphs) == 1:
            raise DataError(f"{self.path}: holds one graph; task 'nodes' asks for its nodes")
        widths = {graph.x.shape[1] for graph in graphs}
        answers = {(g.y.numel(), g.y.is_floating_point()) for g in graphs}
        if len(widths) > 1 or len(answers) > 1:
            raise DataError(
                f"{self.path}: all graphs must have features of one width, got {sorted(widths)}, "
                f"and one answer each of one kind, got y of {sorted(n for n, _ in answers)} numbers"
            )
        length = max(len(graph.x) for graph in graphs)
        if len(graphs) * length**2 > _MOST_PAIRS:
            raise DataError(
                f"{self.path}: {len(graphs)} graphs of up to {length} nodes have more than "
                f"{_MOST_PAIRS:,} pairs of nodes, the limit"
            )
        targets, names = self.classes(torch.stack([g.y.flatten() for g in graphs]))
        return Loaded(
            targets=targets,
            keys=torch.cat([_codes(part) for part in _chunks(graphs, length)]),
            content=content,
            classes=names,
            pairs=True,
            raw=graphs,
            notes=(f"{len(graphs)} graphs of at most {length} nodes", *notes),
        )

    def fit(self, loaded: Loaded, train: Tensor) -> tuple[Inputs, Fields]:
        """Features `x`, `sees` and `nodes` of all graphs, padded."""
        graphs: list[Graph] = loaded.raw
        seen = torch.cat([graphs[k].x for k in train.tolist()])
        length, width = max(len(graph.x) for graph in graphs), seen.shape[1]
        x = torch.stack([_padded(_scaled(g.x, seen), length) for g in graphs])
        fields = {
            "x": x,
            "sees": torch.stack([_square(g.sees, length) for g in graphs]),
            "nodes": torch.tensor([len(g.x) for g in graphs]),
        }
        return Inputs("vector", width + 1, length + 1), fields

    def encode(self, instances: Fields) -> Batch:
        """The nodes, then the query, marked by one more feature, which sees all of them."""
        x = F.pad(instances["x"], (0, 1, 0, 1))
        x[:, -1, -1] = 1.0
        length = x.shape[1]
        sees = F.pad(instances["sees"], (0, 1, 0, 1))
        sees[:, -1, :-1] = torch.arange(length - 1) < instances["nodes"][:, None]
        sees[:, -1, -1] = True
        return Batch(x, at_last(self.answers(instances), length), sees)

    def show(self, prepared: Prepared, row: int) -> GraphText:
        """A graph and its answer."""
        return GraphText(prepared.loaded.raw[row].sees, self.answer(prepared, row))


def _scaled(x: Tensor, train: Tensor) -> Tensor:
    if ((x == 0) | (x == 1)).all() and ((train == 0) | (train == 1)).all():
        return x
    spread = train.double().std(0, correction=0)
    spread[spread == 0] = 1.0
    return ((x - train.double().mean(0)) / spread).float()


def _padded(x: Tensor, length: int) -> Tensor:
    return F.pad(x, (0, 0, 0, length - len(x)))


def _square(sees: Tensor, length: int) -> Tensor:
    more = length - len(sees)
    return F.pad(sees, (0, more, 0, more))


def _chunks(graphs: list[Graph], length: int) -> list[list[Graph]]:
    step = max(1, _AT_ONCE // length**2)
    return [graphs[k : k + step] for k in range(0, len(graphs), step)]


def _codes(graphs: list[Graph]) -> Tensor:
    """One code for each graph, whatever the numbering of its nodes."""
    length = max(len(graph.x) for graph in graphs)
    colours = [F.pad(row_keys(g.x), (0, length - len(g.x))) for g in graphs]
    edges = torch.stack([_square(g.sees, length) for g in graphs])
    codes = graph_codes(edges, torch.stack(colours))[:, 0]
    # Padding has a colour, too: how much there is must not depend on the others in a chunk.
    sizes = torch.tensor([len(g.x) for g in graphs])
    return (
        codes
        - (length - sizes)
        * graph_codes(torch.zeros(1, 1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.int64))[
            0, 0
        ]
    )


def _answers(prepared: Prepared) -> str:
    names, targets = prepared.loaded.classes, prepared.loaded.targets
    if names:
        return " ".join(f"{k}:{names[c]}" for k, c in enumerate(targets.tolist()))
    return " ".join(f"{k}:{row[0]:.4g}" for k, row in enumerate(targets.tolist()))


@dataclass(frozen=True)
class GraphText:
    """Who sees whom, and the answers."""

    sees: Tensor
    answer: str

    def __str__(self) -> str:
        pairs = (self.sees & ~torch.eye(len(self.sees), dtype=torch.bool)).nonzero().tolist()
        edges = " ".join(f"{j}>{i}" for i, j in pairs)
        return f"{len(self.sees)} nodes; edges: {edges}\n-> {self.answer}"
