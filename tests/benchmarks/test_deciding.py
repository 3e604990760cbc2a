"""A small share of the races on real scores: few wrong calls, and what differs is found."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def deciding() -> Any:
    sys.path.insert(0, str(FOLDER))
    try:
        import deciding
    finally:
        sys.path.remove(str(FOLDER))
    return deciding


def test_pools_are_real_and_say_where_they_come_from(deciding: Any) -> None:
    pools = deciding.read_pools()
    assert len({pool.task for pool in pools}) >= 2
    assert sum(len(pool.scores) >= 60 for pool in pools) >= 3
    for pool in pools:
        assert pool.command.startswith("attenergy compare --task")
        assert pool.machine
        assert all(0 <= score <= 1 for score in pool.values)


@pytest.mark.long
def test_races_among_equals_call_few(deciding: Any) -> None:
    rows = [deciding.nulls(pool, 10, 3) for pool in deciding.read_pools()[:3]]
    assert sum(row["wrong"] for row in rows) <= 5, "5 % of 30 and three standard deviations"
    assert all(12 <= row["median_runs"] <= 48 for row in rows), "no race overruns its budget"


def test_a_wide_gap_is_called_early_and_a_narrow_one_late(deciding: Any) -> None:
    pool = deciding.read_pools()[0]
    wide, narrow = (deciding.power(pool, gap, 1.0, 8, 1) for gap in (0.2, 0.01))
    assert wide["power"] == 1.0
    assert wide["median_seeds"] < narrow["median_seeds"]
    assert wide["power"] > narrow["power"]


def test_the_interval_of_a_share(deciding: Any) -> None:
    """Wilson's interval of 5 in 100, from the literature (.0215, .1118)."""
    assert deciding.wilson(5, 100) == pytest.approx((0.0215, 0.1118), abs=1e-4)
    assert deciding.wilson(0, 10)[0] == 0.0
