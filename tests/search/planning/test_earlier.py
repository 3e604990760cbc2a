"""What earlier studies know: tried first, shown to the sampler as an order, and never mixed in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection

from attenergy.registry import Range, Registry, UnknownName
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.results.random_control import summary
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.storage.database import latest, open_storage
from attenergy.search.study.earlier import (
    MOST_SHOWN,
    MOST_TRIED,
    EarlierStudy,
    EarlierTrial,
    EarlierTrials,
    first_tried,
    known_earlier,
)
from attenergy.search.study.run import run_search

PlanMaker = Callable[..., SearchPlan]

BEST = 96  # the width that is best in the planted task


@pytest.fixture
def wide(registry: Registry) -> Registry:
    registry.spaces["tiny"] = {
        "width": Range(low=8, high=128, step=8),
        "heads": Range(choices=(2, 4)),
    }
    return registry


def planted(config: RunConfig) -> list[float]:
    return [0.9 - abs(config.model.width - BEST) / 200 + (config.model.heads == 4) / 50]


@pytest.mark.long
def test_an_earlier_study_changes_what_is_proposed(
    wide: Registry, make_plan: PlanMaker, watcher: Any, play: Callable[..., None]
) -> None:
    play(planted)
    old = make_plan(variants=("softmax", "linear"), trials=24, study="old", sampler="random")
    old = old.model_copy(update={"folder": str(Path(old.folder) / "old")})
    records = run_search(old, wide, watcher)
    best = sorted({planted(r.config)[0] for r in records}, reverse=True)
    new = make_plan(variants=("softmax", "linear"), trials=20, earlier=("old",), matched=())
    new = new.model_copy(update={"folder": str(Path(new.folder) / "new")})
    watcher.messages.clear()
    again = run_search(new, wide, watcher)
    assert watcher.messages[0].startswith("from old (the same task): ")
    assert watcher.messages[0].endswith(" with a score fit this space")
    taken = [r for r in again if r.proposer == "earlier"]
    assert [r.proposer for r in again[:7]] == ["default", *["earlier"] * MOST_TRIED, "default"]
    assert [planted(r.config)[0] for r in taken] == sorted(
        (planted(r.config)[0] for r in taken), reverse=True
    )
    assert planted(taken[0].config)[0] == best[0]
    assert {r.config.run_key() for r in taken} <= {r.key for r in again}, "trained here"
    blind = new.model_copy(update={"earlier": (), "folder": f"{new.folder}-blind"})
    without = run_search(blind, wide, watcher)
    assert distance(again) < distance(without), "the sampler begins where they were good"
    said = summary(again, "accuracy")
    assert f", of {MOST_TRIED} from earlier studies {planted(taken[0].config)[0]:.3f}" in said
    board = read_study(Path(new.folder)).leaderboard()
    assert sum(len(row.keys) for row in board.rows) == len(again), "nothing of the other study"

    # The other study is not needed any more, and is not tried again.
    for file in Path(old.folder).iterdir():
        if file.is_file():
            file.unlink()
    more = run_search(new.model_copy(update={"trials": 22}), wide, watcher, resume=True)
    assert sum(r.proposer == "earlier" for r in more) == MOST_TRIED
    wider = new.model_copy(update={"trials": 23, "variants": ("softmax", "linear", "hyla")})
    run_search(wider, wide, watcher, resume=True)
    with open_storage(wider) as storage:
        study, number = latest(storage, wider)
        assert study is not None
        assert number == 2
        assert [earlier.study for earlier in known_earlier(study)] == ["old"]


def distance(records: list[RunRecord]) -> float:
    """How far the sampler's first five proposals are from the best width, on average."""
    own = [r for r in records if r.proposer == "sampler"][:5]
    return sum(abs(r.config.model.width - BEST) for r in own) / len(own)


@pytest.mark.long
def test_what_does_not_fit_is_said(
    wide: Registry, make_plan: PlanMaker, watcher: Any, play: Callable[..., None]
) -> None:
    play(planted)
    old = make_plan(trials=12, study="old", sampler="random", control=0)
    old = old.model_copy(update={"folder": str(Path(old.folder) / "old")})
    run_search(old, wide, watcher)
    wide.spaces["tiny"]["width"] = Range(low=8, high=64, step=8)
    task = wide.tasks["tiny"]
    wide.tasks["tiny"] = task.model_copy(update={"options": {**task.options, "values": 5}})
    plan = make_plan(
        variants=("softmax", "linear"), trials=4, earlier=("old",), cost_limits={"params": "8k"}
    )
    plan = plan.model_copy(update={"folder": str(Path(plan.folder) / "new")})
    watcher.messages.clear()
    records = run_search(plan, wide, watcher)
    text = watcher.messages[0]
    assert text.startswith("from old (another task, tiny): ")
    assert "hyla does not take part" in text
    assert "is not offered" in text
    assert sum(r.proposer == "earlier" for r in records) == 1, "a quarter of the trials"
    space = Space(wide, plan)
    assert all(space.cost_before(r.config)["parameters"] <= 8000 for r in records)


def test_a_study_that_cannot_be_read_is_an_error(
    registry: Registry, make_plan: PlanMaker, watcher: Any, tmp_path: Path
) -> None:
    plan = make_plan(earlier=("odl",))
    plan = plan.model_copy(update={"folder": str(tmp_path / "runs" / "new")})
    with pytest.raises(UnknownName, match=r"no study .* in "):
        run_search(plan, registry, watcher)
    bad = tmp_path / "runs" / "odl"
    bad.mkdir(parents=True)
    (bad / "records.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match=r"records.jsonl:1: not a run record"):
        run_search(plan, registry, watcher)
    assert not watcher.records


def test_an_order_that_fades(wide: Registry, make_plan: PlanMaker) -> None:
    space = Space(wide, make_plan(variants=("softmax",)))
    trials = tuple(
        EarlierTrial(params={"width": 8 * n, "heads": 2}, hash=f"{n}", place=(n - 1) / 4)
        for n in range(1, 6)
    )
    study = EarlierStudy(study="old", trials=trials)
    shown = EarlierTrials([study], space, [StudyDirection.MAXIMIZE])
    assert [(t.number, t.value) for t in shown.before([])] == [
        (-5, 0.0),
        (-4, 0.25),
        (-3, 0.5),
        (-2, 0.75),
        (-1, 1.0),
    ]
    forms = space.distributions()
    own = [
        optuna.trial.create_trial(
            value=value,
            params={"width": 16, "heads": 2},
            distributions={name: forms[name] for name in ("width", "heads")},
        )
        for value in (0.2, 0.4, 0.8)
    ]
    assert [t.value for t in shown.before(own)] == pytest.approx([0.2, 0.3, 0.4, 0.6, 0.8])
    losses = EarlierTrials([study], space, [StudyDirection.MINIMIZE])
    assert [t.value for t in losses.before(own)] == pytest.approx([0.8, 0.6, 0.4, 0.3, 0.2])
    assert len(shown.before(own * 16)) == MOST_SHOWN - 48
    assert shown.before(own * 17) == []
    both = EarlierTrials([study], space, [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE])
    assert both.before([]) == []


def test_studies_take_turns() -> None:
    def named(study: str, *names: str) -> EarlierStudy:
        trials = tuple(EarlierTrial(params={"x": name}, hash=name, place=0.5) for name in names)
        return EarlierStudy(study=study, trials=trials)

    both = [named("a", "1", "2", "3", "4", "5", "6"), named("b", "1", "7")]
    assert [t.hash for t in first_tried(both, 100)] == ["1", "2", "7", "3", "4"]
    assert [t.hash for t in first_tried(both, 8)] == ["1", "2"]
    assert [t.hash for t in first_tried(both, None)] == ["1", "2", "7", "3", "4"]
    assert [t.hash for t in first_tried(both, 100, [{"x": "1", "y": 0}])] == list("27345")
    assert first_tried([], 100) == []
