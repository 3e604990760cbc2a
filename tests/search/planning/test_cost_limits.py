"""Limits of cost: how they are written and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from attenergy.registry import RegistryError
from attenergy.search.cli.app import app
from attenergy.search.planning.cost_limits import CostLimits
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.search_file import read_search_file

PlanMaker = Callable[..., SearchPlan]


@pytest.mark.parametrize(
    ("name", "amount", "limits"),
    [
        ("params", "100k", {"parameters": 1e5}),
        ("parameters", 12, {"parameters": 12.0}),
        ("flops", "2.5M", {"forward_flops": 2.5e6}),
        ("flops", "1e9", {"forward_flops": 1e9}),
        ("training_flops", "3T", {"training_flops": 3e12}),
        ("state_bytes", "64K", {"state_bytes": 65536.0}),
        ("state_bytes", "64 KB", {"state_bytes": 65536.0}),
        ("memory_bytes", "1.5GiB", {"memory_bytes": 1.5 * 2**30}),
        ("ms_per_step", "0.04s", {"ms_per_step": 40.0}),
        ("seconds", "2m", {"seconds": 120.0}),
    ],
)
def test_amounts_have_units(
    make_plan: PlanMaker, name: str, amount: Any, limits: dict[str, float]
) -> None:
    plan = make_plan(cost_limits={name: amount})
    assert plan.cost_limits == limits
    assert SearchPlan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"prams": 1}, r"no cost to limit 'prams' \(did you mean 'params'\?\)"),
        ({"params": "ten"}, "must be limited to a number above 0 such as 100k, got 'ten'"),
        ({"params": "1KB"}, r"parameters has no unit 'kb' \(did you mean 'k'\?\)"),
        ({"params": 0}, "must be limited to a number above 0"),
        ({"params": True}, "must be limited to a number above 0"),
        ({"seconds": "1e999"}, "must be limited to a number above 0"),
        ({"params": 1, "parameters": 2}, "parameters is limited twice"),
    ],
)
def test_what_is_no_limit_is_refused(
    make_plan: PlanMaker, limits: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        make_plan(cost_limits=limits)


def test_limits_on_the_command_line_and_in_a_file(tmp_path: Path) -> None:
    options = ["search", "--task", "raven-small", "--limit", "params=1k,flops=2", "--limit"]
    result = CliRunner().invoke(app, [*options, "prams=3"])
    assert result.exit_code == 2
    assert "no cost to limit 'prams' (did you mean 'params'?)" in result.output
    result = CliRunner().invoke(app, [*options, "parameters=3"])
    assert (result.exit_code, "parameters is limited twice" in result.output) == (2, True)
    file = tmp_path / "search.yaml"
    file.write_text(
        "task: raven-small\ncost_limits: {params: 100k, ms_per_step: 40}\nearlier: [a]\n"
    )
    assert read_search_file(file).fields["cost_limits"] == {"params": "100k", "ms_per_step": 40}
    file.write_text("task: raven-small\ncost_limits: {prams: 100k}\nfrom: [a]\nlimit: {}\n")
    with pytest.raises(RegistryError) as error:
        read_search_file(file)
    assert "2:1: cost_limits: no cost to limit 'prams'" in str(error.value)
    assert "did you mean 'earlier'?" in str(error.value)
    assert "did you mean 'cost_limits'?" in str(error.value)


def test_limits_by_hand() -> None:
    limits = CostLimits({"parameters": 1000.0, "ms_per_step": 40.0})
    costs = {"parameters": 1500.0, "ms_per_step": 30.0, "seconds": 9.0}
    assert limits.before == ["parameters"]
    assert limits.beyond(costs) == {"parameters": 1500.0}
    assert limits.constraints(costs) == {"parameters": 0.5, "ms_per_step": -0.25}
    assert limits.constraints({}) == {"parameters": 0.0, "ms_per_step": 0.0}, "not measured"
    assert limits.beyond({"parameters": 1000.0}) == {}
    assert limits.text() == "parameters <= 1,000, ms_per_step <= 40"
    assert limits.why({"parameters": 1500.0}) == "parameters 1,500 > 1,000"
