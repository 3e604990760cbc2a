"""Names that become folders, and the words in which options and keys are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from attenergy.registry import RegistryError, load_registry
from attenergy.search.cli.app import app
from attenergy.search.comparison.compare import ComparePlan
from attenergy.search.comparison.multi_task import comparisons_of_sweep
from attenergy.search.planning.option_names import for_key, for_option, option_of
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.search_file import read_search_file
from attenergy.search.runs.names import as_path_part, path_part

BAD = [
    *["", ".", "..", "...", "/", "/tmp", "a/b", "../a", "a/..", "a\\b", "..\\a", "C:", "a:b"],
    *["a\0b", "a\nb", "a\x1b[31m", "a\u202eb", "a b", " ", "~", "$HOME", "*", "-a", "--force"],
    *["a" * 201, "\u00e9" * 101, "a\ud800"],
]
GOOD = ["a", "A-1.2_b", ".hidden", "stacked-recall", "\u00e9t\u00e9", "a" * 200, "1", "_"]


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_name_that_leads_elsewhere_is_refused_and_nothing_is_made(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValidationError, match="study"):
        SearchPlan(study=name, folder="runs", task="t")
    with pytest.raises(ValidationError, match="name"):
        ComparePlan(name=name, folder="runs", task="t", variants=("lse",))
    words = [f"--study={name}", "--task", "stacked-recall", "--folder", "runs"]
    for command in (["search", "--energies", "lse"], ["compare", "--variants", "lse"]):
        result = CliRunner().invoke(app, [*command, *words])
        assert result.exit_code == 2
        assert result.stderr.startswith("--study: ")
        assert len(result.stderr) < 250
    assert list(tmp_path.iterdir()) == []
    assert path_part(as_path_part(name)) == as_path_part(name)


@pytest.mark.parametrize("name", GOOD, ids=ascii)
def test_other_names_are_taken(name: str) -> None:
    assert path_part(name) == name
    assert SearchPlan(study=name, folder="runs", task="t").study == name


def test_the_values_of_a_sweep_name_folders(tmp_path: Path) -> None:
    entry = (
        "version: 1\ntasks:\n  mine: {title: T, class: StackedRecall, model: {}, "
        "training: {steps: 1}, sweeps: {kind: [a, 'b/../../c']}}\n"
    )
    (tmp_path / "my.yaml").write_text(entry)
    registry = load_registry(tmp_path / "my.yaml")
    with pytest.raises(ValueError, match="the sweep kind of mine cannot name a folder"):
        comparisons_of_sweep(registry, "mine", "kind")
    for name, spec in load_registry(plugins=False).tasks.items():
        for option in spec.sweeps:
            assert comparisons_of_sweep(registry, name, option)


def options_of(command: str) -> set[str]:
    """Every option of a command, as its help names them."""
    import typer.main

    group = typer.main.get_command(app)
    parameters = group.commands[command].params  # type: ignore[attr-defined]
    return {option for p in parameters for option in p.opts if option.startswith("--")}


def test_every_option_is_known_by_its_key_in_a_search_file(tmp_path: Path) -> None:
    known = [*SearchPlan.model_fields, "registry"]
    path = tmp_path / "s.yaml"
    for option in sorted(options_of("search")):
        name = option.lstrip("-")
        if name in known or name == "help":
            continue
        path.write_text(f"task: stacked-recall\n{name}: 1\n")
        with pytest.raises(RegistryError) as caught:
            read_search_file(path)
        text = str(caught.value)
        field = next((f for f in known if option_of(f, "search") == option), None)
        hint = f"did you mean {field!r}?" if field else f"command line only: --{name}"
        assert f"unknown key {name!r} (" in text
        assert hint in text, text
    assert for_key("no-such-thing", ["task"]) == "known: task"


@pytest.mark.parametrize("command", ["search", "compare"])
def test_every_key_is_known_by_its_option(command: str) -> None:
    options = options_of(command)
    fields = SearchPlan.model_fields if command == "search" else ComparePlan.model_fields
    for field in fields:
        option = option_of(field, command)
        if option in options:
            assert option in for_option(f"--{field}", options) or field == option.lstrip("-")
        else:
            assert field == "enqueue"
    for other in ("variants", "energies", "train_steps", "steps", "name", "task_options"):
        assert for_option(f"--{other}", options)
    assert for_option("--nonsense", options) == []


def test_the_command_line_names_the_option_that_was_meant() -> None:
    for words, option in (
        (["search", "--train-steps", "3"], "--steps"),
        (["compare", "--name", "x"], "--study"),
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 2
        assert f"(Possible options: {option})" in result.stderr
