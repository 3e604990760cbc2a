from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from attenergy.search.discovery.plan import DEFAULT_BUDGET, DiscoverPlan
from attenergy.search.planning.search_budget import seconds_of


def plan(**changes: Any) -> DiscoverPlan:
    return DiscoverPlan.model_validate(
        {"study": "d", "folder": "runs/d", "tasks": ("denoising",), **changes}
    )


def test_a_number_of_candidates_needs_no_clock() -> None:
    assert plan(candidates=20).seconds is None
    assert plan(candidates=20, budget="2m").seconds == 120
    assert plan(budget="2h").seconds == 7200
    assert plan().seconds == seconds_of(DEFAULT_BUDGET)


def test_shares_of_evolution_and_control() -> None:
    assert plan(control="1/4").shares == {"evolved": 0.75, "random": 0.25}
    assert plan(control=0).shares == {"evolved": 1, "random": 0}


def test_names_count_once_and_no_seeds_are_not_all_seeds() -> None:
    assert plan(tasks=("a", "b", "a")).tasks == ("a", "b")
    assert plan().seed_energies is None
    assert plan(seed_energies=()).seed_energies == ()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"budget": "40trials"}, "counts no trials"),
        ({"budget": "soon"}, "30m"),
        ({"tasks": ()}, "at least 1"),
        ({"control": 1}, "less than 1"),
        ({"candidates": 0}, "greater than or equal to 1"),
        ({"held_out": ("denoising",)}, "cannot be held out"),
        ({"study": "../elsewhere"}, "letters, digits"),
    ],
)
def test_what_a_plan_refuses(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        plan(**changes)
