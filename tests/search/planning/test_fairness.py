"""Equal steps, equal FLOPs, equal seconds; and what a run costs."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from attenergy.attention import EnergyAttention, make_mixer
from attenergy.registry import Registry
from attenergy.search.comparison.compare import ComparePlan, run_compare
from attenergy.search.planning.fairness import EqualTraining
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs.config import RunConfig
from attenergy.search.study.run import run_search
from attenergy.search.training.cost import PeakMemory, state_bytes
from attenergy.search.training.known_cost import KnownCosts
from attenergy.search.training.train import train

ConfigMaker = Callable[..., RunConfig]
PlanMaker = Callable[..., SearchPlan]


def test_flops_decide_the_steps(make_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward_flops(_: KnownCosts, config: RunConfig) -> float:
        return {"softmax": 100.0, "hyla": 300.0}[config.variant]

    monkeypatch.setattr(KnownCosts, "forward_flops", forward_flops)
    equal = EqualTraining("flops", make_config(steps=60))
    assert equal.fit(make_config("hyla", steps=60)).training.steps == 20
    assert equal.fit(make_config("hyla", steps=60, batch_size=4)).training.steps == 40
    assert equal.fit(make_config("hyla", steps=60), steps=600).training.steps == 200
    assert equal.fit(make_config(steps=60)).training.steps == 60
    assert equal.fit(make_config("hyla", steps=60), steps=1).training.steps == 1
    equal = EqualTraining("steps", make_config(steps=60))
    assert equal.fit(make_config("hyla", steps=60)).training.steps == 60


@pytest.mark.parametrize(("variant", "settings"), [("hyla", {}), ("lse", {"steps": 3})])
def test_equal_flops_are_equal_but_for_half_a_step(
    make_config: ConfigMaker, registry: Registry, variant: str, settings: dict[str, Any]
) -> None:
    reference = make_config(steps=500)
    config = reference.model_copy(
        update={"variant": variant, "layer": registry.layer(variant), "settings": settings}
    )
    steps = EqualTraining("flops", reference).fit(config).training.steps
    one, other = KnownCosts().forward_flops(reference), KnownCosts().forward_flops(config)
    assert abs(steps * other - 500 * one) <= other / 2
    assert steps < 500


@pytest.mark.long
def test_a_search_with_equal_flops(registry: Registry, make_plan: PlanMaker, watcher: Any) -> None:
    # In a single block all but one state are left out, and variants cost about the same.
    steps = {"train_steps": 20, "final_steps": 40}
    plan = make_plan(trials=5, finalists=1, fairness="flops", **steps, fix={"layers": 2})
    records = run_search(plan, registry, watcher)
    reference = next(r for r in records if r.config.variant == "softmax")
    for record in records:
        assert record.status == "complete", record.reason
        worth = reference.cost["training_flops"] * (2 if record.purpose == "final" else 1)
        one_step = 3 * 8 * record.cost["forward_flops"]
        assert abs(record.cost["training_flops"] - worth) <= one_step
    assert len({r.config.training.steps for r in records[:5]}) > 1


def test_seconds_end_a_run(make_config: ConfigMaker) -> None:
    config = make_config(steps=100_000, evaluate_every=50).model_copy(update={"seconds": 0.4})
    reported: list[int] = []
    record = train(config, report=lambda step, *_: reported.append(step))
    assert record.status == "complete"
    last = record.curve[-1]
    assert 0.4 <= last["seconds"] == record.cost["train_seconds"] < 4
    assert last["step"] < 100_000
    assert reported == sorted(reported)
    assert reported[-1] == 100_000, "the schedule has come to its end"
    assert record.config_hash != make_config(steps=100_000, evaluate_every=50).config_hash()


@pytest.mark.long
def test_the_baselines_seconds_are_the_measure(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=3, fairness="seconds", train_steps=6)
    records = run_search(plan, registry, watcher)
    first, *trials = records
    assert (first.config.variant, first.config.seconds, first.proposer) == ("softmax", None, "")
    assert watcher.phases[0] == ("reference", 0, 1)
    assert len(trials) == 3
    seconds = first.cost["train_seconds"]
    assert {r.config.seconds for r in trials} == {seconds}
    assert all(r.cost["train_seconds"] >= seconds for r in trials)
    again = run_search(plan.model_copy(update={"trials": 4}), registry, watcher, resume=True)
    assert again[:4] == records
    assert again[4].config.seconds == seconds


def test_finals_of_another_length_get_as_many_more_seconds(
    registry: Registry, make_plan: PlanMaker, watcher: Any, make_config: ConfigMaker
) -> None:
    equal = EqualTraining("seconds", make_config(steps=60), seconds=3.0)
    for steps, seconds in ((None, 3.0), (60, 3.0), (180, 9.0), (20, 1.0)):
        fitted = equal.fit(make_config("hyla", steps=60), steps)
        assert fitted.seconds == pytest.approx(seconds)
        assert fitted.training.steps == (steps or 60)
    plan = make_plan(
        trials=3, finalists=1, fairness="seconds", seconds=0.02, train_steps=6, final_steps=18
    )
    records = run_search(plan, registry, watcher)
    assert {r.config.seconds for r in records if r.purpose == "trial"} == {0.02}
    finals = [r for r in records if r.purpose == "final"]
    assert finals
    assert [r.config.seconds for r in finals] == pytest.approx([0.06] * len(finals))
    assert all(r.cost["train_seconds"] >= 0.06 for r in finals)


def test_a_comparison_may_be_fair_in_either_way(
    registry: Registry, tmp_path: Path, watcher: Any
) -> None:
    plan = {"task": "tiny", "variants": ("softmax", "hyla"), "seeds": 1, "steps": 24, "workers": 0}
    timed = ComparePlan(
        name="s", folder=str(tmp_path / "s"), fairness="seconds", seconds=0.05, **plan
    )
    records = run_compare(timed, registry, watcher)
    assert [r.config.seconds for r in records if r.purpose == "compare"] == [0.05, 0.05]
    tiny = registry.tasks["tiny"]
    deep = tiny.model.model_copy(update={"layers": 2})
    registry.tasks["tiny"] = tiny.model_copy(update={"model": deep})
    flops = ComparePlan(name="f", folder=str(tmp_path / "f"), fairness="flops", **plan)
    softmax, hyla = (r for r in run_compare(flops, registry, watcher) if r.purpose == "compare")
    assert hyla.config.training.steps < softmax.config.training.steps == 24
    with pytest.raises(ValueError, match="'seconds' needs fairness 'seconds', got 'flops'"):
        ComparePlan(name="f", folder="f", fairness="flops", seconds=1.0, **plan)


def test_a_reference_that_fails_is_no_measure(
    registry: Registry, make_plan: PlanMaker, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ArithmeticError("no model today")

    monkeypatch.setattr("attenergy.search.training.train.build_model", fail)
    plan = make_plan(fairness="seconds")
    with pytest.raises(ValueError, match=r"ended as failed: .*no model today.*Give the seconds"):
        run_search(plan, registry, watcher)


def test_state_by_hand() -> None:
    # 4 bytes; 10 tokens with a key of 4 x 8 and a value of 4 x 8 numbers.
    energy = EnergyAttention(16, 4, "lse", head_dim=8)
    assert state_bytes(energy, 10) == 4 * 10 * 2 * 32
    mixer = make_mixer("softmax", embed_dim=16, num_heads=4)
    assert state_bytes(torch.nn.Sequential(mixer, energy), 10) == 4 * 10 * 2 * (16 + 32)


@pytest.mark.parametrize("name", ["energy_transformer", "hyper_set", "causal_tokens"])
def test_states_that_are_their_own_patterns_are_kept(name: str) -> None:
    assert state_bytes(EnergyAttention(16, 4, name, head_dim=4), 10) == 4 * 10 * 16


def test_memory_is_that_of_the_run() -> None:
    before = PeakMemory(torch.device("cpu"))
    # 48 MB: beyond 32 MiB the allocator maps pages of their own, it reuses none that are there.
    block = torch.ones(50_000_000)  # 200 MB, beside which what else is freed meanwhile is little
    used = before.bytes()
    assert used is not None
    assert 165e6 < used < 250e6  # without the pages it would be 136
    del block
    assert (PeakMemory(torch.device("cpu")).bytes() or 0) < 8e6, "the last run's is not counted"


def test_memory_of_files_that_the_system_drops_hides_nothing(tmp_path: Path) -> None:
    file = tmp_path / "pages"
    file.write_bytes(b"1" * 64_000_000)
    with file.open("rb") as opened:
        pages = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        assert sum(pages[:: mmap.PAGESIZE]) > 0, "every page was read"
        before = PeakMemory(torch.device("cpu"))
        pages.close()  # as when the system needs the room
    block = torch.ones(50_000_000)  # 200 MB, beside which what else is freed meanwhile is little
    used = before.bytes()
    assert used is not None
    assert 165e6 < used < 250e6  # without the pages it would be 136
    del block
