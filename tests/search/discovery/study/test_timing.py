from __future__ import annotations

from attenergy.registry import load_registry
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.discovery.formulas import Candidate
from attenergy.search.discovery.ladder.rungs import Ladder
from attenergy.search.discovery.study.timing import EvolutionTime
from attenergy.search.runs.config import RunRecord

LADDER = Ladder.of(["raven-small"], load_registry(plugins=False))
SOFTMAX = Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")


def record(rung: int, seconds: float) -> RunRecord:
    config = LADDER.rungs[rung].config(SOFTMAX, {}, 0)
    return RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status="complete",
        cost={"seconds": seconds},
    )


def test_a_run_begins_if_those_of_its_rung_ended_in_the_time_that_is_left() -> None:
    now = [0.0]
    budget = TimeBudget(1000.0, begin=0.0, clock=lambda: now[0])
    time = EvolutionTime(budget, 0.5, LADDER, [record(0, 1.0), record(2, 100.0)])
    assert time.end == 0.5 * budget.runs_end
    now[0] = time.end - 50
    assert [time.fits(rung) for rung in LADDER.rungs] == [True, True, False]
    time.learn(record(1, 60.0))
    assert [time.fits(rung) for rung in LADDER.rungs] == [True, False, False]
    now[0] = time.end
    assert not any(map(time.fits, LADDER.rungs))


def test_as_many_candidates_are_expected_as_the_pace_gives() -> None:
    now = [0.0]
    budget = TimeBudget(1000.0, begin=0.0, clock=lambda: now[0])
    time = EvolutionTime(budget, 0.5, LADDER)
    assert time.end is not None
    assert time.expected(0) is None
    now[0] = time.end / 4
    assert time.expected(10) == 30


def test_without_a_clock_everything_fits() -> None:
    time = EvolutionTime(None, 0.5, LADDER, [record(2, 1e9)])
    assert all(map(time.fits, LADDER.rungs))
    assert (time.end, time.left, time.expected(5)) == (None, None, None)
