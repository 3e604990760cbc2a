"""When a command began, and where its minutes go."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from attenergy.search.budgets.clock import TimeBudget
from tests.search.budgets.conftest import Clock


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_command_began_when_its_process_did() -> None:
    """The import of the toolkit takes longer than a tenth of a second."""
    code = (
        "import time; begin = time.monotonic(); import attenergy.registry; "
        "from attenergy.search.budgets.clock import process_began; print(begin - process_began())"
    )
    before = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert -0.02 < float(done.stdout) < time.monotonic() - before


def test_the_report_has_a_minute_at_most(clock: Clock) -> None:
    assert TimeBudget(180, clock=clock).runs_end == pytest.approx(171)
    assert TimeBudget(36000, clock=clock).runs_end == 35940
    assert TimeBudget.of("40trials") is None
    assert TimeBudget.of(None) is None


def test_the_report_has_as_much_as_the_start_took(clock: Clock) -> None:
    budget = TimeBudget(600, clock=clock)
    clock.now += 10
    budget.started()
    assert budget.runs_end == 570, "5 % is more"
    clock.now += 35
    budget.started()
    assert budget.runs_end == 555
    assert budget.part(0.5).runs_end == 277.5 - 41.625, "a part has 15 % at most"
    clock.now += 300
    budget.started()
    assert budget.runs_end == 510


def test_parts_of_a_time(clock: Clock) -> None:
    whole = TimeBudget(100, "100s", clock=clock)
    clock.now += 40
    half = whole.part(0.5)
    assert (half.seconds, half.elapsed, half.text) == (30, 0, "0:30 of 100s")
    assert half.part(0.5).text == "0:15 of 100s"
    shared = whole.since(70.0, 90.0)
    assert (shared.left, shared.elapsed) == (20, 70)
