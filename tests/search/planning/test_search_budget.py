"""What a whole search may take, as it is written, and what it makes of the other fields."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from pydantic import ValidationError

from attenergy.search.planning.command_line import command
from attenergy.search.planning.option_names import refused_values
from attenergy.search.planning.plan import RECORDED, ComparePlan, SearchPlan
from attenergy.search.planning.search_budget import read_budget, seconds_of, times

SEARCH: dict[str, Any] = {"study": "s", "folder": "f", "task": "t"}
COMPARE: dict[str, Any] = {"name": "c", "folder": "f", "task": "t", "variants": ("a", "b")}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5 hours", 5400), ("40trials", None)],
)
def test_a_budget_is_read(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds
    assert seconds_of(None) is None
    assert read_budget("40 trials").amount == 40


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("30mn", "did you mean 'm"),
        ("24runs", "must be a budget such as 30m, 2h, 90s or 40trials"),
        ("0m", "0 must be a number above 0"),
        ("1.5trials", "1.5 must be an integer >= 1"),
        ("", "must be a budget such as"),
    ],
)
def test_what_is_no_budget_is_refused(text: str, hint: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SearchPlan(**SEARCH, budget=text)
    line = refused_values(refused.value, "search")
    assert line.startswith("--budget: must be a budget")
    assert hint in line


def test_a_comparison_has_no_trials() -> None:
    with pytest.raises(ValidationError, match="a comparison has no trials: give a time"):
        ComparePlan(**COMPARE, budget="40trials")


@pytest.mark.parametrize(
    ("fields", "trials", "final_budget"),
    [
        ({}, 50, "12seeds"),
        ({"budget": None, "trials": None, "final_budget": None}, 50, "12seeds"),
        ({"budget": "40trials"}, 40, "12seeds"),
        ({"budget": "40trials", "trials": 60}, 40, "12seeds"),
        ({"budget": "40trials", "trials": 20}, 20, "12seeds"),
        ({"budget": "30m"}, None, "rest"),
        ({"budget": "30m", "trials": 20}, 20, "rest"),
        ({"budget": "30m", "final_budget": "24runs"}, None, "24runs"),
    ],
)
def test_what_a_budget_makes_of_trials_and_finals(
    fields: dict[str, Any], trials: int | None, final_budget: str
) -> None:
    plan = SearchPlan(**SEARCH, **fields)
    assert (plan.trials, plan.final_budget) == (trials, final_budget)
    assert plan.budget == ("30m" if fields.get("budget") == "30m" else None)
    written = plan.model_dump_json()
    assert SearchPlan.model_validate_json(written, context={RECORDED: True}) == plan


@pytest.mark.parametrize(
    ("fields", "final_budget"),
    [
        ({"budget": "30m"}, "rest"),
        ({"budget": "30m", "seeds": 8}, "none"),
        ({"budget": "30m", "seeds": 8, "final_budget": "rest"}, "rest"),
        ({"final_budget": None}, "12seeds"),
    ],
)
def test_finals_of_a_comparison(fields: dict[str, Any], final_budget: str) -> None:
    assert ComparePlan(**COMPARE, **fields).final_budget == final_budget


def test_there_is_no_rest_of_nothing() -> None:
    for model, fields in ((SearchPlan, SEARCH), (ComparePlan, COMPARE)):
        with pytest.raises(ValidationError, match="'rest' needs a budget in time"):
            model(**fields, final_budget="rest")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"budget": "30m"}, ""),
        ({"budget": "30m", "trials": 50}, "--trials 50"),
        ({"budget": "30m", "final_budget": "12seeds"}, "--final-budget 12seeds"),
    ],
)
def test_the_command_line_that_does_it_again(fields: dict[str, Any], said: str) -> None:
    line = command(SearchPlan(**SEARCH, **fields))
    words = shlex.join(shlex.split(line)[2:])
    expected = f"--study s --task t --budget 30m {said}".strip()
    assert words == expected


def test_four_times_a_budget() -> None:
    assert [times(text, 4) for text in ("30m", "90s", "10m", "0.1s")] == ["2h", "6m", "40m", "0.4s"]
