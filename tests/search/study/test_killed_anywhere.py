"""A driver may be killed at any place; what it wrote is neither lost nor done twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest

from attenergy.registry import Registry
from attenergy.search.engines.in_process import InProcess
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.records import RunStore
from attenergy.search.study import queue as queue_module
from attenergy.search.study.run import run_search
from tests.search.study.conftest import check_everything_is_there

pytestmark = pytest.mark.long  # whole searches or processes

PlanMaker = Callable[..., SearchPlan]


class Killed(BaseException):
    """Stands for a kill at this very lock."""


def _die(times: dict[str, int], function: Callable[..., Any], *, after: bool) -> Any:
    def killed(*args: Any, **options: Any) -> Any:
        times["left"] -= 1
        if times["left"]:
            return function(*args, **options)
        if after:
            function(*args, **options)
        raise Killed

    return killed


PLACES = [
    (optuna.Study, "ask", True),
    (Space, "suggest", True),
    (optuna.Trial, "set_user_attr", True),
    (InProcess, "wait", False),
    (RunStore, "append", False),
    (RunStore, "append", True),
    (queue_module, "tell_record", True),
]


@pytest.mark.parametrize(
    ("owner", "name", "after", "nth"),
    [  # at every place once, by turns at its first and its fourth call; both when asked
        pytest.param(*place, nth, marks=[] if (n % 2 == 0) == (nth == 1) else [pytest.mark.slow])
        for n, place in enumerate(PLACES)
        for nth in (1, 4)
    ],
)
def test_a_driver_killed_anywhere_goes_on(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    after: bool,
    nth: int,
) -> None:
    plan = make_plan(trials=3, train_steps=2, finalists=1, seeds=2)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, _die({"left": nth}, getattr(owner, name), after=after))
        with suppress(Killed):
            run_search(plan, registry, watcher)
    path = Path(plan.folder) / "records.jsonl"
    before = path.read_bytes() if path.exists() else b""
    records: list[RunRecord] = run_search(plan, registry, watcher, resume=True)
    check_everything_is_there(plan, 3)
    assert path.read_bytes().startswith(before)
    baseline = next(r for r in records if r.config.variant == "softmax")
    assert baseline.config.training.learning_rate == 3e-3
    again = {r.config.seed for r in records if r.config_hash == baseline.config_hash}
    assert again == {0, 1000, 1001}


@pytest.mark.parametrize(
    ("owner", "name"), [(optuna.Study, "add_trials"), (optuna.Study, "set_user_attr")]
)
def test_a_move_that_was_cut_short_is_done_again(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
) -> None:
    plan = make_plan(trials=2, train_steps=2, variants=("linear",))
    before = run_search(plan, registry, watcher)
    more = plan.model_copy(update={"trials": 3, "variants": ("linear", "hyla")})
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, _die({"left": 1}, getattr(owner, name), after=True))
        with pytest.raises(Killed):
            run_search(more, registry, watcher, resume=True)
    records = run_search(more, registry, watcher, resume=True)
    check_everything_is_there(more, 3)
    assert records[:2] == before
