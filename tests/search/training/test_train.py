from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from attenergy.registry import load_registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig
from attenergy.search.training import evaluation
from attenergy.search.training import train as train_module
from attenergy.search.training.cost import forward_flops
from attenergy.search.training.evaluation import evaluate
from attenergy.search.training.model import build_model
from attenergy.search.training.state import TrainingState
from attenergy.search.training.train import train
from attenergy.tasks import Batch, Task, make_task

ConfigMaker = Callable[..., RunConfig]
REGISTRY = load_registry(plugins=False)


def test_the_same_configuration_gives_the_same_bits(make_config: ConfigMaker) -> None:
    config = make_config(dropout=0.1)
    first = train(config)
    torch.rand(7)
    again = train(config)
    assert first.status == "complete", first.reason
    assert first.metrics == again.metrics
    assert first.curve == again.curve
    assert first.key == again.key == config.run_key()


def test_another_seed_gives_another_run(make_config: ConfigMaker) -> None:
    first, other = train(make_config(seed=0)), train(make_config(seed=1))
    assert first.metrics != other.metrics
    assert first.config_hash == other.config_hash
    assert first.key != other.key


def test_the_global_generator_is_left_alone(make_config: ConfigMaker) -> None:
    state = torch.random.get_rng_state()
    train(make_config())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_record_says_what_was_measured(make_config: ConfigMaker) -> None:
    record = train(make_config(steps=10, evaluate_every=4), purpose="compare")
    assert [point["step"] for point in record.curve] == [4, 8, 10]
    assert record.curve[-1]["accuracy"] == record.metrics["valid"]["accuracy"]
    assert set(record.metrics) == {"valid", "test", "ood"}
    assert set(record.cost) == {
        *("parameters", "forward_flops", "training_flops", "state_bytes", "memory_bytes"),
        *("ms_per_step", "train_seconds", "seconds"),
    }
    assert record.cost["training_flops"] == 3 * 10 * 8 * record.cost["forward_flops"]
    assert record.cost["train_seconds"] < record.cost["seconds"]
    assert record.cost["seconds"] * 1000 > 10 * record.cost["ms_per_step"] > 0
    assert set(record.versions) == {"python", "torch", "optuna", "attenergy"}
    assert record.machine["threads"] == str(torch.get_num_threads())
    text = record.model_dump_json()
    assert platform.node() not in text or not platform.node()
    assert os.getcwd() not in text
    assert record.purpose == "compare"


def test_learning_happens() -> None:
    """Recall of 4 pairs is learned in 200 steps; guessing gives 1 in 16."""
    plan = SearchPlan(
        study="recall",
        folder="unused",
        task="stacked-recall",
        task_options={"vocabulary": 16, "pairs": 4},
        variants=("softmax",),
        train_steps=200,
        fix={
            **{"learning_rate": 1e-2, "weight_decay": 0.0, "heads": 1},
            **{"valid_instances": 64, "test_instances": 64},
        },
    )
    space = Space(REGISTRY, plan)
    record = train(space.suggest(optuna.trial.FixedTrial({"variant": "softmax"})))
    assert record.curve[0]["loss"] > 10 * record.curve[-1]["loss"]
    assert record.metrics["test"]["accuracy"] > 0.9


def test_weights_are_those_that_were_evaluated(make_config: ConfigMaker, tmp_path: Path) -> None:
    config, path = make_config(), tmp_path / "weights" / "run.safetensors"
    record = train(config, weights=path)
    task = make_task(config.task_spec, split_seed=config.split_seed)
    model = build_model(config, task)
    model.load_state_dict(load_file(path))
    scores = evaluate(model, task, "test", 32, batch_size=config.training.batch_size)
    assert scores == record.metrics["test"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_evaluation_takes_no_larger_batches_than_training(
    make_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    predict = evaluation.predict

    def watched(model: nn.Module, batch: Batch, scored: slice | None) -> Tensor:
        sizes.append(len(batch.inputs))
        return predict(model, batch, scored)

    for module in (train_module, evaluation):
        monkeypatch.setattr(module, "predict", watched)
    assert train(make_config()).status == "complete"
    assert set(sizes) == {8}
    assert (
        len(sizes) == 12 + 4 * 4
    )  # steps; twice `valid`, then `test` and `ood`, 32 instances each


@pytest.mark.parametrize("name", ["reverse-string", "raven-small", "stacked-recall", "waves"])
def test_scores_do_not_depend_on_the_size_of_batches(name: str) -> None:
    """Words differ in length, so a mean of the means of batches would."""
    task = make_task(name, registry=REGISTRY)
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(300, task.outputs.size, dtype=torch.float64, generator=draw)

    def predict(batch: Batch) -> Tensor:
        code = batch.inputs.long().abs().reshape(*batch.targets.shape[:2], -1).sum(-1)
        return rows[(code + torch.arange(code.shape[1])) % 300]

    one, other = (task.evaluate(predict, "test", 150, batch_size=size) for size in (7, 150))
    assert one.keys() == other.keys()
    assert one == pytest.approx(other, rel=1e-6)


def test_progress_is_reported(make_config: ConfigMaker) -> None:
    reports: list[tuple[int, int]] = []
    train(make_config(), report=lambda step, steps, loss: reports.append((step, steps)))
    assert reports == [(step, 12) for step in range(1, 13)]


@pytest.mark.parametrize("variant", ["softmax", "linear", "hyla"])
def test_an_absurd_learning_rate_is_not_fatal(make_config: ConfigMaker, variant: str) -> None:
    record = train(make_config(variant, learning_rate=1e12, weight_decay=0.5))
    assert record.status in {"diverged", "complete"}
    assert record.model_validate_json(record.model_dump_json()) == record


def test_divergence_says_when_and_what(make_config: ConfigMaker, tmp_path: Path) -> None:
    weights = tmp_path / "run.safetensors"
    config = make_config("linear", learning_rate=1e30, steps=20)
    record = train(config, weights=weights)
    assert record.status == "diverged"
    assert record.reason.startswith("training loss nan at step ")
    assert record.reason.endswith(" of 20")
    assert not record.weights
    assert not weights.exists()
    assert record.cost["parameters"] > 0, "what was known is kept"


def test_an_exception_becomes_one_line(make_config: ConfigMaker) -> None:
    config = make_config()
    broken = config.model_copy(
        update={"layer": config.layer.model_copy(update={"class_": "Nowhere"})}
    )
    record = train(broken)
    assert record.status == "failed"
    assert record.reason.startswith("UnknownName: no mixer class")
    assert "Nowhere" in record.reason
    assert "(registry/catalogue.py:" in record.reason
    assert "\n" not in record.reason
    assert os.getcwd() not in record.reason


def test_an_interrupt_passes(make_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "build_model", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(make_config())


def modes_of(model: nn.Module) -> list[bool]:
    return [part.training for part in model.modules()]


@pytest.mark.parametrize("every", [1, 2, 3, 100])
def test_measuring_leaves_every_part_in_its_mode(make_config: ConfigMaker, every: int) -> None:
    config = make_config()
    task = make_task(config.task_spec)
    model = build_model(config, task)
    for number, part in enumerate(model.modules()):
        part.training = number % every == every - 1
    own = modes_of(model)
    evaluate(model, task, "valid", 8)
    assert modes_of(model) == own
    forward_flops(model, task.batch("valid", 0, 2), task.scored_positions)
    assert modes_of(model) == own


@pytest.mark.parametrize("whole", [False, True])
def test_a_part_in_evaluation_mode_stays_so_while_the_rest_is_trained(
    make_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """But a model that is so as a whole, as one that was loaded, is trained as a whole."""
    seen: list[list[bool]] = []
    step, made = train_module._train_step, []

    def build(config: RunConfig, task: Task) -> nn.Module:
        model = build_model(config, task)
        made.append((model if whole else model.get_submodule("blocks.0")).eval())
        return model

    def looked(state: TrainingState, task: Task) -> float:
        seen.append(modes_of(made[-1]))
        return step(state, task)

    monkeypatch.setattr(train_module, "build_model", build)
    monkeypatch.setattr(train_module, "_train_step", looked)
    record = train(make_config(steps=10, evaluate_every=4))
    assert record.status == "complete", record.reason
    assert len(seen) == 10
    assert {mode for modes in seen for mode in modes} == {whole}
