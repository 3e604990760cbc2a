from __future__ import annotations

import pytest

from attenergy.search.results.solving import count_solved, solved_from


def test_runs_that_solve_or_do_not() -> None:
    scores = [1.0, 0.99, 0.05, 0.06, 1.0]
    least = solved_from(scores, chance=0.05, ceiling=1.0)
    assert least == pytest.approx(0.05 + 0.9 * 0.95)
    assert count_solved(scores, least) == 3


@pytest.mark.parametrize(
    "scores",
    [
        [0.5, 0.48, 0.51, 0.3],  # nobody solved it
        [1.0, 0.99, 0.98],  # everybody
        [1.0, 0.7, 0.05],  # one in the middle
        [1.0, 0.05],  # too few
        [],
    ],
)
def test_other_runs_have_a_mean(scores: list[float]) -> None:
    assert solved_from(scores, chance=0.05, ceiling=1.0) is None


def test_without_chance_and_ceiling_scores_go_from_0_to_1() -> None:
    assert solved_from([0.95, 0.1, 0.2], None, None) == pytest.approx(0.9)
    assert solved_from([0.95, 0.1, 0.2], 1.0, 1.0) is None
