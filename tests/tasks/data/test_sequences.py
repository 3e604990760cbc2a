from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import TensorDataset

from attenergy.registry import load_registry
from attenergy.tasks import IGNORE, NextStep, Sequences, from_datasets, make_task

DRAW = np.random.default_rng(0)


def save(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.npz"


def tokens(rows: int = 60, length: int = 5) -> np.ndarray:
    return DRAW.integers(0, 7, (rows, length))


def test_a_class_at_a_query_after_the_tokens(path: Path) -> None:
    x, y, lengths = tokens(), np.arange(60) % 3, DRAW.integers(1, 6, 60)
    task = Sequences(path=save(path, x=x, y=y, lengths=lengths))
    assert (task.inputs.kind, task.inputs.size, task.inputs.length) == ("token", 8, 6)
    assert task.scored_positions == slice(-1, None)
    batch = task.batch("train", 0, 20)
    rows = task.instances("train", 0, 20)["row"]
    assert (batch.inputs[:, -1] == 7).all()
    assert batch.mask is not None
    assert batch.mask[:, -1].all()
    assert batch.mask[:, :-1].sum(-1).tolist() == lengths[rows].tolist()
    assert batch.targets[:, -1].tolist() == y[rows].tolist()
    assert (batch.targets[:, :-1] == IGNORE).all()
    assert batch.inputs[:, :-1].tolist() == x[rows].tolist()
    assert len(str(task.sample("train", 0)).split("\n")[0].split()) == lengths[rows[0]]


def test_vectors_are_standardised_by_what_training_sees(path: Path) -> None:
    x, lengths = DRAW.normal(3, 2, (50, 4, 2)), DRAW.integers(1, 5, 50)
    for k, length in enumerate(lengths):
        x[k, length:] = 1e6  # padding has no say
    task = Sequences(path=save(path, x=x, y=DRAW.normal(size=50), lengths=lengths))
    assert (task.inputs.kind, task.inputs.size, task.outputs.kind) == ("vector", 3, "number")
    batch = task.batch("train", 0, task.sizes["train"])
    assert batch.mask is not None
    seen = batch.inputs[:, :-1, :2][batch.mask[:, :-1]].double()
    torch.testing.assert_close(seen.mean(0), torch.zeros(2).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(seen.std(0, correction=0), torch.ones(2).double())
    assert (batch.inputs[:, -1] == torch.tensor([0.0, 0.0, 1.0])).all()
    assert (batch.inputs[:, :-1, -1] == 0).all()


def test_answers_at_every_position(path: Path) -> None:
    x, lengths = tokens(), DRAW.integers(2, 6, 60)
    y = (x + 1) % 3
    y[:, 0] = -100
    task = Sequences(path=save(path, x=x, y=y, lengths=lengths))
    assert task.scored_positions is None
    batch = task.batch("test", 0, 9)
    rows = task.instances("test", 0, 9)["row"]
    scored = batch.targets != IGNORE
    assert scored.sum(-1).tolist() == (lengths[rows] - 1).tolist()
    assert batch.targets[0, 1] == y[rows[0], 1]
    assert (task.inputs.length, task.inputs.size) == (5, 7)
    assert 0.2 < task.chance["accuracy"] < 0.9
    numbers = Sequences(path=save(path, x=x, y=x * 0.5, lengths=lengths))
    assert (numbers.outputs.kind, numbers.outputs.size) == ("number", 1)
    batch = numbers.batch("test", 0, 9)
    assert batch.targets.shape == (9, 5, 1)
    assert torch.equal(batch.targets.isnan()[..., 0], ~batch.mask)
    three = Sequences(path=save(path, x=x, y=DRAW.normal(size=(60, 3))))
    assert three.outputs.size == 3
    whole = Sequences(path=save(path, x=x, y=np.arange(60)), answer="number")
    assert whole.outputs.kind == "number"


def test_the_next_step(path: Path) -> None:
    x, lengths = tokens(), DRAW.integers(2, 6, 60)
    task = NextStep(path=save(path, x=x, lengths=lengths))
    assert task.options.keys() == {"path", "valid", "test", "content", "facts"}
    batch = task.batch("train", 0, 30)
    rows = task.instances("train", 0, 30)["row"]
    assert batch.inputs.tolist() == x[rows][:, :-1].tolist()
    assert batch.mask is not None
    for k, row in enumerate(rows.tolist()):
        there = batch.mask[k]
        assert there.sum() == lengths[row] - 1
        assert batch.targets[k][there].tolist() == x[row][1 : lengths[row]].tolist()
        assert (batch.targets[k][~there] == IGNORE).all()
    walk = NextStep(path=save(path, x=DRAW.normal(size=(40, 6, 2)).cumsum(1)))
    batch = walk.batch("train", 0, 5)
    assert (batch.inputs.shape, batch.targets.shape) == ((5, 5, 2), (5, 5, 2))
    perfect = walk.evaluate(lambda b: b.targets, "test", 99)
    assert perfect["r2"] == 1


def test_splits_that_the_file_says(path: Path) -> None:
    split = np.array(["train"] * 30 + ["val"] * 10 + ["test"] * 20)
    by_name = Sequences(path=save(path, x=np.arange(60)[:, None], y=np.arange(60) % 2, split=split))
    assert by_name.sizes == {"train": 30, "valid": 10, "test": 20}
    assert sorted(by_name.instances("valid", 0, 10)["row"].tolist()) == list(range(30, 40))
    numbers = np.repeat([0, 1, 2], [30, 10, 20])
    other = path.with_suffix(".safetensors")
    save_file({"x": torch.arange(60)[:, None], "y": torch.arange(60) % 2,
               "split": torch.from_numpy(numbers)}, other)  # fmt: skip
    assert Sequences(path=str(other)).sizes == by_name.sizes


class Harm:
    def __reduce__(self) -> tuple:
        return exec, ("raise SystemExit('run')",)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"x": np.array([Harm()], dtype=object)}, "Python objects are not allowed"),
    ({"y": np.zeros(3, int)}, "needs an array 'x' of sequences"),
    ({"x": np.zeros((9, 2), int)}, "no array 'y' with the answers; task 'next-step' needs none"),
    ({"x": np.zeros((9, 2), int), "z": np.zeros(3)}, "unknown array 'z'"),
    ({"x": np.zeros((9, 2), int), "lenghts": np.zeros(9)}, "did you mean 'lengths'"),
    ({"x": np.zeros(9), "y": np.zeros(9)}, r"got \(9,\) of torch.float64"),
    ({"x": np.zeros((9, 2)), "y": np.zeros(8)}, "a row for each of the 9 of x"),
    (
        {"x": np.zeros((9, 2)), "y": np.zeros((9, 3), int)},
        r"classes 'y' must be \(9,\) or \(9, 2\)",
    ),
    ({"x": np.full((9, 2), -1), "y": np.zeros(9)}, "whole numbers from 0 to .*, got -1 to -1"),
    ({"x": np.full((9, 2), np.nan), "y": np.zeros(9)}, "'x' is not finite in row 0"),
    ({"x": np.zeros((9, 2)), "y": np.full(9, np.nan)}, "'y' is NaN in row 0"),
    ({"x": np.full((9, 2), 1e39), "y": np.zeros(9)}, "'x' has a number beyond 3.4e38, .* row 0"),
    ({"x": np.zeros((9, 2)), "y": np.full((9, 2), -100)}, "nothing is asked"),
    ({"x": np.arange(80.0).reshape(40, 2), "y": np.arange(40) * 1e300}, "or beyond 1e.100"),
    ({"x": np.zeros((9, 2)), "y": np.zeros(9), "split": np.array("train")}, r"'split' must be"),
    ({"x": np.zeros((9, 2)), "y": np.arange(9) - 1}, "from 0, got -1 in row 0"),
    ({"x": np.zeros((9, 2)), "y": np.arange(9) * 9999}, "79,993 classes; at most 10,000"),
    ({"x": np.zeros((9, 2)), "y": np.zeros(9), "lengths": np.arange(9)}, "from 1 to 2, got 0 in"),
    ({"x": np.zeros((9, 2)), "y": np.zeros(9), "lengths": np.ones(9)}, "'lengths' must be whole"),
    ({"x": np.zeros((9, 2)), "y": np.zeros(9), "split": np.full(9, 3)}, "'split' is 0, 1 or 2"),
    ({"x": np.arange(80.0).reshape(40, 2), "y": np.ones(40)}, "the same in all rows in training"),
    ({"x": np.arange(80.0).reshape(40, 2), "y": np.ones(40, int)}, "one class only"),
    ({"x": np.zeros((40, 2)), "y": np.arange(40) % 2}, r"40 rows \(1 different\)"),
]


@pytest.mark.parametrize(("arrays", "said"), BAD, ids=[said[:30] for _, said in BAD])
def test_arrays_that_do_not_fit_are_refused(path: Path, arrays: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Sequences(path=save(path, **arrays))


def test_files_that_are_none_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(ValueError, match="is no npz file"):
        Sequences(path=str(path))
    other = path.with_suffix(".safetensors")
    other.write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="damaged"):
        Sequences(path=str(other))
    with pytest.raises(ValueError, match=r"must end in .npz or .safetensors"):
        Sequences(path=str(path.rename(path.with_suffix(".pt"))))
    with pytest.raises(ValueError, match="two steps"):
        NextStep(path=save(path, x=np.zeros((9, 1))))
    with pytest.raises(ValueError, match="task 'sequences' asks for it"):
        NextStep(path=save(path, x=np.zeros((9, 3)), y=np.zeros(9)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", b"0" * (1 << 20))
    monkeypatch.setattr("attenergy.tasks.data.arrays.MOST_BYTES", 1 << 19)
    with pytest.raises(ValueError, match="1,048,576 bytes of arrays; at most 524,288 are read"):
        Sequences(path=str(path))


def test_datasets_become_a_task_of_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = torch.randn(60, 4, 3), torch.arange(60) % 2
    parts = [TensorDataset(x[a:b], y[a:b]) for a, b in ((0, 40), (40, 50), (50, 60))]
    task = from_datasets(*parts, folder="mine", name="own", training={"steps": 7})
    assert task.options["path"] == "mine/data.safetensors"
    assert task.sizes == {"train": 40, "valid": 10, "test": 10}
    registry = load_registry("mine/registry.yaml", plugins=False)
    assert registry.task("own").training.steps == 7
    again = make_task("own", registry=registry)
    assert torch.equal(again.batch("train", 0, 9).inputs, task.batch("train", 0, 9).inputs)
    scaled = (x - x[:40].mean((0, 1))) / x[:40].std((0, 1), correction=0)
    rows = task.instances("test", 0, 10)["row"]
    torch.testing.assert_close(task.batch("test", 0, 10).inputs[:, :4, :3], scaled[rows])


def test_items_may_be_dictionaries_and_of_any_length(tmp_path: Path) -> None:
    items = [
        {"x": torch.arange(1 + k % 5) + k, "y": torch.arange(1 + k % 5) % 3} for k in range(80)
    ]
    task = from_datasets(items[:60], items[60:], folder=tmp_path)
    assert task.sizes["valid"] == 20
    assert task.scored_positions is None
    batch = task.batch("test", 0, 5)
    assert batch.mask is not None
    assert torch.equal(batch.mask, batch.targets != IGNORE)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([(torch.zeros(3), 1), (torch.zeros(3, dtype=torch.long), 1)], "all items must be alike"),
        ([(torch.zeros(2, 3, 4), 1)], r"inputs must be \(L,\) or \(L, F\), got \(2, 3, 4\)"),
        ([{"image": 1, "label": 2}], "needs inputs or x and targets or y .* has image, label"),
        ([(1, 2, 3)], r"item 0 of train: must be \(inputs, target\)"),
        ([], "have no items"),
        ([(torch.zeros(3), torch.zeros(2)), (torch.zeros(3), torch.zeros(1))], "one shape"),
        (iter([]), "train must be a map-style dataset"),
    ],
)
def test_items_that_do_not_fit_are_refused(tmp_path: Path, items: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        from_datasets(items, [], folder=tmp_path)
