"""Graphs of PyTorch Geometric on disk, read without running what a pickle may hold."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attenergy.registry import DataError, UnknownName
from attenergy.tasks.data.arrays import MOST_NUMBERS, plain_numbers
from attenergy.tasks.data.files import bytes_of

_MASKS = ("train_mask", "val_mask", "test_mask")
_MOST_NODES = 5000  # of a graph: attention has a number for each pair
_PREFIX = "pyg:"


@dataclass(frozen=True)
class Graph:
    """x: float (nodes, F). sees: bool (nodes, nodes), True where a row sees a column. y, masks."""

    x: Tensor
    sees: Tensor
    y: Tensor
    masks: dict[str, Tensor] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def pyg_set(path: str) -> list[Graph] | None:
    """The set that a path such as `pyg:karate` names; None for others.

    Raises:
        UnknownName: there is no such set.
    """
    if not path.startswith(_PREFIX):
        return None
    if path != f"{_PREFIX}karate":
        raise UnknownName("set of PyTorch Geometric", path.removeprefix(_PREFIX), ["karate"])
    from torch_geometric.datasets.karate import KarateClub

    whole: Any = KarateClub()[0]
    parts = {"x": whole.x, "edge_index": whole.edge_index, "y": whole.y}
    return [_graph(parts, path)]


def read_graphs(path: Path) -> list[Graph]:
    """The graphs of a file that `torch.save` wrote: a `Data`, a list of them, or a data set.

    The last is what `InMemoryDataset.save` writes. Nothing but tensors, plain containers and the
    class `Data` is loaded.

    Raises:
        ArgumentError: it holds something else, or is no such file.
    """
    from torch_geometric.data.data import Data, DataEdgeAttr, DataTensorAttr
    from torch_geometric.data.storage import GlobalStorage

    content = io.BytesIO(b"".join(bytes_of(path)))
    try:
        with torch.serialization.safe_globals([Data, DataEdgeAttr, DataTensorAttr, GlobalStorage]):
            loaded = torch.load(content, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path}: holds something else than tensors and Data, which is not loaded, for it can "
            f"run code: {str(error).splitlines()[-1]:.200}"
        ) from None
    except Exception as error:  # what a damaged file raises is of many kinds
        raise DataError(f"{path}: no file of torch.save: {str(error)!r:.100}") from None
    parts = _parts(loaded, str(path))
    if not parts:
        raise DataError(f"{path}: holds no graph")
    graphs: list[Graph] = []
    numbers = 0
    for k, part in enumerate(parts):
        graphs.append(_graph(part, f"{path}: graph {k}"))
        numbers += graphs[-1].x.numel() + graphs[-1].sees.numel()
        if numbers > MOST_NUMBERS:
            raise DataError(
                f"{path}: graph {k}: more than {MOST_NUMBERS:,} features and pairs of nodes"
            )
    return graphs


def _parts(loaded: Any, where: str) -> list[Mapping[str, Any]]:
    from torch_geometric.data.data import Data

    if isinstance(loaded, (Data, Mapping)):
        return [_mapping(loaded)]
    if isinstance(loaded, (list, tuple)) and len(loaded) >= 2 and _is_slices(loaded[1]):
        return _sliced(_mapping(loaded[0]), loaded[1], where)
    if isinstance(loaded, (list, tuple)) and all(isinstance(g, (Data, Mapping)) for g in loaded):
        return [_mapping(graph) for graph in loaded]
    raise DataError(
        f"{where}: must hold a torch_geometric Data, a list of them, or what InMemoryDataset.save "
        f"writes, got {type(loaded).__name__}"
    )


def _mapping(graph: Any) -> Mapping[str, Any]:
    content: Mapping[str, Any] = graph if isinstance(graph, Mapping) else graph.to_dict()
    return content


def _is_slices(value: Any) -> bool:
    if not isinstance(value, Mapping) or hasattr(value, "to_dict"):
        return False
    ends = value.get("edge_index")  # of a graph among others it is (2, edges)
    return isinstance(ends, Tensor) and ends.ndim == 1


def _sliced(whole: Mapping[str, Any], slices: Mapping[str, Any], where: str) -> list[Any]:
    slices = {
        name: plain_numbers(where, f"slices of {name}", ends)
        for name, ends in slices.items()
        if isinstance(ends, Tensor)
    }
    counts = {len(ends) - 1 for ends in slices.values() if ends.ndim == 1}
    whole_numbers = all(e.ndim == 1 and not e.is_floating_point() for e in slices.values())
    if len(counts) != 1 or not whole_numbers:
        raise DataError(f"{where}: its slices do not fit together")
    graphs: list[dict[str, Any]] = []
    for k in range(counts.pop()):
        graph = {}
        for name in ("x", "edge_index", "y", *_MASKS):
            if isinstance(whole.get(name), Tensor) and name in slices:
                low, high = slices[name][k : k + 2].tolist()
                values = whole[name]
                graph[name] = values[:, low:high] if name == "edge_index" else values[low:high]
        graphs.append(graph)
    return graphs


def _graph(parts: Mapping[str, Any], where: str) -> Graph:
    used = ("x", "edge_index", "y", "num_nodes", *_MASKS)
    ignored = tuple(str(name) for name in parts if name not in used)
    parts = {
        name: value
        if name in _MASKS or not isinstance(value, Tensor)
        else plain_numbers(where, name, value)
        for name, value in parts.items()
        if name in used
    }
    edges, y = parts.get("edge_index"), parts.get("y")
    if not isinstance(edges, Tensor) or edges.ndim != 2 or len(edges) != 2:
        raise DataError(f"{where}: needs edge_index (2, edges), got {_shape(edges)}")
    if not isinstance(y, Tensor) or not y.numel():
        raise DataError(f"{where}: needs y with the answers, got {_shape(y)}")
    x = parts.get("x")
    if x is not None and (not isinstance(x, Tensor) or x.ndim not in {1, 2}):
        raise DataError(f"{where}: x must be (nodes, features), got {_shape(x)}")
    known = parts.get("num_nodes")
    nodes = len(x) if isinstance(x, Tensor) else known if type(known) is int else _most(edges)
    if not 0 < nodes <= _MOST_NODES:
        raise DataError(f"{where}: {nodes} nodes; from 1 to {_MOST_NODES} are read")
    if edges.is_floating_point() or (edges.numel() and not 0 <= edges.min() <= edges.max() < nodes):
        raise DataError(f"{where}: edge_index must be whole numbers from 0 below {nodes}")
    sees = torch.eye(nodes, dtype=torch.bool)
    sees[edges[1].long(), edges[0].long()] = True
    if x is None:
        degree = sees.sum(1) - 1
        x = torch.stack([torch.ones(nodes), degree.float().log1p()], 1)
    x = (x if x.ndim == 2 else x[:, None]).float()
    if not x.isfinite().all():
        raise DataError(f"{where}: x is not finite")
    masks = {n: parts[n] for n in _MASKS if isinstance(parts.get(n), Tensor)}
    return Graph(x, sees, y, masks, ignored)


def _most(edges: Tensor) -> int:
    return int(edges.max()) + 1 if edges.numel() else 0


def _shape(value: Any) -> str:
    return f"{tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def content_of_graphs(graphs: list[Graph]) -> list[bytes]:
    """What a hash of graphs is made of, for those that are in no file."""
    return [part.numpy().tobytes() for g in graphs for part in (g.x, g.sees, g.y)]
