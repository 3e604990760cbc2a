from __future__ import annotations

import hashlib
import inspect
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attenergy.tasks import IGNORE, Batch, Raven
from attenergy.tasks.raven.rules import RULES
from attenergy.tasks.raven.task import permute_columns, tokenise

SPLITS = ("train", "valid", "test", "ood")
SMALL = {"features": 2, "values": 4}


def test_a_matrix_worked_by_hand() -> None:
    # rules constant, +1, +1, -2; the first matrix of the reference's training set
    shown = torch.tensor(
        [
            [[5, 5, 3, 6], [7, 5, 3, 4], [5, 1, 0, 5]],
            [[6, 6, 3, 7], [0, 6, 4, 4], [6, 2, 1, 5]],
            [[4, 6, 7, 3], [4, 4, 4, 0], [4, 2, 5, 1]],
        ]
    )[None]
    order = torch.tensor([[0, 3, 1, 2], [2, 0, 3, 1], [0, 3, 2, 1]])[None]
    grid = permute_columns(shown, order.argsort(-1))[0]
    assert grid[..., 0].tolist() == [[5, 5, 5], [6, 6, 6], [4, 4, 4]]
    assert grid[..., 1].tolist() == [[3, 4, 5], [3, 4, 5], [7, 0, 1]]
    assert grid[..., 2].tolist() == [[6, 7, 0], [7, 0, 1], [3, 4, 5]]
    assert grid[..., 3].tolist() == [[5, 3, 1], [6, 4, 2], [6, 4, 2]]
    batch = tokenise(shown, 8)
    assert batch.targets[0].tolist() == [IGNORE] * 32 + [4, 2, 5, 1]
    assert batch.inputs[0, :4].argmax(-1).tolist() == [5, 5, 3, 6]
    assert batch.inputs[0].sum(-1).tolist() == [1.0] * 32 + [0.0] * 4


def test_paper_size_has_330_combinations_and_82_are_held_out() -> None:
    splits = set()
    for split_seed in range(4):
        task = Raven(split_seed=split_seed)
        seen, held_out = (
            set(map(tuple, x.tolist())) for x in (task.in_distribution, task.held_out)
        )
        assert (len(seen), len(held_out), len(seen | held_out)) == (248, 82, 330)
        assert {rule for combination in seen for rule in combination} == set(range(8))
        splits.add(frozenset(held_out))
    assert len(splits) == 4
    assert task.inputs.length == 36
    assert (task.inputs.kind, task.inputs.size, task.outputs.size) == ("vector", 8, 8)


@pytest.mark.long
@settings(max_examples=40)
@given(
    features=st.integers(1, 5),
    values=st.integers(3, 9),
    split=st.sampled_from(SPLITS),
    permute=st.booleans(),
    index=st.integers(0, 5000),
)
def test_every_instance_is_what_the_task_says(
    obeys, features: int, values: int, split: str, permute: bool, index: int
) -> None:
    task = Raven(features=features, values=values, permute=permute, rules="constant,addition,"
                 "progression_plus_2,subtraction,distribute_three,maximum,minimum")  # fmt: skip
    instance = task.sample(split, index)
    numbers = {rule.name: number for number, rule in enumerate(task.rules)}
    combination = tuple(numbers[rule] for rule in instance.rules)
    allowed = task.held_out if split == "ood" else task.in_distribution
    assert combination in set(map(tuple, allowed.tolist()))
    grid, shown = instance.grid.tolist(), instance.shown.tolist()
    for feature, rule in enumerate(instance.rules):
        assert obeys(rule, [[panel[feature] for panel in row] for row in grid], values)
    order = instance.permutations.tolist()
    assert all(sorted(p) == list(range(features)) for p in order)
    assert permute or shown == grid
    tokens = []
    for r, c, f in itertools.product(range(3), range(3), range(features)):
        assert shown[r][c][f] == grid[r][c][order[c][f]]
        tokens.append([float(shown[r][c][f] == v and (r, c) != (2, 2)) for v in range(values)])
    assert instance.tokens.tolist() == tokens
    assert list(instance.answer) == shown[2][2]
    batch = task.batch(split, index, 1)
    assert batch.inputs[0].tolist() == tokens
    assert batch.targets[0].tolist() == [IGNORE] * (8 * features) + shown[2][2]


def test_combinations_and_column_orders_are_uniform_and_independent(looks_uniform) -> None:
    task = Raven(features=3, values=8, rules=3)
    for split in ("train", "ood"):
        drawn = task.instances(split, 0, 8192)
        combinations = task.split_of_combinations(split).tolist()
        numbers = {tuple(c): i for i, c in enumerate(combinations)}
        ids = torch.tensor([numbers[tuple(c)] for c in drawn["rules"].tolist()])
        assert looks_uniform(ids, len(numbers))
        orders = {p: i for i, p in enumerate(itertools.permutations(range(3)))}
        columns = [
            torch.tensor([orders[tuple(row[c])] for row in drawn["permutations"].tolist()])
            for c in range(3)
        ]
        assert looks_uniform(columns[0] + 6 * columns[1] + 36 * columns[2], 216)


@settings(max_examples=20)
@given(split=st.sampled_from(SPLITS), start=st.integers(0, 2500), size=st.integers(1, 300))
def test_batches_do_not_depend_on_their_size(split: str, start: int, size: int) -> None:
    whole = Raven(**SMALL).batch(split, start, size)
    task = Raven(**SMALL)
    one_by_one = [task.batch(split, start + i, 1) for i in (0, size // 2, size - 1)]
    for i, single in zip((0, size // 2, size - 1), one_by_one, strict=True):
        assert torch.equal(single.inputs[0], whole.inputs[i])
        assert torch.equal(single.targets[0], whole.targets[i])


def test_only_the_training_stream_depends_on_the_seed() -> None:
    first, second = Raven(**SMALL, seed=0), Raven(**SMALL, seed=1)
    other_split = Raven(**SMALL, split_seed=1)
    for split in SPLITS:
        panels = [t.instances(split, 0, 64)["panels"] for t in (first, second, other_split)]
        assert torch.equal(panels[0], panels[1]) == (split != "train")
        assert not torch.equal(panels[0], panels[2])


def digest() -> str:
    from attenergy.tasks import Raven, StackedRecall

    whole = hashlib.sha256()
    for task in (Raven(features=2, values=4), StackedRecall(vocabulary=32, pairs=4)):
        for split in task.splits:
            batch = task.batch(split, 1000, 50)
            whole.update(batch.inputs.numpy().tobytes() + batch.targets.numpy().tobytes())
    return whole.hexdigest()


@pytest.mark.long
def test_another_process_draws_the_same() -> None:
    code = f"import hashlib\n{inspect.getsource(digest)}\nprint(digest())"
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == digest()


def test_splits_share_no_context_where_chance_would_repeat_them() -> None:
    task = Raven(features=1, values=4)
    contexts = {
        split: set(map(tuple, task.instances(split, 0, 4096)["panels"].flatten(1)[:, :-1].tolist()))
        for split in SPLITS
    }
    assert len(contexts["train"]) < 4096 / 2  # most training contexts were drawn repeatedly
    for a, b in itertools.combinations(("train", "valid", "test"), 2):
        assert not contexts[a] & contexts[b]
    assert not contexts["ood"] & (contexts["train"] | contexts["valid"])
    # without the parts they would overlap: another stretch of training repeats the first
    later = task.instances("train", 100_000, 4096)["panels"].flatten(1)[:, :-1].tolist()
    assert len(contexts["train"] & set(map(tuple, later))) > 100


def test_a_task_with_too_few_contexts_says_so() -> None:
    task = Raven(features=1, values=2, grid=2, rules=2, ood_fraction=0.5)
    with pytest.raises(ValueError, match="the task has too few different contexts"):
        [task.batch(split, 0, 1) for split in ("test", "valid", "ood")]


def test_metrics_and_loss_by_hand() -> None:
    task = Raven(**SMALL)
    targets = task.batch("test", 0, 3).targets
    logits = torch.nn.functional.one_hot(targets.clamp(min=0), 4).double() * 3.0
    logits[1, -1] = logits[1, -1].roll(1, -1)  # instance 1: one of two features wrong
    logits[2, -2:] = logits[2, -2:].roll(1, -1)  # instance 2: both wrong
    metrics = task.metrics(logits, targets)
    assert metrics["accuracy"].tolist() == [1.0, 0.0, 0.0]
    assert metrics["accuracy_per_feature"].tolist() == [1.0, 0.5, 0.0]
    right = np.log(np.exp(3) + 3) - 3
    wrong = np.log(np.exp(3) + 3)
    assert task.loss(logits, targets).item() == pytest.approx((3 * right + 3 * wrong) / 6)


def test_random_logits_score_at_chance() -> None:
    task = Raven(**SMALL)
    scores = task.evaluate(lambda batch: torch.randn(*batch.inputs.shape[:2], 4), "test", 4096)
    for metric, chance in task.chance.items():
        assert scores[metric] == pytest.approx(chance, abs=5 * (chance / 4096) ** 0.5)
    assert task.chance == {"accuracy": 1 / 16, "accuracy_per_feature": 1 / 4}
    assert task.metric in scores


def test_evaluation_does_not_depend_on_the_batch_size() -> None:
    task = Raven(**SMALL)
    mix = torch.randn(task.inputs.length, task.inputs.length).double()

    def predict(batch: Batch) -> torch.Tensor:
        return mix @ batch.inputs.double()

    one, other = (task.evaluate(predict, "ood", 1500, batch_size=size) for size in (64, 1500))
    assert one == pytest.approx(other)


def test_without_permutation_the_features_keep_the_order_of_the_rules() -> None:
    task = Raven(features=3, permute=False)
    drawn = task.instances("test", 0, 500)
    assert torch.equal(drawn["rules"], drawn["rules"].sort(-1).values)
    assert (drawn["permutations"] == torch.arange(3)).all()
    for number, rule in enumerate(task.rules):
        grids = drawn["panels"].movedim(-1, 1)[drawn["rules"] == number]
        assert rule.holds(grids, 8).all()


def test_unpermuted_matrices_have_the_same_held_out_rules_and_no_context_that_is_trained_on() -> (
    None
):
    shown, plain = (Raven(**SMALL, rules="constant,addition", ood_fraction=0.4, permute=p)
                    for p in (True, False))  # fmt: skip
    assert torch.equal(shown.held_out, plain.held_out)
    trained, tested = (
        set(map(tuple, x["panels"].flatten(1)[:, :-2].tolist()))
        for x in (shown.instances("train", 0, 8192), plain.instances("test", 0, 8192))
    )
    assert not trained & tested


def test_accuracy_of_each_rule_counts_every_feature() -> None:
    task = Raven(**SMALL, rules="constant,addition,minimum", ood_fraction=0.4)
    table = torch.randn(4096, 4)

    def predict(batch: Batch) -> torch.Tensor:
        code = (batch.inputs.argmax(-1) * torch.arange(18)).sum(-1)
        return table[(code[:, None] + torch.arange(18)) % 4096]

    scores = task.evaluate(predict, "ood", 700, batch_size=97)
    scored, right = dict.fromkeys("cam", 0), dict.fromkeys("cam", 0)
    for index in range(700):
        matrix = task.sample("ood", index)
        guess = predict(task.batch("ood", index, 1))[0, -2:].argmax(-1).tolist()
        for place, feature in enumerate(matrix.permutations[2].tolist()):
            letter = matrix.rules[feature][0]
            scored[letter] += 1
            right[letter] += guess[place] == matrix.answer[place]
    names = {name[9]: name for name in scores if name.split("_")[-1] in RULES}
    assert set(names) == {letter for letter, count in scored.items() if count}
    for letter, name in names.items():
        assert scores[name] == pytest.approx(right[letter] / scored[letter])
    every = sum(right.values()) / sum(scored.values())
    assert scores["accuracy_per_feature"] == pytest.approx(every)


def test_a_larger_grid() -> None:
    task = Raven(features=2, values=5, grid=4, rules=5)
    assert task.inputs.length == 32
    assert task.batch("ood", 0, 2).inputs.shape == (2, 32, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 0}, "'features' must be a whole number >= 1, got 0"),
        ({"features": 2.0}, "'features' must be a whole number >= 1, got 2.0"),
        ({"values": 1}, "'values' must be a whole number >= 2"),
        ({"values": 2}, "rule 'distribute_three' needs values >= 3"),
        ({"grid": 1}, "'grid' must be a whole number >= 2"),
        ({"grid": 4}, "rule 'addition' needs grid 3, got 4"),
        ({"permute": 1}, "'permute' must be true or false, got 1"),
        ({"ood_fraction": 0.0}, "holds out 0 of 330"),
        ({"ood_fraction": 1.0}, "holds out 330 of 330"),
        ({"ood_fraction": "half"}, "must be a number between 0 and 1, got 'half'"),
        ({"features": 1, "rules": 1}, "holds out 0 of 1"),
        ({"seed": 0.5}, "'seed' must be a whole number, got 0.5"),
        ({"split_seed": None}, "'split_seed' must be a whole number, got None"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Raven(**options)


def test_unknown_split_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no split 'tset' .did you mean 'test'"):
        Raven(**SMALL).batch("tset", 0, 1)


def test_a_sample_can_be_read() -> None:
    instance = Raven(features=2).sample("test", 7)
    text = str(instance)
    first = " ".join(map(str, instance.shown[0, 0].tolist()))
    assert f"  [{first}]  [" in text
    assert "[ ? ]" in text
    assert f"answer: [{instance.answer[0]} {instance.answer[1]}]" in text
    assert all(f"feature {f}: {rule}" in text for f, rule in enumerate(instance.rules))
