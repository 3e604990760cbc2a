from __future__ import annotations

import pytest
import torch

from attenergy.registry import ModelSpec, TaskSpec, TrainingSpec, load_registry
from attenergy.tasks import CLASSES, Raven, StackedRecall, make_task

REGISTRY = load_registry(plugins=False)


def spec(class_: str, **options) -> TaskSpec:
    return TaskSpec(
        title="A task",
        class_=class_,
        options=options,
        model=ModelSpec(),
        training=TrainingSpec(steps=1),
    )


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


def test_every_task_can_have_a_finite_training_set() -> None:
    small = make_task("raven-small", train_instances=7)
    endless = make_task("raven-small")
    first = endless.batch("train", 0, 7).inputs
    assert torch.equal(small.batch("train", 5, 12).inputs, first.repeat(3, 1, 1)[5:17])
    assert torch.equal(small.batch("valid", 0, 3).inputs, endless.batch("valid", 0, 3).inputs)
    assert small.options == {**endless.options, "train_instances": 7}
    assert "train_instances" not in endless.options
    with pytest.raises(ValueError, match="'train_instances' must be a whole number >= 0, got -1"):
        make_task("raven-small", train_instances=-1)
