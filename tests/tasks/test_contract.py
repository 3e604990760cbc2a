"""What every registered task promises, whatever it is about."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attenergy.registry import load_registry
from attenergy.tasks import IGNORE, Batch, Task, make_task, needs_data

REGISTRY = load_registry(plugins=False)
NAMES = [name for name, spec in REGISTRY.tasks.items() if not needs_data(spec)]
RECORDED = Path(__file__).with_name("instances.json")
#: A block of instances takes seconds to draw, or a ceiling to compute.
HEAVY = {
    *(
        "raven",
        "raven-medium",
        "raven-muon",
        "raven-paper",
        "mqar-easy",
        "mqar-medium",
        "mqar-hard",
        "mqar-extreme",
        "mqar-memory",
        "mad-recall",
        "mad-noisy-recall",
    ),
    *("mad-fuzzy-recall", "mad-fuzzy-recall-small", "listops", "dyck", "sbm"),
    *("modular-arithmetic-brackets", "modular-arithmetic-brackets-small"),
}
#: Instances that differ between machines: Python's own files, and signs of eigenvectors.
OF_THE_MACHINE = {"text", "oscillators", "waves"}
TOP = {"bits_saved": 8.0}  # of a metric, where it is not 1
every = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in NAMES],
    scope="module",  # one task after the other, each with all of its tests
)


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return {}


@pytest.fixture
def task(name: str, tasks: dict[str, Task]) -> Task:
    # Drawing a block is the cost of these tests; the tests of one task share its blocks.
    if name not in tasks:
        tasks.clear()
        tasks[name] = make_task(name, registry=REGISTRY)
    return tasks[name]


def same(one: Batch, other: Batch) -> bool:
    pairs = [(one.inputs, other.inputs), (one.targets, other.targets), (one.mask, other.mask)]
    return all(
        (a is None and b is None) or torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
        for a, b in pairs
    )


def rows(batch: Batch) -> set[bytes]:
    flat = torch.cat([batch.inputs.flatten(1).double(), batch.targets.flatten(1).double()], 1)
    return {row.numpy().tobytes() for row in flat}


def prints(task: Task, split: str) -> list[float]:
    """Numbers that change when a batch or a ceiling changes, the same on every processor."""
    batch = task.batch(split, 5, 6)
    ceiling = None if split == "train" else task.ceiling(split)  # some take seconds
    numbers = [-1.0] if ceiling is None else [ceiling.value, ceiling.error, ceiling.instances]
    for tensor in (batch.inputs, batch.targets, batch.mask):
        if tensor is not None:
            values = tensor.double().nan_to_num(7.0).flatten()
            places = torch.arange(1, len(values) + 1, dtype=torch.float64)
            numbers += [
                len(values),
                values.abs().sum().item(),
                (values * places.sin()).sum().item(),
            ]
    return numbers


def perfect(task: Task, targets: Tensor) -> Tensor:
    if task.outputs.kind == "number":
        return targets.nan_to_num()
    logits = torch.nn.functional.one_hot(targets.clamp(min=0), task.outputs.size)
    return logits.double() * 30


def known(targets: Tensor) -> Tensor:
    return ~targets.isnan() if targets.is_floating_point() else targets != IGNORE


@every
def test_instances_depend_on_seed_split_and_index_alone(task: Task, name: str) -> None:
    whole = task.batch("train", 3, 6)
    again = make_task(name, registry=REGISTRY)
    assert same(again.batch("train", 3, 6), whole)
    for i in (0, 5):
        one = again.batch("train", 3 + i, 1)
        cut = Batch(
            whole.inputs[i : i + 1],
            whole.targets[i : i + 1],
            None if whole.mask is None else whole.mask[i : i + 1],
        )
        assert same(one, cut)
    other = make_task(name, registry=REGISTRY, seed=1)
    if name != "karate-club":  # one graph: nothing is left to the seed
        assert not same(other.batch("train", 3, 6), whole)
    assert same(other.batch("valid", 0, 4), again.batch("valid", 0, 4))


@every
def test_instances_are_those_of_yesterday(task: Task, name: str) -> None:
    """Stored results are comparable only while seeds give the instances that they gave."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    if name in OF_THE_MACHINE:
        assert name not in recorded
        return
    assert tuple(recorded[name]) == task.splits
    for split, want in recorded[name].items():
        assert prints(task, split) == pytest.approx(want, rel=1e-6, abs=1e-4), (
            "if that is meant: python tests/tasks/record_instances.py"
        )


@every
def test_batches_are_as_declared(task: Task, name: str) -> None:
    assert task.headline in task.splits
    assert {"train", "valid"} < set(task.splits)
    for split in task.splits:
        batch = task.batch(split, 0, 4)
        inputs, targets, mask = batch.inputs, batch.targets, batch.mask
        length = inputs.shape[1]
        assert len(inputs) == len(targets) == 4
        assert length <= task.inputs.length
        if task.inputs.kind == "token":
            assert inputs.dtype == torch.int64
            assert inputs.ndim == (2 if task.inputs.channels == 1 else 3)
            assert inputs.min() >= 0
            assert inputs.max() < task.inputs.size
        else:
            assert inputs.is_floating_point()
            assert inputs.shape[2] == task.inputs.size
        answers = task.inputs.size if task.inputs.kind == "memory" else length
        scored = known(targets)
        assert scored.flatten(1).any(1).all(), "an instance without an answer"
        if task.outputs.kind == "class":
            assert targets.dtype == torch.int64
            assert targets[scored].min() >= 0
            assert targets[scored].max() < task.outputs.size
            assert targets.shape == (4, answers)
        else:
            assert targets.shape == (4, answers, task.outputs.size)
        if mask is not None:
            assert mask.dtype == torch.bool
            assert mask.shape in {(4, length), (4, length, length)}
            if mask.ndim == 2:
                assert mask[:, 0].all()
                if targets.shape[1] == length:
                    assert not scored.view(4, length, -1).any(-1)[~mask].any(), "padding is scored"


@every
def test_no_split_shares_an_instance_with_training_or_validation(task: Task, name: str) -> None:
    seen = {split: rows(task.batch(split, 0, 1000)) for split in task.splits}
    assert not seen["train"] & seen["valid"]
    for split in task.splits:
        if split not in {"train", "valid"}:
            assert not seen["train"] & seen[split], split
            assert not seen["valid"] & seen[split], split


@every
def test_right_answers_reach_the_top_and_random_ones_do_not(task: Task, name: str) -> None:
    predicted = task.evaluate(lambda batch: perfect(task, batch.targets), "test", 200)
    assert predicted[task.metric] == pytest.approx(TOP.get(task.metric, 1.0))
    size, kind = task.outputs.size, task.outputs.kind
    random = task.evaluate(
        lambda batch: torch.randn(*batch.targets.shape[:2], size).double(), "test", 200
    )
    assert set(task.chance) <= set(random)
    assert all(math.isfinite(value) for value in random.values())
    assert random[task.metric] < predicted[task.metric]
    ceiling = task.ceiling(task.headline) if name not in {"raven", "raven-paper"} else None
    if ceiling is not None:
        assert task.chance[task.metric] < ceiling.value <= TOP.get(task.metric, 1.0) + 1e-9
    if kind == "class":
        assert 0 <= task.chance[task.metric] < 1


@every
def test_metrics_are_one_number_for_each_instance(task: Task, name: str) -> None:
    batch = task.batch("test", 0, 5)
    metrics = task.metrics(perfect(task, batch.targets), batch.targets)
    assert all(values.shape == (5,) for values in metrics.values())
    whole = task.summary(task.tally(perfect(task, batch.targets), batch.targets))
    assert task.metric in {*metrics, *whole}
    assert task.metric in task.chance


@every
def test_a_person_can_look_at_it(task: Task, name: str) -> None:
    for split in task.splits:
        text = str(task.sample(split, 1))
        assert text.strip()
        assert "object at 0x" not in text
    assert name in task.describe()


ESTIMATED = {
    *("Raven", "FuzzyLogic", "BlockModel", "Waves"),
    *("InContextRegression", "FewShotGaussians", "Denoising"),
}


@pytest.mark.parametrize("name", [n for n in NAMES if REGISTRY.task(n).class_ not in ESTIMATED])
def test_a_proven_ceiling_has_no_error(name: str) -> None:
    task = make_task(name, registry=REGISTRY)
    for split in task.splits:
        ceiling = task.ceiling(split)
        assert ceiling is None or (ceiling.error, ceiling.instances) == (0.0, 0)
        assert ceiling is None or 0 < ceiling.value <= TOP.get(task.metric, 1.0)


def test_bundles_and_sweeps_name_what_exists() -> None:
    for bundle in REGISTRY.bundles.values():
        for name in bundle.tasks:
            assert REGISTRY.task(name)
    for name, spec in REGISTRY.tasks.items():
        assert spec.title
        assert spec.reference, name
        assert spec.seconds is not None, name
        for option, values in spec.sweeps.items():
            for value in values:
                make_task(name, registry=REGISTRY, **{option: value})
