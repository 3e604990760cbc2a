from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.results.next_step import next_step
from attenergy.search.results.verdict import RowVerdict, Verdict

HERE = Path("runs/s")


def said(kind: Any, more: int | None = None, seeds: int = 5) -> Verdict:
    call: Any = "undecided" if kind in ("unlearned", "undecided") else kind
    row = RowVerdict("lse", 1, call, 0.01, None, None, 0.5, seeds, more)
    return Verdict(kind, "", () if kind == "none" else (row,))


def search(**changes: Any) -> SearchPlan:
    return SearchPlan.model_validate({"study": "s", "folder": "runs/s", "task": "t", **changes})


def comparison(**changes: Any) -> ComparePlan:
    fields = {"name": "s", "folder": "runs/s", "task": "t", "variants": ("softmax", "lse")}
    return ComparePlan.model_validate({**fields, **changes})


SEARCH, COMPARE = "attenergy search --study s --task t", "attenergy compare --study s --task t"


@pytest.mark.parametrize(
    ("plan", "verdict", "line"),
    [
        (search(), said("undecided", 4), f"{SEARCH} --final-budget 9seeds --resume"),
        (
            search(final_budget="none", seeds=5),
            said("undecided", 4),
            f"{SEARCH} --seeds 9 --final-budget none --resume",
        ),
        (comparison(seeds=5), said("undecided", 4), f"{COMPARE} --variants softmax,lse --seeds 9"),
        (
            comparison(),
            said("undecided", 8),
            f"{COMPARE} --variants softmax,lse --final-budget 13seeds",
        ),
        (
            comparison(seeds=3, final_budget="21runs"),
            said("undecided", 5, seeds=7),
            f"{COMPARE} --variants softmax,lse --seeds 3 --final-budget 12seeds",
        ),
        (search(finalists=0), said("none"), f"{SEARCH} --resume"),
        (search(), said("undecided"), ""),
        (search(), said("beats"), ""),
        (None, said("undecided", 4), ""),
        (comparison(name="a-part"), said("undecided", 4), ""),
    ],
)
def test_the_command_that_helps(plan: Any, verdict: Verdict, line: str) -> None:
    assert next_step(plan, verdict, (), HERE) == line


def test_where_nobody_learned_a_new_study_trains_longer(make_record: Any) -> None:
    records = [make_record("lse", (0.1,), steps=100)]
    line = next_step(search(final_steps=50), said("unlearned"), records, HERE)
    assert line == "attenergy search --study s-longer --task t --steps 400"
    line = next_step(comparison(), said("unlearned"), records, HERE)
    assert line == "attenergy compare --study s-longer --task t --variants softmax,lse --steps 400"
    timed = search(fairness="seconds", seconds=2.0)
    assert "--seconds 8" in next_step(timed, said("unlearned"), records, HERE)
    untrained = [make_record("lse", (0.1,), steps=0)]
    assert next_step(search(), said("unlearned"), untrained, HERE) == ""


def test_what_is_elsewhere_is_named() -> None:
    line = next_step(
        search(),
        said("undecided", 1),
        (),
        Path("kept/s"),
        plugins=["mine"],
        registry="kept/s/registry.yaml",
    )
    assert line == (
        "attenergy --plugin mine search --study s --task t --final-budget 6seeds "
        "--registry kept/s/registry.yaml --folder kept --resume"
    )
