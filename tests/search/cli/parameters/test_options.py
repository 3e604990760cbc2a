"""The options of the command line as a whole: one meaning for each, and groups in the help."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from attenergy.search.cli.app import app


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result


def commands() -> dict[str, Any]:
    group = typer.main.get_command(app)
    return {
        **group.commands,
        **{f"energies {n}": c for n, c in group.commands["energies"].commands.items()},
    }


def test_a_short_option_means_one_thing_in_all_commands() -> None:
    meanings: dict[str, set[str]] = {}
    for command in commands().values():
        for parameter in command.params:
            long = {option for option in parameter.opts if option.startswith("--")}
            for short in {option for option in parameter.opts if option.startswith("-")} - long:
                meanings.setdefault(short, long)
                meanings[short] &= long
    assert {"-n", "-e", "-s", "-t"} <= set(meanings)
    assert all(meanings.values()), meanings
    assert "--trials" in meanings["-n"]


def test_options_of_search_and_compare_stand_in_groups() -> None:
    for name in ("search", "compare"):
        panels = {
            p.name: p.rich_help_panel
            for p in commands()[name].params
            if p.param_type_name == "option"
        }
        assert len(set(panels.values())) > 4
        assert None not in panels.values()


def test_what_a_search_printed_is_printed_again(finished_study: Path) -> None:
    folder = str(finished_study.parent)
    text = run("report", "tiny", "--folder", folder, "--format", "table").stdout
    assert "finalists, 2 seeds each" in text
    assert "how to read this: --explain" in text
    explained = run("report", "tiny", "--folder", folder, "-f", "table", "--explain").stdout
    assert "Unit of fairness" in explained
    assert (
        "printed"
        in run("report", "tiny", "--folder", folder, "-f", "table", "-o", "x", code=2).stderr
    )


ENERGIES = """
version: 1
energies:
  good: {title: Good, formula: "0.5*|xi|^2 - lse(X @ xi)", quadratic: 1.0}
  bad: {title: Bad, formula: "0.5*|xi|^2 - lse(X @ xi)", quadratic: 0.1}
"""


@pytest.mark.long
def test_a_check_shows_how_far_it_is_and_ends_with_a_summary(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(ENERGIES)
    good = run("energies", "check", f"{tmp_path / 'my.yaml'}:good")
    assert "checking good: " in good.stderr
    assert re.fullmatch(
        r"all \d+ laws hold for good(; \d+ do(es)? not apply)?", good.stdout.splitlines()[-1]
    )
    far = run("energies", "check", "0.1*|xi|^2 - sum_n((X @ xi)^4)")
    assert re.search(r"; 1 warning: the energy falls without bound$", far.stdout.rstrip())
    assert " WARNS " in far.stdout
    both = run("energies", "check", str(tmp_path / "my.yaml"), "-f", "json", code=1)
    assert "checking bad: " in both.stderr
    last = both.stderr.splitlines()[-1]
    assert re.match(r"bad breaks \d+; \d+ of \d+ laws hold", last)
    assert re.search(r" \(attenergy explain law-descent[a-z -]*\)$", last)
    assert {law["energy"] for law in json.loads(both.stdout)} == {"good", "bad"}


def test_tasks_are_listed_by_the_time_they_take() -> None:
    lines = run("tasks", "list").stdout.splitlines()
    titles = [n for n, line in enumerate(lines) if line.startswith("one run: ")]
    assert [lines[n].split(": ")[1].strip() for n in titles] == [
        "within a minute",
        "minutes",
        "hours and days",
    ]
    (small,) = (n for n, line in enumerate(lines) if line.startswith("raven-small "))
    (paper,) = (n for n, line in enumerate(lines) if line.startswith("raven "))
    assert titles[0] < small < titles[1] < titles[2] < paper
    rows = json.loads(run("tasks", "list", "-f", "json").stdout)
    assert set(rows[0]) == {"name", "title", "time", "bundles"}


def test_the_test_split_is_called_iid() -> None:
    text = run("tasks", "show", "stacked-recall-small").stdout
    assert "train, valid, iid" in text
    same = [run("tasks", "sample", "mil", "--split", name).stdout for name in ("iid", "test")]
    assert same[0] == same[1]
