"""How much a race may take, as it is written."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from attenergy.registry import ArgumentError
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.planning.option_names import refused_values
from attenergy.search.planning.plan import ComparePlan, SearchPlan

BASIC: dict[str, Any] = {"name": "c", "folder": "f", "task": "t", "variants": ("a", "b")}


@pytest.mark.parametrize(
    ("text", "measure", "amount"),
    [
        ("24runs", "runs", 24),
        ("1 run", "runs", 1),
        ("12seeds", "seeds", 12),
        ("90s", "seconds", 90),
        ("10m", "seconds", 600),
        ("1.5 hours", "seconds", 5400),
        ("none", "none", 0),
        (" None ", "none", 0),
    ],
)
def test_a_budget_is_read(text: str, measure: str, amount: float) -> None:
    assert FinalBudget.read(text) == FinalBudget(measure, amount)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("24rnus", "did you mean 'runs'?"),
        ("10minuts", "did you mean 'minutes'?"),
        ("non", "did you mean 'none'?"),
        ("0runs", "0 must be an integer >= 1"),
        ("1.5runs", "1.5 must be an integer >= 1"),
        ("0m", "0 must be a number above 0"),
        ("24", "must be a budget such as 12seeds, 24runs, 10m or none"),
        ("", "must be a budget such as"),
    ],
)
def test_what_is_no_budget_is_refused_with_what_is_nearest(text: str, hint: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        FinalBudget.read(text)
    assert hint in str(refused.value)
    with pytest.raises(ValidationError) as in_a_plan:
        SearchPlan(study="s", folder="f", task="t", final_budget=text)
    line = refused_values(in_a_plan.value, "search")
    assert line.startswith("--final-budget: must be a budget")
    assert line.endswith(f", got {text!r}")


def test_seeds_alone_mean_exactly_so_many() -> None:
    """Plans of comparisons from before there were races say seeds, and no budget."""
    assert ComparePlan(**BASIC).final_budget == "12seeds"
    assert ComparePlan(**BASIC, seeds=3).final_budget == "none"
    assert ComparePlan(**BASIC, seeds=3, final_budget="20runs").final_budget == "20runs"
    plan = ComparePlan(**BASIC)
    assert ComparePlan.model_validate_json(plan.model_dump_json()) == plan
    assert SearchPlan(study="s", folder="f", task="t", seeds=3).final_budget == "12seeds"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tune": {"steps": (1, 2)}}, "'steps' is the same for all and cannot be tuned"),
        (
            {"tune": {"learning_rate": (1e-3,)}, "learning_rates": (1e-2,)},
            "'learning_rate' is in 'tune' and in 'learning_rates'; one of them is enough",
        ),
        ({"tune": {"dropout": (0, 0.1)}, "fix": {"dropout": 0}}, "is in 'tune' and in 'fix'"),
        ({"tune": {"dropout": ()}}, "at least 1 item"),
    ],
)
def test_what_cannot_be_tuned_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ComparePlan(**BASIC, **changes)
