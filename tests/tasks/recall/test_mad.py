from __future__ import annotations

import itertools
import random
from statistics import fmean, stdev

import pytest
import torch

from attenergy.registry import load_registry
from attenergy.tasks import (
    IGNORE,
    Compression,
    Copying,
    Estimate,
    FuzzyRecall,
    InContextRecall,
    Memorisation,
    make_task,
)

REGISTRY = load_registry(plugins=False)
CLASSES = ("Compression", "Copying", "FuzzyRecall", "InContextRecall", "Memorisation")
ENTRIES = [name for name, spec in REGISTRY.tasks.items() if name.startswith("mad-")]


def rows(task, split: str, count: int):
    batch = task.batch(split, 0, count)
    return zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)


def same_mean(values: list[float], expected: list[float]) -> bool:
    """Whether two samples may have one mean: within 5 standard errors."""
    error = (stdev(values) ** 2 / len(values) + stdev(expected) ** 2 / len(expected)) ** 0.5
    return abs(fmean(values) - fmean(expected)) < 5 * error


# In-context recall


def recall_targets(sequence: list[int], keys: int, plain: int) -> list[int]:
    """What is scored in a test, found by reading the pairs one after another."""
    memory: dict[int, int] = {}
    targets = []
    for key, value in zip(sequence[::2], sequence[1::2], strict=True):
        assert (key < keys <= value < plain) or (key >= plain and value >= plain)
        known = memory.get(key) if key < keys else None
        assert known in (None, value)
        targets += [IGNORE if known is None else value, IGNORE]
        if key < keys:
            memory[key] = value
    assert targets[-2] != IGNORE  # the last key was shown before
    return targets[:-1]


@pytest.mark.parametrize("noise", [0.0, 0.6])
def test_values_of_keys_seen_before_are_scored(noise: float) -> None:
    task = InContextRecall(vocabulary=14, length=20, noise_vocabulary=4, noise=noise)
    for tokens, targets in rows(task, "test", 300):
        assert len(tokens) == task.inputs.length == 19
        sequence = [*tokens, targets[-1]]
        assert targets == recall_targets(sequence, 5, 10)
    for tokens, targets in rows(task, "train", 50):
        assert targets[:-1] == tokens[1:]
        recall_targets([*tokens, targets[-1]], 5, 10)


def test_keys_values_and_noise_are_uniform(looks_uniform) -> None:
    task = InContextRecall(vocabulary=14, length=20, noise_vocabulary=4, noise=0.6)
    tokens = task.batch("train", 0, 4000).inputs
    noisy = tokens[:, 0:18:2] >= 10
    assert looks_uniform(tokens[:, 4][~noisy[:, 2]], 5)
    assert looks_uniform(tokens[:, 5][~noisy[:, 2]] - 5, 5)
    assert looks_uniform(tokens[:, 4][noisy[:, 2]] - 10, 4)
    # 9 pairs may be noise, one of them is spared
    share = noisy.double().mean(-1)
    assert share.mean().item() == pytest.approx(0.6 * 8 / 9, abs=5 * share.std().item() / 4000**0.5)
    assert (share <= 8 / 9).all()
    assert (tokens[:, -1] < 5).all()


def test_the_last_key_is_uniform_over_those_shown(looks_uniform) -> None:
    task = InContextRecall(vocabulary=12, length=12)
    ranks = []
    for tokens, _ in rows(task, "train", 5000):
        shown = sorted(set(tokens[:-1:2]))
        if len(shown) == 3:
            ranks.append(shown.index(tokens[-1]))
    assert looks_uniform(torch.tensor(ranks), 3)


# Fuzzy recall


def read_pairs(sequence: list[int], keys: int, pad: int) -> list[tuple[tuple, tuple]]:
    """Keys and values use different ids, so runs of either kind come in turns."""
    body = list(itertools.dropwhile(lambda token: token == pad, sequence))
    assert pad not in body
    runs = [tuple(run) for _, run in itertools.groupby(body, key=lambda token: token < keys)]
    return list(zip(runs[::2], runs[1::2], strict=True))


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_groups_of_ids_are_recalled(split: str) -> None:
    task = FuzzyRecall(vocabulary=9, length=40, key_size=3, value_size=2)  # 4 and 4 ids, pad 8
    for tokens, targets in rows(task, split, 300):
        sequence = [*tokens, targets[-1]]
        pairs = read_pairs(sequence, 4, 8)
        assert dict(pairs[:-1])[pairs[-1][0]] == pairs[-1][1]
        memory: dict[tuple, tuple] = {}
        scored = [IGNORE] * (41 - sum(map(len, itertools.chain(*pairs))))
        for key, value in pairs:
            assert memory.get(key, value) == value
            assert len(set(key)) == len(key) <= 3
            assert len(set(value)) == len(value) <= 2
            scored += [IGNORE] * len(key)
            scored += value if key in memory else [IGNORE] * len(value)
            memory[key] = value
        if split == "train":
            assert targets[:-1] == tokens[1:]
        else:
            assert targets == scored[1:]
            assert {len(key) for key in memory} == {3}


def naive_fuzzy(length: int, a: int, b: int, ids: int, train: bool) -> list[tuple]:
    """Pairs of one sequence, appended one by one."""

    def group(largest: int, any_size: bool) -> tuple[int, ...]:
        size = random.randint(1, largest) if any_size else largest
        return tuple(random.sample(range(ids), size))

    probe = (group(a, train), group(b, True))
    size = len(probe[0]) + len(probe[1])
    offset = random.randrange(length - size - 2 * (a + b) + 1)
    memory: dict[tuple, tuple] = {}
    pairs, total = [], 0
    while total < length - size - a - b:
        key = group(a, train)
        if total >= offset and probe[0] not in memory:
            key = probe[0]
        value = group(b, True)
        memory.setdefault(key, probe[1] if key == probe[0] else value)
        pairs.append((key, memory[key]))
        total += len(key) + len(memory[key])
    return [*pairs, probe]


@pytest.mark.parametrize("split", ["train", "test"])
def test_fuzzy_sequences_are_those_of_a_plain_generator(split: str) -> None:
    task = FuzzyRecall(vocabulary=9, length=36, key_size=2, value_size=3)
    random.seed(5)
    ours = [read_pairs([*x, y[-1]], 4, 8) for x, y in rows(task, split, 2000)]
    theirs = [naive_fuzzy(36, 2, 3, 4, split == "train") for _ in range(4000)]

    def repeats(pairs: list[tuple]) -> float:
        return float(len(pairs) - len(dict(pairs)))

    def first_probe(pairs: list[tuple]) -> float:
        return float([key for key, _ in pairs].index(pairs[-1][0]))

    def ids(pairs: list[tuple]) -> float:
        return float(sum(len(key) + len(value) for key, value in pairs))

    def last(pairs: list[tuple]) -> float:
        return float(10 * len(pairs[-1][0]) + len(pairs[-1][1]))

    for measure in (len, repeats, first_probe, ids, last):
        assert same_mean([*map(measure, ours)], [*map(measure, theirs)])


# Memorisation and compression


def test_one_table_for_all_seeds_and_splits() -> None:
    task = Memorisation(vocabulary=22, length=12)
    assert len(set(task.table.tolist())) == task.keys == 10
    assert task.table.min() >= 10
    assert task.table.max() <= 20
    for split in task.splits:
        for tokens, targets in rows(task, split, 60):
            assert tokens[1::2] == [21] * 6
            assert targets[::2] == [IGNORE] * 6
            assert targets[1::2] == [task.table[key].item() for key in tokens[::2]]
    assert torch.equal(Memorisation(vocabulary=22, seed=3).table, task.table)
    assert not torch.equal(Memorisation(vocabulary=22, split_seed=3).table, task.table)


def test_coverage_of_the_six_sizes_of_the_source() -> None:
    sizes = REGISTRY.tasks["mad-memorisation"].sweeps["vocabulary"]
    tasks = [make_task("mad-memorisation", registry=REGISTRY, vocabulary=size) for size in sizes]
    shares = [task.coverage for task in tasks]
    assert shares == pytest.approx([1, 1, 1, 0.98, 0.87, 0.63], abs=6e-3)
    assert fmean(shares) == pytest.approx(0.913, abs=5e-4)
    ceilings = [task.ceiling("test").value for task in tasks]
    assert fmean(ceilings) == pytest.approx(0.913, abs=5e-4)
    assert all(
        0 <= c - share < 1 / task.keys
        for c, share, task in zip(ceilings, shares, tasks, strict=True)
    )
    assert Memorisation(train_instances=0).ceiling("test") == Estimate(1.0, 0.0, 0)


def test_coverage_of_drawn_training_sets() -> None:
    shares = []
    for seed in range(30):
        task = Memorisation(vocabulary=201, length=8, train_instances=30, seed=seed)
        keys = task.batch("train", 0, 90).inputs[:, ::2]  # three times the same 30
        shares.append(len(keys.unique()) / task.keys)
    assert fmean(shares) == pytest.approx(task.coverage, abs=5 * stdev(shares) / 30**0.5)


def test_compression_asks_for_what_it_shows(looks_uniform) -> None:
    batch = Compression(vocabulary=9, length=7).batch("train", 0, 3000)
    assert torch.equal(batch.inputs, batch.targets)
    assert (batch.inputs[:, -1] == 8).all()
    assert looks_uniform(batch.inputs[:, 3], 8)


# What all six share


def test_an_instance_is_shown_in_lines_that_fit() -> None:
    task = Copying(vocabulary=102, length=60, tokens=2)
    (tokens, targets), *_ = rows(task, "test", 1)
    lines = str(task.sample("test", 0)).splitlines()
    assert all(len(line) <= 100 for line in lines)
    inputs, answers = (
        " ".join(line.removeprefix(head) for line in lines if line.startswith(head)).split()
        for head in ("inputs:", "targets:")
    )
    assert inputs == [{100: "_", 101: "=>"}.get(token, str(token)) for token in tokens]
    assert answers == ["." if target == IGNORE else str(target) for target in targets]


def test_macro_accuracy_in_plain_python() -> None:
    task = Copying(vocabulary=12, length=9, tokens=2)
    torch.manual_seed(4)
    table = torch.randn(64, 9, 12)

    def predict(batch):
        return table[: len(batch.inputs)]

    scores = task.evaluate(predict, "valid", 100, batch_size=64)
    right: dict[int, list[bool]] = {}
    for start, size in ((0, 64), (64, 36)):
        targets = task.batch("valid", start, size).targets
        for row, place in itertools.product(range(size), range(9)):
            if (target := targets[row, place].item()) != IGNORE:
                right.setdefault(target, []).append(table[row, place].argmax().item() == target)
    assert 5 < len(right) < task.outputs.size  # blank and mark are never asked for
    assert scores["macro_accuracy"] == pytest.approx(fmean(fmean(x) for x in right.values()))
    assert scores["accuracy"] == pytest.approx(fmean(itertools.chain(*right.values())))
    assert scores["macro_accuracy"] != scores["accuracy"]
    one = task.batch("valid", 0, 1).targets
    summary = task.summary(task.tally(table[:1], one))
    assert 0 <= summary["macro_accuracy"] <= 1


@pytest.mark.parametrize("name", [name for name in ENTRIES if name.endswith("small")])
def test_splits_share_no_sequence(name: str) -> None:
    task = make_task(name, registry=REGISTRY)
    seen = []
    for split in task.splits:
        tokens = task.instances(split, 0, 2000)["tokens"]
        if isinstance(task, Memorisation):
            tokens = tokens.sort(-1).values
        seen.append({tuple(row) for row in tokens.tolist()})
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]


@pytest.mark.parametrize("name", [n for n, s in REGISTRY.tasks.items() if s.class_ in CLASSES])
def test_every_value_of_a_sweep_can_be_built(name: str) -> None:
    spec = REGISTRY.tasks[name]
    for option, values in spec.sweeps.items():
        assert name.endswith("small") or name == "copying" or values[0] == spec.options[option]
        for value in values:
            task = make_task(name, registry=REGISTRY, **{option: value})
            assert getattr(task, option) == value


def test_perfect_answers_reach_the_ceiling_and_constant_ones_chance() -> None:
    task = InContextRecall(vocabulary=10, length=24)
    truth = iter([task.batch("test", 0, 256), task.batch("test", 256, 256)])

    def know(batch):
        targets = next(truth).targets
        return torch.nn.functional.one_hot(targets.clamp(min=0), 10).double()

    assert task.evaluate(know, "test", 512)["macro_accuracy"] == 1.0
    assert task.ceiling("test") == Estimate(1.0, 0.0, 0)
    assert task.ceiling("train") is None

    def constant(batch):
        return torch.nn.functional.one_hot(torch.full(batch.inputs.shape, 7), 10).double()

    assert task.evaluate(constant, "test", 512)["macro_accuracy"] == task.chance["macro_accuracy"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: InContextRecall(length=9), "'length' must be even, got 9"),
        (lambda: InContextRecall(noise_vocabulary=15), "'noise_vocabulary' must be <= vocab"),
        (lambda: InContextRecall(noise=0.5), "0 without a noise vocabulary; got 0.5"),
        (lambda: InContextRecall(noise_vocabulary=4, noise=1.0), "'noise' must be >= 0 and < 1"),
        (lambda: FuzzyRecall(length=17), "'length' must be a whole number >= 18, got 17"),
        (lambda: FuzzyRecall(key_size=8, length=99), "'key_size' must be <= 7, the ids for it"),
        (lambda: FuzzyRecall(value_size=9, length=99), "'value_size' must be <= 8"),
        (lambda: Memorisation(length=5), "'length' must be even, got 5"),
        (lambda: Compression(vocabulary=2), "'vocabulary' must be a whole number >= 3"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
