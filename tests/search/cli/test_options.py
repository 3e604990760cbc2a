"""The options of the command line as a whole: one meaning for each, and groups in the help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
