"""Replays of searches on planted tables, whose regret is known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from attenergy.registry import ArgumentError
from attenergy.search.bench.choice import Choice
from attenergy.search.bench.evaluate import BenchResult, evaluate
from attenergy.search.bench.policy import POLICIES, SearchPolicy, read_policy
from attenergy.search.bench.replay import replay
from attenergy.search.bench.simulation import SimulatedWorkers
from attenergy.search.bench.world import World
from attenergy.search.planning.pruners import PRUNERS, Pruner
from attenergy.search.results.ranking import columns_of, rank
from tests.search.bench.conftest import RUN_SECONDS, STEPS, planted_table
from tests.search.bench.test_world import config_of

RANDOM = SearchPolicy(sampler="random")


def test_runs_of_two_workers_come_in_the_order_of_their_seconds(world: World) -> None:
    workers = SimulatedWorkers(world, 2)
    first = workers.begin(config_of(world, "softmax"))
    assert workers.free == 1
    second = workers.begin(config_of(world, "lse"), share=0.5)
    order = []
    while (run := workers.evaluated()) is not None:
        order.append((run, run.step, workers.now))
        workers.proceed(run)
    quarter = RUN_SECONDS / 4
    assert [(run is first, step) for run, step, _ in order] == [
        (True, 100), (False, 100), (True, 200), (False, 200), (True, 300), (True, 400),
    ]  # fmt: skip
    assert [now for *_, now in order] == pytest.approx(
        [quarter, quarter, 2 * quarter, 2 * quarter, 3 * quarter, 4 * quarter]
    )
    assert first.ended
    assert not second.ended
    assert second.record("accuracy", "trial", workers.now).curve[-1] == {
        "step": 200,
        "accuracy": pytest.approx(0.8),
    }


def test_a_run_that_continues_costs_only_the_steps_that_are_left(world: World) -> None:
    workers = SimulatedWorkers(world, 1)
    run = workers.begin(config_of(world), share=0.25)
    assert workers.evaluated() is run
    assert not workers.proceed(run)
    other = workers.begin(config_of(world, "linear"), share=0.25)
    assert workers.evaluated() is other
    workers.resume(run)
    while (ended := workers.evaluated()) is not None:
        assert ended is run
        workers.proceed(run)
    assert run.ended
    assert workers.now == pytest.approx(RUN_SECONDS * 5 / 4)
    assert run.record("accuracy", "trial", workers.now).cost["seconds"] == pytest.approx(
        RUN_SECONDS
    )


def test_nothing_comes_after_the_end(world: World) -> None:
    workers = SimulatedWorkers(world, 1, end=RUN_SECONDS * 0.6)
    run = workers.begin(config_of(world))
    while workers.evaluated() is not None:
        workers.proceed(run)
    assert run.step == 200
    assert workers.now == pytest.approx(RUN_SECONDS * 0.6)
    assert workers.free == 0


@pytest.mark.long
def test_with_time_enough_the_best_is_named_and_the_regret_is_none(world: World) -> None:
    for name in POLICIES:
        policy = replace(POLICIES[name], sampler="random")
        long = replay(policy, world, 60 * RUN_SECONDS, seed=3)
        assert long.regret() == pytest.approx(0.0), name
        assert long.finals >= 12, name


def test_before_the_first_run_ends_the_regret_is_that_of_naming_any(world: World) -> None:
    short = replay(RANDOM, world, RUN_SECONDS * 0.9)
    assert short.choices == ((0.0, pytest.approx(0.3)),)
    assert short.trials == 0


def test_the_course_of_the_regret_is_that_of_the_trials(world: World) -> None:
    """The first trials are the defaults, the baseline's first: 0.4 of softmax, 0.8 of lse."""
    one = replay(replace(RANDOM, finalists=0), world, 4 * RUN_SECONDS, workers=1)
    assert one.regret(RUN_SECONDS * 1.01) == pytest.approx(0.4)
    assert one.regret() == pytest.approx(0.0)
    assert one.trials == 2  # half of the time is for trials


def test_short_trials_mislead_where_the_order_turns() -> None:
    turned = World(planted_table(order=-1.0))
    policy = replace(RANDOM, finalists=1, final_budget="none", share=0.4)
    long, short = (
        replay(replace(policy, steps=steps), turned, 40 * RUN_SECONDS) for steps in (1.0, 0.25)
    )
    assert short.trials > 3 * long.trials
    assert long.regret() == pytest.approx(0.0)
    assert short.regret() > 0.2


def test_paused_runs_are_not_misled_by_what_holds_for_short_ones() -> None:
    turned = World(planted_table(order=-1.0))
    policy = read_policy("continue+sampler=random")
    assert replay(policy, turned, 40 * RUN_SECONDS).regret() == pytest.approx(0.0)


def test_survivors_that_continue_leave_time_for_more_trials(world: World) -> None:
    table = {
        how: replay(read_policy(f"{how}+sampler=random"), world, 40 * RUN_SECONDS).trials
        for how in ("restart", "continue")
    }
    assert table["continue"] > table["restart"]


@pytest.mark.parametrize("name", ["median", "asha"])
def test_pruners_are_those_of_a_search(name: str) -> None:
    """A pruner that gives up what falls behind lets more trials begin in the same time."""
    noisy = World(planted_table(noise=0.02))
    plain = replay(replace(RANDOM, trials=200), noisy, 60 * RUN_SECONDS)
    pruned = replay(replace(RANDOM, trials=200, pruner=name), noisy, 60 * RUN_SECONDS)
    assert pruned.trials > plain.trials


def test_a_row_of_a_users_own_is_replayed_too(world: World) -> None:
    class Never(Pruner):
        def verdict(self, key: str, curve: object) -> str:
            return "is not to my taste"

    PRUNERS["never"] = Never
    try:
        result = replay(replace(RANDOM, pruner="never", finalists=0), world, 20 * RUN_SECONDS)
    finally:
        del PRUNERS["never"]
    plain = replay(replace(RANDOM, finalists=0), world, 20 * RUN_SECONDS)
    assert result.trials >= plain.trials
    assert result.seconds < plain.seconds


@pytest.mark.long
def test_the_same_seed_gives_the_same_search_and_another_another() -> None:
    noisy = World(planted_table(noise=0.1))
    first = [replay(POLICIES["fitted"], noisy, 20 * RUN_SECONDS, seed=seed) for seed in range(4)]
    again = [replay(POLICIES["fitted"], noisy, 20 * RUN_SECONDS, seed=seed) for seed in range(4)]
    assert first == again
    assert len({each.choices for each in first}) > 1


def test_the_choice_is_the_first_row_of_the_leaderboard() -> None:
    noisy = World(planted_table(noise=0.1))
    choice, records = Choice(noisy), []
    workers = SimulatedWorkers(noisy, 1)
    for seed in range(3):
        for variant in ("softmax", "linear", "lse"):
            run = workers.begin(config_of(noisy, variant, seed=seed))
            while (run_now := workers.evaluated()) is not None:
                workers.proceed(run_now)
            records.append(run.record("accuracy", "final", workers.now))
            choice.add(records[-1], workers.now)
    rows = rank(records, "accuracy", columns_of(noisy.task), "softmax")
    assert choice.leader is not None
    assert choice.leader.config_hash() == rows[0].config_hash


def test_outcomes_are_means_over_the_repeats_and_pairs(world: World) -> None:
    seen = []
    whole = read_policy("random+finalists=0+share=1")
    result = evaluate(
        [("random", RANDOM, 3), ("random", RANDOM, 6), ("all", whole, 3), ("all", whole, 6)],
        World(planted_table(noise=0.1)),
        repeats=3,
        progress=lambda *about: seen.append(about),
    )
    assert [(each.policy, each.minutes) for each in result.outcomes] == [
        ("random", 3), ("random", 6), ("all", 3), ("all", 6),
    ]  # fmt: skip
    assert result.reference is result.outcomes[1]
    assert seen[-1] == ("all", 6, 3, 3)
    last = result.outcomes[-1]
    assert last.regret.mean == pytest.approx(sum(last.regrets) / 3)
    assert last.course[-1] == pytest.approx(last.regret.mean)
    assert last.more_than(last).mean == 0.0
    assert last.finals == 0
    rows = result.data()["outcomes"]
    assert rows[0]["regret"]["count"] == 3
    assert all(math.isfinite(value) for row in rows for value in row["course"])


def test_a_length_that_the_table_lacks_is_named(world: World) -> None:
    with pytest.raises(ArgumentError, match=f"100, {STEPS} steps, not of 200"):
        replay(replace(RANDOM, steps=0.5), world, 100.0)


def test_what_a_file_holds_is_not_made_again(tmp_path: Path) -> None:
    noisy = World(planted_table(noise=0.1))
    path, seen = tmp_path / "result.json", list[tuple[object, ...]]()

    def write(result: BenchResult) -> None:
        path.write_text(json.dumps(result.data()))

    def made_of(*minutes: float, repeats: int = 2) -> BenchResult:
        seen.clear()
        return evaluate(
            [("random", RANDOM, length) for length in minutes],
            noisy,
            repeats=repeats,
            progress=lambda *about: seen.append(about),
            made=write,
            earlier=BenchResult.read(path) if path.exists() else None,
        )

    first = made_of(2)
    assert BenchResult.read(path) == first
    both = made_of(2, 3)
    assert {about[1] for about in seen} == {3}
    assert both.outcomes[0] == first.outcomes[0]
    made_of(2, 3, repeats=3)  # another size
    assert {about[1] for about in seen} == {2, 3}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"outcomes": [{"policy": "a"}]}'])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(ArgumentError, match="no result of a bench"):
        BenchResult.read(path)
