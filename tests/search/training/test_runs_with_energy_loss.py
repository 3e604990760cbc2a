"""Whole runs whose loss has a term on the layers' energies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import ArgumentError, Registry, TrainingSpec
from attenergy.search.comparison.compare import run_compare
from attenergy.search.comparison.configure import configure
from attenergy.search.planning.fairness import EqualTraining
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.events import Listener
from attenergy.search.training.known_cost import KnownCosts
from attenergy.search.training.train import train
from tests.search.training.conftest import Run

ConfigMaker = Callable[..., RunConfig]


@pytest.fixture
def make_config(registry: Registry) -> ConfigMaker:
    """Maker of runs of the tiny task with what is changed of their training."""

    def make(variant: str = "lse", **training: Any) -> RunConfig:
        plan = ComparePlan(
            name="tiny", folder="unused", task="tiny", variants=(variant,), fix=training
        )
        return configure(plan, registry, variant)

    return make


@pytest.mark.long
@pytest.mark.parametrize("variant", ["softmax", "lse"])
def test_minimise_lowers_energies_and_contrast_parts_them(
    make_config: ConfigMaker, variant: str
) -> None:
    """Trained with a heavy term, beside the same training with a weight that moves nothing."""

    def last(term: str) -> float:
        record = train(make_config(variant, steps=30, evaluate_every=30, energy_loss=term))
        assert record.status == "complete", record.reason
        return record.curve[-1]["energy_loss"]

    assert last("minimise:1") < last("minimise:1e-12") - 1
    assert last("contrast:10") < last("contrast:1e-12") - 0.01


def test_without_a_term_the_training_is_as_it_was(make_config: ConfigMaker) -> None:
    """Bits and keys: `none`, a weight of 0 and a record of before are one configuration."""
    config = make_config("lse", dropout=0.1)
    assert TrainingSpec(steps=1, energy_loss="contrast:0").energy_loss == "none"
    data = config.model_dump(mode="json", by_alias=True)
    for training in (data["training"], data["task_spec"]["training"]):
        del training["energy_loss"]
    before = RunConfig.model_validate(data)
    assert before == config
    assert before.run_key() == config.run_key()
    assert make_config("lse", dropout=0.1, energy_loss="minimise:1").run_key() != config.run_key()
    plain, light = (
        train(config),
        train(make_config("lse", dropout=0.1, energy_loss="minimise:1e-300")),
    )
    assert "energy_loss" not in plain.curve[-1]
    assert "energy_loss_flops" not in plain.cost
    # A weight below all rounding: the term is computed, and moves nothing, not even random numbers.
    curve = [{n: v for n, v in p.items() if n != "energy_loss"} for p in light.curve]
    assert curve == plain.curve
    assert light.metrics == plain.metrics


@pytest.mark.parametrize("variant", ["softmax", "lse"])
def test_a_model_may_train_in_half_the_bits(make_config: ConfigMaker, variant: str) -> None:
    record = train(make_config(variant, precision="bfloat16", energy_loss="contrast:0.5"))
    assert record.status == "complete", record.reason
    assert 0 < record.curve[-1]["energy_loss"] < 10


@pytest.mark.parametrize("term", ["minimise:0.01", "contrast:0.5"])
def test_a_run_goes_on_to_the_bit(make_run: Callable[..., Run], term: str) -> None:
    run = make_run("lse", energy_loss=term)
    whole = run.train("whole")
    assert whole.status == "complete", whole.reason
    run.path.unlink(missing_ok=True)
    run.stop_after(4)
    again = run.train("again")
    assert again.continued
    assert again.curve == whole.curve
    assert run.digest("again") == run.digest("whole")


def test_what_it_costs_is_counted(make_config: ConfigMaker) -> None:
    """One more product of states and patterns for `minimise`, two for `contrast`."""
    costs = {}
    for term in ("none", "minimise:1", "contrast:1"):
        config = make_config(steps=4, warmup=1, evaluate_every=4, energy_loss=term)
        record = train(config)
        assert record.status == "complete", record.reason
        costs[term] = record.cost
        known = KnownCosts().of(config, ["training_flops", "forward_flops", "parameters"])
        assert known == {name: costs[term][name] for name in known}
    plain, one, two = costs.values()
    width, length = 16, KnownCosts()._task_of(make_config("lse")).inputs.length
    assert one["energy_loss_flops"] == 2 * width * length  # the last block: one position is scored
    assert two["energy_loss_flops"] == 2 * one["energy_loss_flops"]
    instances = 4 * make_config("lse").training.batch_size
    for cost, term in ((one, one), (two, two)):
        flops = plain["forward_flops"] + term["energy_loss_flops"]
        assert cost["training_flops"] == 3 * instances * flops
        assert cost["parameters"] == plain["parameters"]


def test_equal_flops_count_the_term(make_config: ConfigMaker) -> None:
    reference = make_config("lse", steps=1000)
    equal = EqualTraining("flops", reference)
    steps = equal.fit(make_config("lse", steps=1000, energy_loss="contrast:1")).training.steps
    assert steps < equal.fit(reference).training.steps == 1000


def test_a_comparison_refuses_before_anything_is_trained(
    registry: Registry, tmp_path: Path
) -> None:
    plan = ComparePlan(
        name="no", folder=str(tmp_path / "no"), task="tiny", variants=("softmax", "linear"),
        fix={"energy_loss": "minimise:0.1"}, workers=0,
    )  # fmt: skip
    with pytest.raises(ArgumentError, match=r"linear: .*HypernetworkAttention has no energy"):
        run_compare(plan, registry, Listener())
    assert not list((tmp_path / "no").glob("records.jsonl"))
    wrong = plan.model_copy(update={"fix": {"energy_loss": "minimize:0.1"}})
    with pytest.raises(ArgumentError, match="did you mean 'minimise'"):
        configure(wrong, registry, "softmax")


def test_a_run_that_cannot_have_it_fails_before_its_first_step(make_config: ConfigMaker) -> None:
    steps: list[int] = []
    record = train(
        make_config("linear", energy_loss="minimise:1"), report=lambda step, *_: steps.append(step)
    )
    assert record.status == "failed"
    assert (
        "energy_loss minimise:1: blocks.0.mixer: HypernetworkAttention has no energy"
        in record.reason
    )
    assert not steps
