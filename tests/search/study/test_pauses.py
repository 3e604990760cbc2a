"""Trials pause, and the best of them go on to their ends from where they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from attenergy.registry import Registry
from attenergy.search.artifacts.train_longer import train_longer
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.study.run import StudyMismatch, run_search
from attenergy.search.training.train import train

PlanMaker = Callable[..., SearchPlan]
Play = Callable[[Callable[[RunConfig], list[float]]], None]


def trials(records: list[RunRecord]) -> tuple[list[RunRecord], list[RunRecord]]:
    """Those that paused, and those that came to their ends."""
    own = [record for record in records if record.purpose == "trial"]
    return [r for r in own if r.config.pause], [r for r in own if not r.config.pause]


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


def test_the_variants_that_lead_go_on(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    scores = {"softmax": 0.2, "linear": 0.6, "hyla": 0.4}
    play(lambda config: [scores[config.variant], scores[config.variant] + 0.01 * config.seed])
    fields = {"trials": 12, "pause": 0.5, "survivors": 0.1, "matched": ()}
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
