"""Trials are short, and the better of them go on from where they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from attenergy.registry import Registry
from attenergy.search.artifacts.train_longer import train_longer
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.results import formats
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.study.run import StudyMismatch, run_search
from attenergy.search.training.train import train

PlanMaker = Callable[..., SearchPlan]
Play = Callable[[Callable[[RunConfig], list[float]]], None]
TAIL = {"schedule": "constant_tail"}


def by_steps(records: list[RunRecord]) -> dict[int, list[RunRecord]]:
    groups: dict[int, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(record.config.training.steps, []).append(record)
    return groups


@pytest.mark.long
def test_survivors_go_on_to_the_bit_and_nothing_is_left_of_it(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=6, rungs=3, train_steps=40, fix=TAIL, finalists=1)
    records = run_search(plan, registry, watcher)
    rungs = by_steps([record for record in records if record.purpose == "trial"])
    assert list(rungs) == [10, 20, 40]
    assert [len(rungs[10]), len(rungs[20])] in ([6, 3], [6, 4])
    assert len(rungs[40]) in {2, 3}
    for steps, before in ((20, 10), (40, 20)):
        assert {r.continued[-1:] for r in rungs[steps]} == {(before * 4 // 5,)}
        ends = {record.config.with_steps(steps).run_key(): record for record in rungs[before]}
        better = sorted((r.metrics["valid"]["accuracy"] for r in rungs[before]), reverse=True)
        least = better[(len(better) + 1) // 2 - 1]
        for record in rungs[steps]:
            score = ends[record.key].metrics["valid"]["accuracy"]
            assert score >= least or record.config.variant == "softmax"
        assert "softmax" in {record.config.variant for record in rungs[steps]}
    last = rungs[40][0]
    assert last.metrics == train(last.config).metrics
    finals = [record for record in records if record.purpose == "final"]
    assert {record.config.training.steps for record in finals} == {40}
    hashes = {record.config_hash for record in rungs[40]}
    assert {record.config_hash for record in finals} <= hashes
    assert [name for name, _, _ in watcher.phases][:3] == ["trials", "rung 2 of 3", "rung 3 of 3"]
    assert not (Path(plan.folder) / "checkpoints").exists()


@pytest.mark.long
def test_the_better_half_goes_on_and_the_best_of_the_baseline(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    height = {"softmax": 0.1, "linear": 0.5, "hyla": 0.3}
    play(lambda config: [height[config.variant]] * 2)
    plan = make_plan(trials=9, rungs=4, train_steps=80, fix=TAIL, matched=())
    records = run_search(plan, registry, watcher)
    rungs = {steps: [r.config.variant for r in group] for steps, group in by_steps(records).items()}
    assert len(rungs[10]) == 9
    assert set(rungs) == {10, 20, 40, 80}
    for steps in (20, 40, 80):
        assert rungs[steps].count("softmax") == 1, "the worst of all, but the baseline"
    assert set(rungs[80]) <= {"linear", "softmax"}

    watcher.records.clear()
    again = run_search(plan, registry, watcher, resume=True)
    assert len(again) == len(records)
    assert watcher.records == []


@pytest.mark.long
def test_a_rung_that_was_stopped_goes_on(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    class Stopping(type(watcher)):  # type: ignore[misc]
        def finished(self, record: RunRecord) -> None:
            super().finished(record)
            if record.config.training.steps == 20:
                raise KeyboardInterrupt

    plan = make_plan(trials=4, rungs=2, train_steps=20, fix=TAIL)
    with pytest.raises(KeyboardInterrupt):
        run_search(plan, registry, Stopping())
    records = run_search(plan, registry, watcher, resume=True)
    rungs = by_steps(records)
    assert len(rungs[10]) == 4
    assert len(rungs[20]) >= 2
    assert all(record.continued == (8,) for record in rungs[20])
    with pytest.raises(StudyMismatch, match="rungs was 2, is 1"):
        run_search(plan.model_copy(update={"rungs": 1}), registry, watcher, resume=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fix": {}}, "2 rungs need trainings that can go on: --fix schedule=constant_tail"),
        ({"train_steps": 1}, "1 training steps are too few for 2 rungs"),
    ],
)
def test_what_cannot_have_rungs_is_refused(
    registry: Registry, make_plan: PlanMaker, watcher: Any, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        run_search(make_plan(**{"rungs": 2, "fix": TAIL, **changes}), registry, watcher)


@pytest.mark.parametrize("changes", [{"fairness": "seconds"}, {"budget": "10m", "trials": None}])
def test_rungs_are_steps_of_a_number_of_trials(
    make_plan: PlanMaker, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match="several rungs"):
        make_plan(rungs=2, fix=TAIL, **changes)


def trials(records: list[RunRecord]) -> tuple[list[RunRecord], list[RunRecord]]:
    """Those that paused, and those that came to their ends."""
    own = [record for record in records if record.purpose == "trial"]
    return [r for r in own if r.config.pause], [r for r in own if not r.config.pause]


@pytest.mark.long
def test_the_best_go_on_to_the_bit_and_nothing_is_left_of_it(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=6, pause=0.5, survivors=0.2, finalists=1)
    records = run_search(plan, registry, watcher)
    paused, whole = trials(records)
    assert [record.config.pause for record in paused] == [6] * 6
    assert {frozenset(record.metrics) for record in paused} == {frozenset({"valid"})}
    assert {record.continued for record in whole} == {(6,)}
    assert {frozenset(record.metrics) for record in whole} == {frozenset({"valid", "test", "ood"})}
    best = max(paused, key=lambda record: record.metrics["valid"]["accuracy"])
    assert best.config.whole() in [record.config for record in whole]
    assert "softmax" in {record.config.variant for record in whole}
    for record in whole:  # all of it, with the cosine of a whole training
        again = train(record.config)
        assert (record.metrics, record.curve) == (again.metrics, again.curve)
        begin = next(r for r in paused if r.config.whole() == record.config)
        assert record.curve[:1] == begin.curve
    finals = [record for record in records if record.purpose == "final"]
    assert {record.config_hash for record in finals} <= {record.config_hash for record in whole}
    assert not (Path(plan.folder) / "checkpoints").exists()
    rows = read_study(Path(plan.folder)).leaderboard().rows
    assert sum(row.settings.get("pause") == 6 for row in rows) == 6
    said = [formats.settings(row.settings) for row in rows]
    assert sum(text.startswith("paused at step 6 of 12 ") for text in said) == 6


def test_a_paused_trial_goes_on_later(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=2, pause=0.5, survivors=0.2, keep_checkpoints=True)
    paused, _ = trials(run_search(plan, registry, watcher))
    folder = Path(plan.folder)
    assert (folder / "checkpoints").exists()
    longer = train_longer(paused[0], folder, 12, watcher, workers=0)
    assert longer.continued == (6,)
    assert longer.metrics == train(paused[0].config.whole()).metrics
    with pytest.raises(ValueError, match="every step depends on how long the run is"):
        train_longer(paused[0], folder, 24, watcher, workers=0)


@pytest.mark.long
def test_a_search_that_was_stopped_goes_on(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    class Stopper(type(watcher)):  # type: ignore[misc]
        def finished(self, record: RunRecord) -> None:
            super().finished(record)
            if record.config.pause is None:
                raise KeyboardInterrupt

    plan = make_plan(trials=4, pause=0.5, survivors=1.0)
    with pytest.raises(KeyboardInterrupt):
        run_search(plan, registry, Stopper())
    unsaid = plan.model_copy(update={"pause": None})
    records = run_search(unsaid, registry, watcher, resume=True)
    paused, whole = trials(records)
    assert (len(paused), len(whole)) == (4, 4)
    assert {record.continued for record in whole} == {(6,)}
    other = plan.model_copy(update={"pause": 0})
    with pytest.raises(StudyMismatch, match=r"pause was 0.5, is 0"):
        run_search(other, registry, watcher, resume=True)


@pytest.mark.long
def test_the_variants_that_lead_go_on(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    scores = {"softmax": 0.2, "linear": 0.6, "hyla": 0.4}
    play(lambda config: [scores[config.variant], scores[config.variant] + 0.01 * config.seed])
    fields = {"trials": 8, "pause": 0.5, "survivors": 0.1, "matched": ()}
    for finalists, variants in ((1, {"softmax", "linear"}), (2, {"softmax", "linear", "hyla"})):
        plan = make_plan(**fields, finalists=finalists, study=f"tiny{finalists}")
        plan = plan.model_copy(update={"folder": f"{plan.folder}{finalists}"})
        _, whole = trials(run_search(plan, registry, watcher))
        assert {record.config.variant for record in whole} == variants
        assert len(whole) <= 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pause": 1}, "less than 1"),
        ({"pause": -0.1}, "greater than or equal to 0"),
        ({"pause": "3/0"}, "a share such as 3/8 or 0.375"),
        ({"pause": "1e9"}, "a share such as 3/8 or 0.375"),
        ({"pause": "half"}, "a share such as 3/8 or 0.375"),
        ({"pause": 0.5, "survivors": 0}, "greater than 0"),
        ({"pause": 0.5, "rungs": 2}, "give one of the two"),
        ({"pause": 0.5, "fairness": "seconds"}, "a pause goes by training steps"),
    ],
)
def test_what_cannot_pause_is_refused(make_plan: PlanMaker, changes: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        make_plan(**changes)


@pytest.mark.parametrize("text", ["3/8", ".375", " 3 / 8 ", 0.375])
def test_a_share_as_it_is_written(make_plan: PlanMaker, text: Any) -> None:
    assert make_plan(pause=text).pause == 0.375
