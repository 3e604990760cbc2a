"""The front of a study, from records of known scores and costs."""

from __future__ import annotations

from attenergy.search.results.leaderboard import leaderboard


def test_costs_that_are_shown_alike_are_alike(make_record, known_task) -> None:
    """A worse score for two parameters of a hundred thousand less is no compromise."""
    costs = {
        "softmax": ((0.6,) * 3, 100_002),
        "lse": ((0.3,) * 3, 100_000),
        "hyla": ((0.2,) * 3, 50_000),
    }
    records = [
        record.model_copy(update={"cost": {**record.cost, "parameters": cost}})
        for record, cost in (
            (make_record(variant, scores), cost) for variant, (scores, cost) in costs.items()
        )
    ]
    board = leaderboard(records, known_task, cost_limits={"parameters": 1e6})
    assert [point.variant for point in board.front] == ["softmax", "hyla"]
