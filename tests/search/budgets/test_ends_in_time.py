"""A session ends within a tenth of its time, whatever its runs take."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.budgets.pace import Pace
from attenergy.search.budgets.search import TimedSearch
from attenergy.search.budgets.session import FinalsPlan, TimedSession
from attenergy.search.budgets.sessions import Session, Sessions
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.results.finals import Finals
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from tests.search.budgets.conftest import Clock, PlantedExecutor
from tests.search.conftest import KnownTask

RecordMaker = Callable[..., RunRecord]
TOTAL = 1800.0


def drive(session: TimedSession, executor: PlantedExecutor, configs: list[RunConfig]) -> None:
    """What a driver does: trials while they may begin, then rounds of finals while they fit."""

    def play(next_run: Callable[[], RunConfig | None], purpose: Any) -> list[RunRecord]:
        records, running = list[RunRecord](), 0
        while True:
            while executor.free and (config := next_run()) is not None:
                session.pace.begin(config)
                executor.submit(config, purpose)
                running += 1
            if not running:
                return records
            records.append(executor.wait(Listener()))
            session.pace.end(records[-1])
            running -= 1

    begun = 0

    def next_trial() -> RunConfig | None:
        nonlocal begun
        if not session.begins_trial(begun):
            return None
        begun += 1
        return configs[(begun - 1) % len(configs)].model_copy(update={"seed": begun})

    trials = play(next_trial, "trial")
    final = [config.model_copy(update={"seed": 1000}) for config in configs]
    plan: Any = SimpleNamespace(join=False, seeds=3, finalists=3)
    timed = TimedSearch(session, Path(), Sessions(), Session(budget="30m", seconds=TOTAL))

    def make(finalists: int, seeds: int) -> Finals:
        return Finals(
            final[: 1 + finalists],
            final[0],
            seeds,
            FinalBudget("rest"),
            KnownTask(),  # type: ignore[arg-type]
            slots=executor.slots,
            clock=session.budget.clock,
            allowed=session,
        )

    store: Any = SimpleNamespace(get=lambda key: None)
    race = timed.finals_that_fit(plan, make, store, Listener())
    assert race is not None
    records: list[RunRecord] = []
    waiting = race.first_round

    def next_final() -> RunConfig | None:
        return waiting.pop(0) if waiting and session.begins_run(waiting[0]) else None

    while waiting:
        records += play(next_final, "final")
        waiting = race.next(records).runs
    assert len(trials) >= 2
    assert len(records) >= 4


@pytest.fixture(scope="module")
def cheap_race() -> Iterator[None]:
    """A race that looks ahead no further than to its next round, which takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("attenergy.search.results.race.seeds_to_decide", lambda *_, **__: None)
        yield


@pytest.mark.long
@given(
    typical=st.floats(20, 60),
    spread=st.floats(0.0, 0.3),
    slowest=st.floats(1.0, 4.0),
    slots=st.integers(1, 4),
    busier=st.floats(0.5, 2.0),
    when=st.floats(0.1, 0.9),
    seed=st.integers(0, 2**16),
)
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # a maker of records keeps none
)
def test_it_ends_within_a_tenth(
    make_record: RecordMaker,
    cheap_race: None,
    typical: float,
    spread: float,
    slowest: float,
    slots: int,
    busier: float,
    when: float,
    seed: int,
) -> None:
    """Runs spread, variants differ up to fourfold, and the machine becomes busier or less so."""
    clock, draw = Clock(), random.Random(seed)
    names = ("softmax", "linear", "hyla", "lse", "rbm")
    factors = {name: slowest ** draw.random() for name in names}
    begin = clock.now

    def seconds(config: RunConfig, moment: float) -> float:
        busy = busier if moment - begin > when * TOTAL else 1.0
        noise = draw.lognormvariate(0.0, spread)
        return typical * factors[config.variant] * noise * busy

    executor = PlantedExecutor(clock, seconds, slots, score=lambda config: draw.gauss(0.5, 0.01))
    budget = TimeBudget(TOTAL, clock=clock)
    finals = FinalsPlan(4, 3, FinalBudget("rest"))
    session = TimedSession(budget, Pace(clock), slots, finals)
    configs = [make_record(name).config for name in names]
    short = make_record("softmax").model_copy(
        update={"cost": {"seconds": typical, "train_seconds": 0.9 * typical, "ms_per_step": 9.0}}
    )
    session.pace.calibrate([short], configs[0])
    drive(session, executor, configs)
    assert budget.elapsed <= 1.05 * TOTAL  # its report may take the rest of the tenth
    assert budget.elapsed >= 0.9 * TOTAL - slowest * typical * 2


def test_nothing_begins_that_would_not_end(make_record: RecordMaker, clock: Clock) -> None:
    session = TimedSession(TimeBudget(100.0, clock=clock), Pace(clock), 2)
    config = make_record("softmax").config
    session.pace.calibrate(
        [make_record("softmax").model_copy(update={"cost": {"seconds": 10}})], config
    )
    assert session.begins_run(config)
    clock.now += 91.0
    assert not session.begins_run(config)
    assert not session.fits([config])
    assert not session.begins_trial(5)
    assert session.fits([])
    assert session.affordable([config]) == 0


@pytest.mark.parametrize(
    ("final", "share"),
    [
        (FinalBudget("rest"), 0.40),
        (FinalBudget("runs", 24), 0.12),  # 12 rounds of 10 s, of 1000 s
        (FinalBudget("seeds", 12), 0.24),
        (FinalBudget("runs", 1000), 0.40),
        (FinalBudget("seconds", 100), 0.10),
        (FinalBudget("none"), 0.06),
    ],
)
def test_trials_have_what_finals_cannot_use(
    make_record: RecordMaker, clock: Clock, final: FinalBudget, share: float
) -> None:
    pace = Pace(clock, [make_record("softmax").model_copy(update={"cost": {"seconds": 10.0}})])
    budget = TimeBudget(1000.0, clock=clock)
    session = TimedSession(budget, pace, 2, FinalsPlan(4, 3, final))
    assert budget.runs_end == 950.0
    assert session.trials_end == pytest.approx(950 - share * 1000)
    assert session.expected_trials(0, 0) == int((950 - share * 1000) / 10 * 2 + 1e-9)
    assert session.expected_trials(10, 2) == 12 + int((950 - share * 1000) / 10 * 2 - 1 + 1e-9)
