from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from attenergy.registry import ModelSpec, TaskSpec, TrainingSpec
from attenergy.tasks import IGNORE, Table, make_task, needs_data, reads_files, with_content
from attenergy.tasks import without_files as unread


def write(path: Path, rows: int = 120, seed: int = 0, target: str = "yes") -> Path:
    """Sizes, colours and a class that follows from them; some cells are missing."""
    draw = random.Random(seed)
    lines = ["size,colour,weight,bought"]
    for k in range(rows):
        size, colour = draw.gauss(10, 3), draw.choice(["red", "green", "blue"])
        answer = target if size > 10 or colour == "red" else "no"
        weight = "NA" if k % 10 == 3 else f"{draw.random():.6f}"
        lines.append(f"{size:.6f},{colour},{weight},{answer}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "shop.csv")


def table(file: Path, **options) -> Table:
    return Table(**({"path": str(file), "target": "bought"} | options))


def test_a_column_is_a_token_with_places_of_its_own(file: Path) -> None:
    task = table(file)
    # a number; three colours; a number and a place for what is missing
    assert (task.inputs.length, task.inputs.size) == (4, 1 + 3 + 2)
    batch = task.batch("train", 0, 60)
    used = (batch.inputs != 0).any(0)
    assert used.long().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 1],
        [0, 0, 0, 0, 0, 0],
    ]
    colours = batch.inputs[:, 1, 1:4]
    assert torch.equal(colours.sum(-1), torch.ones(60))
    assert (batch.targets[:, :-1] == IGNORE).all()
    shown = task.sample("train", 0)
    text = str(shown)
    assert shown.cells[1][1] in {"red", "green", "blue"}
    assert text.endswith(f"-> bought: {['no', 'yes'][batch.targets[0, -1]]}")
    for k in range(60):
        place = ["blue", "green", "red"].index(task.sample("train", k).cells[1][1])
        assert colours[k, place] == 1


def test_a_part_of_the_rows_is_learnt_from_again_and_again(file: Path) -> None:
    def rows(task: Table, count: int) -> list[str]:
        return [str(row) for row in task.batch("train", 0, count).inputs.tolist()]

    few, more, all_ = (table(file, train_instances=n) for n in (10, 20, 10**6))
    assert set(rows(few, 10)) == set(rows(few, 100))
    assert len(set(rows(few, 100))) <= 10
    assert set(rows(few, 10)) < set(rows(more, 20))
    assert rows(all_, 50) == rows(table(file), 50)
    assert torch.equal(few.batch("valid", 0, 5).inputs, table(file).batch("valid", 0, 5).inputs)


def test_numbers_have_the_mean_and_deviation_of_training(file: Path) -> None:
    task = table(file)
    train = task.batch("train", 0, task.sizes["train"]).inputs
    sizes = train[:, 0, 0].double()
    assert sizes.mean().item() == pytest.approx(0, abs=1e-6)
    assert sizes.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    weights, missing = train[:, 2, 4], train[:, 2, 5]
    assert (weights[missing == 1] == 0).all()
    assert 0 < missing.sum() < 20
    assert weights[missing == 0].double().mean().item() == pytest.approx(0, abs=1e-6)
    test = task.batch("test", 0, task.sizes["test"]).inputs[:, 0, 0]
    assert abs(test.double().mean().item()) > 1e-3  # others do not take part


def test_a_category_that_training_does_not_know_is_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    part = ["train"] * 8 + ["valid"] * 2 + ["test"] * 2
    kind = ["a", "b"] * 4 + ["a", "c", "b", "c"]
    rows = [f"{k},{kind[k]},{part[k]},{k % 2}" for k in range(12)]
    path.write_text("\n".join(["x,kind,part,y", *rows]), encoding="utf-8")
    task = Table(path=str(path), target="y", split="part")
    assert task.sizes == {"train": 8, "valid": 2, "test": 2}
    cells = task.batch("test", 0, 2).inputs[:, 1, 1:]
    assert sorted(cells.tolist()) == [[0, 0, 1], [0, 1, 0]]


def test_classes_chance_and_scores(file: Path) -> None:
    task = table(file)
    size = task.sizes["test"]
    test = [task.sample("test", k).answer for k in range(size)]
    train = [task.sample("train", k).answer for k in range(task.sizes["train"])]
    most = max(set(train), key=train.count)
    assert task.chance["accuracy"] == pytest.approx(test.count(most) / size)
    assert task.chance["balanced_accuracy"] == 0.5

    def constant(batch):
        logits = torch.zeros(*batch.targets.shape, 2)
        logits[..., ["no", "yes"].index(most)] = 1
        return logits

    scores = task.evaluate(constant, "test", 4096)
    assert scores["accuracy"] == pytest.approx(task.chance["accuracy"])
    assert scores["balanced_accuracy"] == pytest.approx(0.5)
    again = task.evaluate(constant, "test", size, batch_size=7)
    assert again == pytest.approx(scores)


def test_regression_is_scored_by_r2_in_units_of_the_target(file: Path) -> None:
    task = table(file, target="size", ignore="bought")
    assert (task.metric, task.outputs.kind, task.outputs.size) == ("r2", "number", 1)
    numbers = torch.tensor(
        [float(task.sample("test", k).answer) for k in range(task.sizes["test"])],
        dtype=torch.float64,
    )
    train = torch.tensor(
        [float(task.sample("train", k).answer) for k in range(task.sizes["train"])],
        dtype=torch.float64,
    )
    errors = numbers - train.mean()
    scores = task.evaluate(lambda b: torch.zeros(*b.targets.shape), "test", 4096)
    assert scores["rmse"] == pytest.approx(errors.square().mean().sqrt().item(), rel=1e-4)
    assert scores["mae"] == pytest.approx(errors.abs().mean().item(), rel=1e-4)
    around = (numbers - numbers.mean()).square().sum()
    expected = 1 - (errors.square().sum() / around).item()
    assert scores["r2"] == pytest.approx(expected, abs=1e-4)
    assert task.chance == {"r2": pytest.approx(expected, abs=1e-4)}
    assert scores["r2"] <= 0
    best = task.evaluate(lambda b: b.targets.nan_to_num(), "test", 4096)
    assert (best["r2"], best["rmse"]) == (1.0, 0.0)


def test_whole_numbers_are_classes_and_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    lines = ["x;a;b;y", *(f"{k};{k % 25};{k % 3};{k % 4 + 1}" for k in range(300))]
    path.write_text("\n".join(lines), encoding="utf-8")
    task = Table(path=str(path), target="y")
    assert task.outputs.size == 4
    assert "y is a class, 4 of them: 1 75, 2 75, 3 75, 4 75" in task.notes
    assert task.inputs.size == 3
    assert Table(path=str(path), target="y", categorical="b").inputs.size == 2 + 3
    number = Table(path=str(path), target="y", answer="number")
    assert "y is a number: regression" in number.notes
    assert Table(path=str(path), target="a").outputs.kind == "number"
    assert Table(path=str(path), target="a", answer="class").outputs.size == 25


BAD = [
    ("x,y\n1,2\n3\n", "t.csv:3: 1 cells, and the first line names 2 columns"),
    ("x,y\n", "has no rows"),
    ("", "the first line must name the columns, two or more"),
    ("x\n1\n", "two or more, separated by one of ',' ';'"),
    ("1,2\n3,4\n", "the first line must name the columns; that of column 1 is '1'"),
    ("x,x\n3,4\n", "t.csv:1: two columns are named 'x'"),
    ("x,y\ninf,1\n2,0\n", "t.csv:2: column 'x': 'inf' is no finite number"),
    ("x,y\n-1e308,1\n2,0\n", "t.csv:2: column 'x': '-1e308' is no finite number up to 1e.100"),
    ("x,y\n1,a\n2,\n", "the target 'y' is missing in row 2; leave such rows out"),
    ("x,z\n1,2\n", "no column of .*t.csv 'y'.*known: x, z"),
    ("y,\n1,2\n", "that of column 2 is ''"),
    ("x,y\n" + "\n".join(f"{k},1" for k in range(50)), r"one class only \('1'\)"),
    ("x,y\n" + "\n".join(f"{k},{k % 2}" for k in range(6)), "each split needs at least 2"),
    ("x,y\n" + "\n".join(f"w{k},{k % 2}" for k in range(1010)), "--set ignore=x"),
    ("x,y\n" + "\n".join(f"{k},w{k}" for k in range(1010)), "'y' has more than 1000 different"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[said[:30] for _, said in BAD])
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        Table(path=str(path), target="y")


def test_options_that_do_not_fit_are_refused(file: Path) -> None:
    for options, said in (
        ({"path": str(file.with_name("shops.csv"))}, r"not there \(did you mean 'shop.csv'"),
        ({"path": "-" * 5000}, "'path' must be a CSV file, got '---.*, which is not there"),
        ({"path": ""}, r"'path' of the data of task 'table' is needed: --set path=FILE"),
        ({"path": str(file.parent)}, "is no regular file"),
        ({"target": ""}, "--set target=COLUMN; .* has size, colour, weight, bought"),
        ({"ignore": "colour,wight"}, "'wight' .did you mean 'weight'"),
        ({"split": "colour"}, "column 'colour': a split is train, valid or test, got 'blue'"),
        ({"split": "weight"}, "every row must say train, valid or test"),
        ({"answer": "number"}, "holds texts, such as 'no', so answer=number does not fit"),
        ({"answer": "klass"}, "did you mean 'class'"),
        ({"ignore": "size,colour,weight"}, "no column is left beside the target"),
        ({"valid": 0.9, "test": 0.2}, "must leave rows to train with"),
        ({"path": "sklearn:win"}, "no set of scikit-learn 'win' .did you mean 'wine'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            table(file, **options)
    file.write_bytes(b"x,y\n\xff\xfe,1\n")
    with pytest.raises(ValueError, match="is no UTF-8 text"):
        table(file)


def test_a_file_with_a_mark_quotes_and_tabs(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    rows = [f'"a,{k % 2}"\t {k}\t{k % 3}' for k in range(40)]
    path.write_bytes("\ufeffname\tsize\ty\r\n".encode() + "\r\n".join(rows).encode())
    task = Table(path=str(path), target="y")
    assert task.sample("train", 0).cells[0][0] == "name"
    assert {task.sample("train", k).cells[0][1] for k in range(20)} == {"a,0", "a,1"}


def spec(**options) -> TaskSpec:
    model, training = ModelSpec(), TrainingSpec(steps=1)
    return TaskSpec(title="t", class_="Table", options=options, model=model, training=training)


def test_a_record_knows_the_data_and_refuses_others(file: Path) -> None:
    entry = spec(path="", target="bought")
    assert needs_data(entry)
    entry = spec(path=str(file), target="bought")
    assert reads_files(entry)
    recorded = with_content(entry, split_seed=3)
    assert recorded == with_content(recorded, split_seed=3)
    assert len(str(recorded.options["content"])) == 16
    training = recorded.training
    assert (training.valid_instances, training.test_instances) == (18, 18)
    whole = make_task(recorded, split_seed=3)
    assert torch.equal(
        whole.batch("train", 0, 9).inputs,
        make_task(entry, split_seed=3).batch("train", 0, 9).inputs,
    )
    write(file, seed=1)
    changed = make_task(recorded, split_seed=3)  # nothing is read yet
    with pytest.raises(ValueError, match=r"have changed: 'content' was '.*', is '.*'; leave"):
        changed.batch("train", 0, 1)
    file.unlink()
    left = make_task(unread(recorded), split_seed=3)
    for name in ("inputs", "outputs", "chance", "metric", "sizes", "scored_positions"):
        assert getattr(left, name) == getattr(whole, name), name
    assert left.describe()
    with pytest.raises(ValueError, match="give yours with --data PATH"):
        left.batch("train", 0, 1)


def test_facts_that_nobody_wrote_are_refused(file: Path) -> None:
    facts = json.loads(str(with_content(spec(path=str(file), target="bought")).options["facts"]))
    for change, said in (
        ({"size": 10**9}, "size: Input should be less"),
        ({"rows": {"train": 0}}, "rows.train"),
        ({"more": 1}, "more: Extra"),
        ({"chance": {"accuracy": "high"}}, "chance.accuracy"),
    ):
        with pytest.raises(ValueError, match=f"'facts' are written by the toolkit; {said}"):
            table(file, facts=json.dumps(facts | change))
    with pytest.raises(ValueError, match="'facts' are written by the toolkit, got"):
        table(file, facts="x" * 3000)
    other = facts | {"size": 7}
    with pytest.raises(ValueError, match="are not those of the record"):
        table(file, facts=json.dumps(other)).batch("train", 0, 1)
