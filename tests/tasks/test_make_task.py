from __future__ import annotations

import pytest
import torch

from attenergy.registry import ModelSpec, TaskSpec, TrainingSpec, load_registry
from attenergy.tasks import CLASSES, IGNORE, Raven, StackedRecall, Task, make_task

REGISTRY = load_registry(plugins=False)


def spec(class_: str, **options) -> TaskSpec:
    return TaskSpec(
        title="A task",
        class_=class_,
        options=options,
        model=ModelSpec(),
        training=TrainingSpec(steps=1),
    )


@pytest.mark.parametrize("name", REGISTRY.tasks)
def test_every_registered_task_keeps_its_promises(name: str) -> None:
    task = make_task(name, registry=REGISTRY)
    assert isinstance(task, Task)
    assert task.name == name
    assert {"train", "valid", "test"} <= set(task.splits)
    assert task.metric in task.chance
    for split in task.splits:
        batch = task.batch(split, 5, 6)
        inputs = task.inputs
        if inputs.kind == "vector":
            assert batch.inputs.shape == (6, inputs.length, inputs.size)
            assert batch.inputs.dtype == torch.float32
        else:
            channels = () if inputs.channels == 1 else (inputs.channels,)
            assert batch.inputs.shape == (6, inputs.length, *channels)
            assert 0 <= batch.inputs.min() <= batch.inputs.max() < inputs.size
        assert batch.inputs.dtype in (torch.float32, torch.int64)
        if task.outputs.kind == "number":
            assert batch.targets.shape == (6, inputs.length, task.outputs.size)
            assert batch.targets.dtype == torch.float32
            assert not batch.targets.isnan().all()
        else:
            assert batch.targets.shape == (6, inputs.length)
            assert batch.targets.dtype == torch.int64
            scored = batch.targets[batch.targets != IGNORE]
            assert 0 <= scored.min() <= scored.max() < task.outputs.size
        assert str(task.sample(split, 0))
        metrics = task.metrics(torch.zeros(6, inputs.length, task.outputs.size), batch.targets)
        assert set(metrics) == set(task.chance)
        assert all(values.shape == (6,) for values in metrics.values())
    ceiling = task.ceiling("test")
    assert ceiling is None or task.chance[task.metric] < ceiling.value <= 1
    assert task.name in task.describe()


def test_options_override_the_entry() -> None:
    task = make_task("raven-small", registry=REGISTRY, seed=3, split_seed=4, values=5)
    assert isinstance(task, Raven)
    assert (task.features, task.values, task.seed, task.split_seed) == (2, 5, 3, 4)


def test_a_specification_needs_no_registry() -> None:
    task = make_task(spec("StackedRecall", vocabulary=20, pairs=3))
    assert isinstance(task, StackedRecall)
    assert (task.name, task.vocabulary, task.pairs) == ("StackedRecall", 20, 3)


def test_data_depend_on_the_options_and_not_on_the_name() -> None:
    by_name = make_task("raven-small", registry=REGISTRY)
    by_class = Raven(features=2, name="other")
    assert torch.equal(by_name.batch("train", 0, 9).inputs, by_class.batch("train", 0, 9).inputs)


def test_the_built_in_registry_is_the_default() -> None:
    assert make_task("stacked-recall").name == "stacked-recall"


def test_classes_are_listed_by_their_own_name() -> None:
    assert all(name == task.__name__ for name, task in CLASSES.items())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: make_task("raven-smal", registry=REGISTRY), "did you mean 'raven-small'"),
        (lambda: make_task(spec("Ravn")), "no task class 'Ravn' .did you mean 'Raven'"),
        (lambda: make_task(spec("Raven", feature=2)), "no option of Raven 'feature' .*'features'"),
        (lambda: make_task("raven", registry=REGISTRY, pairs=2), "no option of Raven 'pairs'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
