"""Policies: rows, and how they are written."""

from __future__ import annotations

import pytest

from attenergy.registry import ArgumentError, UnknownName
from attenergy.search.bench.policy import POLICIES, SearchPolicy, read_policy


def test_a_name_is_a_row_and_fields_change_it() -> None:
    assert read_policy("default") == POLICIES["default"]
    read = read_policy("continue + sampler=random + steps=1/8 + trials=12 + final_budget=6seeds")
    assert read == SearchPolicy(
        sampler="random", steps=0.125, survivors="continue", trials=12, final_budget="6seeds"
    )
    assert read_policy("default+trials=").trials is None


@pytest.mark.parametrize(
    ("text", "error", "what"),
    [
        ("defalt", UnknownName, "default"),
        ("default+samplr=tpe", UnknownName, "sampler"),
        ("default+sampler=tpo", UnknownName, "tpe"),
        ("default+pruner=asho", UnknownName, "asha"),
        ("default+steps", ArgumentError, "FIELD=VALUE"),
        ("default+steps=2", ArgumentError, "at most 1"),
        ("default+steps=x", ArgumentError, "number"),
        ("default+steps=1/0", ArgumentError, "number"),
        ("default+seeds=1.5", ArgumentError, "whole"),
        ("default+seeds=0", ArgumentError, "at least 1"),
        ("default+survivors=grow", ArgumentError, "restart, continue"),
        ("default+survivors=restart", ArgumentError, "steps=1/4"),
        ("default+final_budget=12", ArgumentError, "12seeds"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        read_policy(text)


def test_the_default_is_what_a_search_does_if_nobody_says_anything() -> None:
    from attenergy.search.planning.plan import SearchPlan

    plan = SearchPlan(study="s", folder="", task="t")
    policy = POLICIES["default"]
    for name in ("sampler", "pruner", "trials", "control", "finalists", "seeds", "final_budget"):
        assert getattr(policy, name) == getattr(plan, name), name
