"""A study whose space has changed goes on in a new generation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import Range, Registry, load_registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.storage.database import latest, open_storage
from attenergy.search.study.run import StudyMismatch, run_search
from tests.search.study.conftest import check_everything_is_there, trials_of

pytestmark = pytest.mark.long  # whole searches or processes

PlanMaker = Callable[..., SearchPlan]


NEW_ENERGY = """
version: 1
energies:
  newcomer:
    title: Log-sum-exp without a field
    formula: 0.5*|xi|^2 - lse(beta * X @ xi)/beta
    parameters:
      beta: {init: 1.0, constraint: positive, search: {low: 0.5, high: 2.0}}
    quadratic: 1.0
"""


def test_a_grown_registry_moves_the_study(
    registry: Registry, make_plan: PlanMaker, watcher: Any, tmp_path: Path
) -> None:
    registry.energies.clear()  # fewer variants, so that the new one is drawn soon
    plan = make_plan(trials=3, train_steps=2, variants=(), sampler="random")
    before = run_search(plan, registry, watcher)
    old = trials_of(plan)

    (tmp_path / "new.yaml").write_text(NEW_ENERGY)
    grown = load_registry(*registry.files[1:], tmp_path / "new.yaml", plugins=False)
    for name in set(grown.energies) - {"newcomer"}:
        del grown.energies[name]
    more = plan.model_copy(update={"trials": 16})
    records = run_search(more, grown, watcher, resume=True)
    check_everything_is_there(more, 16)
    assert records[:3] == before
    assert "newcomer" in {r.config.variant for r in records}
    (told,) = (text for text in watcher.messages if "going on as tiny@2" in text)
    assert "newcomer is new" in told

    new = trials_of(more)
    for number, (was, now) in enumerate(zip(old, new, strict=False)):
        assert now.user_attrs["origin"] == f"tiny:{number}"
        assert (was.params, was.value, was.state) == (now.params, now.value, now.state)
    again = run_search(more, grown, watcher, resume=True)
    assert again == records
    with open_storage(plan) as storage:
        assert latest(storage, plan)[1] == 2


def test_wider_and_narrower_ranges(registry: Registry, make_plan: PlanMaker, watcher: Any) -> None:
    plan = make_plan(trials=3, train_steps=2, sampler="random")
    run_search(plan, registry, watcher)
    registry.spaces["tiny"]["learning_rate"] = Range(low=2.9e-3, high=3.1e-3, log=True)
    registry.spaces["tiny"]["heads"] = Range(choices=(2, 4, 8))
    more = plan.model_copy(update={"trials": 6})
    records = run_search(more, registry, watcher, resume=True)
    check_everything_is_there(more, 6)
    rates = [r.config.training.learning_rate for r in records]
    assert all(2.9e-3 <= rate <= 3.1e-3 for rate in rates[3:])
    assert [t.params["learning_rate"] for t in trials_of(more)[:3]] == rates[:3]


class Stop(Listener):
    """Interrupts after so many runs; 0 for before the first."""

    def __init__(self, runs: int) -> None:
        self.left = runs

    def phase(self, name: str, done: int, total: int) -> None:
        if not self.left:
            raise KeyboardInterrupt

    def finished(self, record: RunRecord) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_waiting_proposal_whose_value_is_no_longer_offered(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    """What is still offered of it is kept, the rest is left to the sampler, in both moves."""
    wishes = ({"learning_rate": 9e-3, "heads": 4}, {"learning_rate": 2e-3, "heads": 4})
    plan = make_plan(
        trials=3, train_steps=2, sampler="random", variants=("softmax",), enqueue=wishes
    )
    with pytest.raises(KeyboardInterrupt):  # the first has ended, the wishes wait
        run_search(plan, registry, Stop(1))
    assert [t.state.name for t in trials_of(plan)] == ["COMPLETE", "WAITING", "WAITING"]
    registry.spaces["tiny"]["learning_rate"] = Range(low=1e-3, high=5e-3, log=True)
    plan = plan.model_copy(update={"enqueue": ()})
    with pytest.raises(KeyboardInterrupt):
        run_search(plan, registry, Stop(0), resume=True)
    moved = trials_of(plan)
    assert [t.user_attrs["enqueued"] for t in moved[1:3]] == [
        {"heads": 4},
        {"learning_rate": 2e-3, "heads": 4},
    ]
    registry.spaces["tiny"]["heads"] = Range(choices=(2, 4, 8))
    records = run_search(plan, registry, watcher, resume=True)
    check_everything_is_there(plan, 3)
    with open_storage(plan) as storage:
        assert latest(storage, plan)[1] == 3
    assert "going on as tiny@3" in watcher.messages[-1]
    first, *wished = trials_of(plan)
    assert first.user_attrs["origin"] == "tiny:0", "the first origin stays"
    assert all(t.params["heads"] == 4 for t in wished[:2])
    assert 2e-3 in {t.params["learning_rate"] for t in wished}
    assert all(r.config.training.learning_rate <= 5e-3 for r in records)


def test_a_choice_that_was_tried_and_is_gone_is_refused(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=1, train_steps=2)
    run_search(plan, registry, watcher)
    tiny = registry.tasks["tiny"]
    model = tiny.model.model_copy(update={"heads": 4})
    registry.tasks["tiny"] = tiny.model_copy(update={"model": model})
    registry.spaces["tiny"]["heads"] = Range(choices=(4, 8))
    with pytest.raises(StudyMismatch, match="task model heads was 2, is 4"):
        run_search(plan, registry, watcher, resume=True)
