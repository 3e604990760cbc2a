"""Samplers, the random control, enqueued parameters, objectives, and a planted truth."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from statistics import fmean
from typing import Any

import pytest

from attenergy.registry import Registry, UnknownName
from attenergy.search.planning.objectives import Objective, find_objectives, order
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.results.random_control import best_of, expected_best, summary
from attenergy.search.results.ranking import rank
from attenergy.search.results.sequential import least_seeds
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.study.run import run_search
from attenergy.tasks import make_task

pytestmark = pytest.mark.long  # whole searches or processes

PlanMaker = Callable[..., SearchPlan]


def planted(config: RunConfig) -> float:
    """One variant is truly best, and a learning rate near 3e-3 helps a little."""
    truth = {"softmax": 0.6, "linear": 0.75, "hyla": 0.6, "lse": 0.8}[config.variant]
    noise = random.Random(config.run_key()).gauss(0, 0.02)
    return truth - abs(config.training.learning_rate - 3e-3) + noise


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "gp", "nsga2"])
def test_every_sampler_finds_the_planted_best(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Callable[..., None], sampler: str
) -> None:
    play(lambda config: [planted(config)])
    plan = make_plan(trials=8, finalists=1, seeds=6, sampler=sampler)
    records = run_search(plan, registry, watcher)
    rows = rank(records, "accuracy", {"valid": "valid"}, "softmax")
    assert rows[0].variant == "linear"
    assert rows[0].p_values["valid"] <= 0.05, "all six pairs agree: a real difference"
    went_on = run_search(plan.model_copy(update={"trials": 10}), registry, watcher, resume=True)
    rates = Counter(
        r.config.training.learning_rate
        for r in went_on
        if r.purpose == "trial" and r.proposer != "default"
    )
    assert len(rates) == 7, "no draw is made twice"


def test_equal_variants_are_not_called_different(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Callable[..., None]
) -> None:
    """Six finalists that differ by noise alone; corrected p values call none of them real."""
    play(lambda config: [0.5 + random.Random(config.run_key()).gauss(0, 0.05)])
    plan = make_plan(trials=7, finalists=6, seeds=9, sampler="random")
    rows = rank(run_search(plan, registry, watcher), "accuracy", {"valid": "valid"}, "softmax")
    compared = [row.p_values["valid"] for row in rows if row.final and row.differences]
    assert len(compared) >= 5
    assert least_seeds(len(compared), 0.05) <= 9, "else no p could be small enough"
    assert sum(p <= 0.05 for p in compared) == 0


def test_brute_force_tries_everything_once(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Callable[..., None]
) -> None:
    play(lambda config: [planted(config)])
    endless = make_plan(sampler="brute-force", variants=("softmax", "linear"))
    with pytest.raises(ValueError, match=r"finite space.*learning_rate; fix them"):
        run_search(endless, registry, watcher)
    plan = endless.model_copy(
        update={"fix": {"learning_rate": 3e-3}, "trials": 20, "study": "finite", "control": 0}
    )
    records = run_search(plan, registry, watcher)
    tried = Counter((r.config.variant, r.config.model.heads) for r in records)
    assert tried == {(v, heads): 1 for v in ("softmax", "linear") for heads in (2, 4)}
    assert watcher.messages == ["the space holds no more: it was searched whole after 4 trials"]


def test_the_control_is_a_fifth_and_survives_a_resume(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Callable[..., None]
) -> None:
    play(lambda config: [planted(config)])
    plan = make_plan(trials=13, matched=())
    assert _kinds(run_search(plan, registry, watcher)) == {"default": 3, "sampler": 8, "control": 2}
    more = plan.model_copy(update={"trials": 23, "control": 10})
    records = run_search(more, registry, watcher, resume=True)
    assert _kinds(records) == {"default": 3, "sampler": 10, "control": 10}
    best = best_of(records, "accuracy")
    assert best["control"][0] == best["sampler"][0] == 10
    assert watcher.messages[-1] == summary(records, "accuracy")
    assert summary(records, "accuracy").startswith("best accuracy of 10 trials of the sampler 0.")
    assert "on average" not in summary(records, "accuracy"), "ten of each"
    fewer = [record for record in records if record.proposer != "control"]
    few = [record for record in records if record.proposer == "control"][:3]
    text = summary(fewer + few, "accuracy")
    assert re.search(r" \(the best of 3 of them: 0\.\d+ on average\), of 3 drawn at random", text)
    nobody = make_plan(trials=13, study="n", folder=f"{plan.folder}n", sampler="random", matched=())
    assert _kinds(run_search(nobody, registry, watcher)) == {"default": 3, "sampler": 10}
    assert summary(records[:3], "accuracy") == ""


@pytest.mark.parametrize(
    ("sampler", "matched"),
    [
        ("tpe", None),
        ("tpe", ("softmax", "hyla")),
        ("tpe", ()),
        *(
            pytest.param(sampler, matched, marks=pytest.mark.slow)
            for sampler, matched in [
                ("random", ("softmax",)),
                ("qmc", ("softmax",)),
                ("gp", None),
                ("nsga2", None),
            ]
        ),
    ],
)
def test_a_baseline_is_tuned_as_often_as_the_others(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    play: Callable[..., None],
    sampler: str,
    matched: tuple[str, ...] | None,
) -> None:
    """The sampler sees early that `lse` is best; the baselines are tried as often all the same."""
    play(lambda config: [planted(config)])
    variants = ("softmax", "linear", "hyla", "lse")
    plan = make_plan(trials=12, sampler=sampler, matched=matched, variants=variants)
    records = run_search(plan, registry, watcher)
    records = run_search(plan.model_copy(update={"trials": 20}), registry, watcher, resume=True)
    counts = Counter(record.config.variant for record in records)
    assert counts.total() == 20
    if matched == ():
        assert "matched" not in _kinds(records)
        return
    matched = matched or ("softmax", "linear", "hyla")
    others = [counts[variant] for variant in variants if variant not in matched]
    for variant in matched:
        assert counts[variant] >= max(others) - 1
    added = [record for record in records if record.proposer == "matched"]
    assert {record.config.variant for record in added} <= set(matched)
    rates = {record.config.training.learning_rate for record in added}
    least = 2 if sampler == "gp" else len(added)  # a Gaussian process returns to the bounds
    assert len(rates) >= least, "tuned, not repeated"


def test_only_a_variant_of_the_search_is_matched(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    with pytest.raises(UnknownName, match=r"to match 'liner' \(did you mean 'linear'\?\)"):
        run_search(make_plan(matched=("liner",)), registry, watcher)
    assert not watcher.phases


def test_enqueued_parameters_come_after_the_defaults(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Callable[..., None]
) -> None:
    play(lambda config: [planted(config)])
    wishes = ({"variant": "linear", "heads": 4}, {"learning_rate": 5e-3})
    plan = make_plan(trials=6, enqueue=wishes, matched=())
    records = run_search(plan, registry, watcher)
    assert [r.proposer for r in records] == ["default"] * 3 + ["enqueued"] * 2 + ["sampler"]
    assert (records[3].config.variant, records[3].config.model.heads) == ("linear", 4)
    assert records[4].config.training.learning_rate == 5e-3
    again = run_search(plan.model_copy(update={"trials": 8}), registry, watcher, resume=True)
    assert _kinds(again)["enqueued"] == 2


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({}, "an enqueued trial names no quantity"),
        ({"hedas": 2}, r"no open quantity to enqueue 'hedas' \(did you mean 'heads'\?\)"),
        ({"heads": 3}, "cannot enqueue heads = 3; the space offers 2, 4"),
        ({"learning_rate": 1.0}, "cannot enqueue learning_rate = 1.0; the space offers 0.001 to"),
        ({"variant": "linear", "lse.steps": 2}, "one variant, got linear and lse"),
    ],
)
def test_impossible_wishes_are_refused(
    registry: Registry, make_plan: PlanMaker, watcher: Any, wish: dict[str, Any], message: str
) -> None:
    plan = make_plan(variants=("softmax", "linear", "lse"), enqueue=(wish,))
    with pytest.raises(ValueError, match=message):
        run_search(plan, registry, watcher)


def test_objectives_are_looked_up(registry: Registry) -> None:
    task = make_task("tiny", registry=registry)
    assert find_objectives(task, ()) == (Objective("accuracy", "maximize", False),)
    objectives = find_objectives(task, ("loss", "flops"))
    assert [o.direction for o in objectives] == ["minimize", "minimize"]
    with pytest.raises(UnknownName, match=r"no objective of tiny 'flop' \(did you mean 'flops'"):
        find_objectives(task, ("accuracy", "flop"))
    with pytest.raises(ValueError, match=r"must be a metric of the task .*not the cost 'flops'"):
        find_objectives(task, ("flops", "accuracy"))


def test_the_best_of_few_is_the_mean_over_all_choices() -> None:
    scores = [0.3, 0.9, 0.1, 0.9, 0.5]
    for draws in range(1, 6):
        every = [max(chosen) for chosen in combinations(scores, draws)]
        assert expected_best(scores, draws) == pytest.approx(fmean(every))
    with pytest.raises(ValueError, match="from 1 to the number of scores, 5, got 6"):
        expected_best(scores, 6)


def test_fronts_by_hand() -> None:
    both = (Objective("accuracy", "maximize", False), Objective("flops", "minimize", True))
    scores = {"a": (0.9, 9.0), "b": (0.8, 1.0), "c": (0.7, 2.0), "d": (0.9, 9.5), "e": (0.5, 0.5)}
    assert order(scores, both) == ["a", "b", "e", "d", "c"]
    assert order({"a": (0.1,), "b": (0.3,), "c": (0.2,)}, both[:1]) == ["b", "c", "a"]


def _kinds(records: list[RunRecord]) -> dict[str, int]:
    return dict(Counter(r.proposer for r in records if r.purpose == "trial"))
