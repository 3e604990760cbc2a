"""A search written down in YAML, completed and overruled on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from attenergy.registry import ArgumentError, RegistryError
from attenergy.search.cli.app import app
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.search_file import complete_plan, read_search_file

TEXT = """
task: tiny
variants: [softmax, linear]
trials: 7
pruner: asha
objectives: [accuracy, flops]
fix: {heads: 2, learning_rate: 3e-3}
enqueue:
  - {variant: linear}
registry: [tiny.yaml]
"""
DEFAULTS = {
    name: field.get_default(call_default_factory=True)
    for name, field in SearchPlan.model_fields.items()
}
GIVEN = {**DEFAULTS, "study": None, "task": None, "folder": "runs"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "search.yaml"
    path.write_text(TEXT)
    return path


def test_a_file_becomes_a_plan(path: Path) -> None:
    file = read_search_file(path)
    assert file.registry == (path.parent / "tiny.yaml",)
    plan = complete_plan(file, GIVEN, set())
    assert (plan.study, plan.folder, plan.task, plan.trials) == ("tiny", "runs/tiny", "tiny", 7)
    assert plan.objectives == ("accuracy", "flops")
    assert plan.enqueue == ({"variant": "linear"},)
    assert plan.fix == {"heads": 2, "learning_rate": 0.003}


def test_what_is_typed_wins(path: Path) -> None:
    file = read_search_file(path)
    typed = {**GIVEN, "trials": 9, "fix": {"heads": 4}, "pruner": "none"}
    plan = complete_plan(file, typed, {"trials", "fix"})
    assert (plan.trials, plan.pruner) == (9, "asha")
    assert plan.fix == {"heads": 4, "learning_rate": 0.003}
    with pytest.raises(ValueError, match="a search needs a task"):
        complete_plan(None, GIVEN, set())


def test_every_mistake_is_told_with_its_place(path: Path) -> None:
    path.write_text("task: tiny\ntrails: 5\npruner: medain\nworkers: -1\nregistry: tiny.yaml\n")
    with pytest.raises(RegistryError) as caught:
        read_search_file(path)
    assert str(caught.value).splitlines() == [
        f"{path}:2:1: trails: unknown key 'trails' (did you mean 'trials'?)",
        f"{path}:3:9: pruner: no pruner 'medain' (did you mean 'median'?); "
        "known: none, median, asha (got 'medain')",
        f"{path}:4:10: workers: must be at least 0 (got -1)",
        f"{path}:5:11: registry: must be a list of files",
    ]
    assert "registry-entry" not in caught.value.topics  # it is no registry
    assert "option-value" in caught.value.topics


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{path}:1:1: the file is empty; a search file begins with 'task: NAME'"),
        ("- a\n", "{path}:1:1: a search file must be a mapping of keys to values, got a list"),
        ("#" * 500_001, "{path}:1:1: larger than 500000 bytes, the limit for a search file"),
    ],
)
def test_a_file_without_keys_is_called_a_search_file(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(RegistryError) as caught:
        read_search_file(path)
    assert str(caught.value) == message.format(path=path)


def test_the_command_line_reads_it(
    path: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[SearchPlan] = []

    def keep(plan: SearchPlan, *_: object, **__: object) -> None:
        plans.append(plan)
        raise ArgumentError("far enough")

    assert tiny_file.parent == path.parent
    monkeypatch.chdir(path.parent)
    monkeypatch.setattr("attenergy.search.study.run.run_search", keep)
    words = ["search", str(path), "-n", "3", "-e", "hyla", "--set", "features=2", "-w", "0"]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, result.stderr) == (2, "far enough\n")
    (plan,) = plans
    assert (plan.trials, plan.variants, plan.workers) == (3, ("hyla",), 0)
    assert (plan.pruner, plan.task_options) == ("asha", {"features": 2})
    missing = CliRunner().invoke(app, ["search", "none.yaml"])
    assert missing.exit_code == 2
    assert "none.yaml:1:1: cannot be read: no such file" in missing.stderr


def test_what_a_run_may_take_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text("task: tiny\ntrial_seconds: 30\ntrial_memory: 2G\nheartbeat: 5\n")
    fields = read_search_file(path).fields
    plan = SearchPlan.model_validate({"study": "s", "folder": "f", **fields})
    assert (plan.trial_seconds, plan.trial_memory, plan.limits.silence) == (30.0, 2**31, 30.0)
    path.write_text("task: tiny\ntrial_memory: much\n")
    with pytest.raises(RegistryError, match=r":2:\d+: trial_memory: .*such as 4G or 512M"):
        read_search_file(path)
