from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset

from attenergy.tasks import IGNORE, Graphs, Nodes


def ring(size: int, label: int, wide: int = 2) -> Data:
    there = torch.arange(size)
    edges = torch.stack([there, (there + 1) % size])
    x = torch.randn(size, wide)
    return Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1), y=torch.tensor([label]))


def save(path: Path, graphs: Any) -> str:
    torch.save(graphs, path)
    return str(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "graphs.pt"


def test_a_graph_is_its_nodes_and_a_query_that_sees_them_all(path: Path) -> None:
    graphs = [ring(3 + k % 4, k % 2) for k in range(40)]
    task = Graphs(path=save(path, graphs))
    assert (task.inputs.length, task.inputs.size, task.outputs.size) == (7, 3, 2)
    batch = task.batch("train", 0, 9)
    rows = task.instances("train", 0, 9)["row"].tolist()
    assert batch.mask is not None
    for k, row in enumerate(rows):
        size = 3 + row % 4
        mask = batch.mask[k]
        assert mask[-1].tolist() == [*[True] * size, *[False] * (6 - size), True]
        assert not mask[:-1, -1].any()
        seen = mask[:size, :size]
        assert (seen == seen.T).all()
        assert (seen.sum(1) == 3).all()  # two neighbours and itself
        assert not mask[size:-1].any()
        assert batch.targets[k].tolist() == [*[IGNORE] * 6, row % 2]
    assert batch.inputs[:, -1].tolist() == [[0, 0, 1]] * 9
    train = task.batch("train", 0, task.sizes["train"])
    assert train.mask is not None
    nodes = train.inputs[:, :-1, :2][train.mask[:, -1, :-1]].double()
    torch.testing.assert_close(nodes.mean(0), torch.zeros(2).double(), atol=1e-6, rtol=0)


def test_graphs_that_are_numbered_otherwise_stand_in_one_split(path: Path) -> None:
    graphs = []
    for k in range(30):
        whole = ring(4 + k % 3, k % 2)
        order = torch.randperm(len(whole.x))
        place = order.argsort()
        moved = Data(x=whole.x[order], edge_index=place[whole.edge_index], y=whole.y)
        graphs += [whole, moved]
    task = Graphs(path=save(path, graphs))
    for split in task.splits:
        rows = set(task.instances(split, 0, task.sizes[split])["row"].tolist())
        assert {row ^ 1 for row in rows} == rows
    assert "30 rows equal others in their inputs: such stand in one split" in task.notes


def test_a_data_set_of_pytorch_geometric(path: Path) -> None:
    graphs = [ring(3 + k % 4, k % 2) for k in range(40)]
    InMemoryDataset.save(graphs, str(path))
    sliced, listed = Graphs(path=str(path)), Graphs(path=save(path.with_name("list.pt"), graphs))
    assert sliced.content != listed.content
    one, other = (task.batch("test", 0, 5) for task in (sliced, listed))
    torch.testing.assert_close(one.inputs, other.inputs)
    assert torch.equal(one.targets, other.targets)


def test_dictionaries_are_graphs_too(path: Path) -> None:
    graphs = [ring(3 + k, k % 2) for k in range(30)]
    contents = [{**graph.to_dict(), "y": graph.y.to(torch.uint16)} for graph in graphs]
    one, other = Graphs(path=save(path, contents)), Graphs(path=save(path.with_name("b"), graphs))
    assert torch.equal(one.batch("test", 0, 4).targets, other.batch("test", 0, 4).targets)


def test_nodes_of_one_graph(path: Path) -> None:
    graph = ring(40, 0)
    graph.y = torch.arange(40) % 2
    graph.edge_attr = torch.zeros(80, 1)
    task = Nodes(path=save(path, graph))
    assert task.sizes == {"train": 1, "valid": 1, "test": 1}
    assert "not read: edge_attr" in task.notes
    batches = [task.batch(split, 0, 2) for split in task.splits]
    asked = torch.stack([batch.targets != IGNORE for batch in batches])
    assert (asked.sum(0) == 1).all()  # each node in one split
    assert asked.sum(-1).tolist() == [[28] * 2, [6] * 2, [6] * 2]
    for batch in batches:
        there = batch.targets != IGNORE
        assert torch.equal(batch.targets[there], graph.y.expand(2, -1)[there])
        assert batch.mask is not None
        assert (batch.mask.sum(-1) == 3).all()
    assert task.evaluate(lambda b: torch.zeros(*b.targets.shape, 2), "test", 4096)["accuracy"] < 1
    graph.train_mask, graph.test_mask = torch.arange(40) < 20, torch.arange(40) >= 30
    graph.val_mask = ~(graph.train_mask | graph.test_mask)
    given = Nodes(path=save(path, graph))
    assert (given.batch("valid", 0, 1).targets[0] != IGNORE).tolist() == graph.val_mask.tolist()
    graph.y = torch.randn(40)
    assert Nodes(path=save(path, graph)).batch("test", 0, 3).targets.shape == (3, 40, 1)


def test_the_karate_club() -> None:
    task = Nodes(path="pyg:karate")
    batch = task.batch("train", 0, 1)
    assert batch.mask is not None
    edges = batch.mask[0] & ~torch.eye(34, dtype=torch.bool)
    club = torch.tensor(nx.to_numpy_array(nx.karate_club_graph())) > 0
    assert torch.equal(edges, club)
    assert batch.inputs[0].tolist() == torch.eye(34).tolist()


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('run')",)


RING = ring(4, 0).to_dict()
BAD: list[tuple[type, Any, str]] = [
    (Nodes, [ring(4, 0), ring(5, 1)], "holds 2 graphs; task 'graphs' asks"),
    (Graphs, ring(4, 0), "holds one graph; task 'nodes' asks"),
    (Graphs, [ring(4, 0), ring(4, 1, wide=3)], "features of one width"),
    (Graphs, [Data(x=torch.zeros(3, 1), y=torch.tensor([1]))], "needs edge_index"),
    (Graphs, [Data(edge_index=torch.tensor([[0], [1]]))], "graph 0: needs y"),
    (Nodes, ring(4, 0), "a row for each of the 4 nodes"),
    (Nodes, {"edge_index": torch.tensor([[0], [9]]), "x": torch.zeros(3, 1),
             "y": torch.zeros(3)}, "whole numbers from 0 below 3"),
    (Nodes, {"edge_index": torch.zeros(2, 0, dtype=torch.int64), "y": torch.zeros(3),
             "x": torch.zeros(3, 1).to_sparse()}, "must be a plain tensor"),
    (Nodes, {**RING, "y": torch.zeros(4, 1, 2)}, "a row for each of the 4 nodes"),
    (Nodes, {**RING, "y": torch.tensor(1)}, "a row for each of the 4 nodes"),
    (Nodes, {**RING, "x": torch.empty(4, 1, device="meta")}, "must be a plain tensor"),
    (Nodes, {**RING, "x": torch.zeros(4, 1) + 0j}, "'x' holds torch.complex64"),
    (Nodes, {**RING, "y": torch.arange(4) + 0j}, "'y' holds torch.complex64"),
    (Nodes, {**RING, "y": torch.arange(4) * 10**15}, "classes y; at most 10,000"),
    (Nodes, {**RING, "x": torch.zeros(1, 1).expand(4, 1 << 27)}, "at most 268"),
    (Graphs, (ring(4, 0), {"edge_index": torch.tensor([0.0, 1.5])}), "do not fit together"),
    (Graphs, (ring(4, 0), {"edge_index": torch.tensor([0, 1]), "y": torch.tensor(1)}), "do not"),
    (Graphs, [], "holds no graph"),
    (Graphs, torch.zeros(3), "must hold a torch_geometric Data.* got Tensor"),
    (Graphs, Harm(), "holds something else than tensors and Data"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "content", "said"), BAD, ids=[said[:30] for *_, said in BAD])
def test_what_does_not_fit_is_refused(path: Path, kind: Any, content: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind(path=save(path, content))


def test_files_that_are_none_are_refused(path: Path) -> None:
    for content in (b"", b"graph", pickle.dumps(Harm())):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"no file of torch.save|holds something else"):
            Graphs(path=str(path))
    with pytest.raises(ValueError, match=r"no set of PyTorch Geometric 'karat' .did you mean"):
        Nodes(path="pyg:karat")
