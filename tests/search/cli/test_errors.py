from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from attenergy.registry import load_registry
from attenergy.search.cli.app import app
from attenergy.search.cli.errors import resume_command
from attenergy.search.cli.show import too_few
from attenergy.search.planning.plan import SearchPlan

SEARCH = ["search", "--task", "stacked-recall", "--energies", "lse,softmax"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_interrupt_tells_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("attenergy.search.study.run.run_search", stop)
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/attenergy", *SEARCH])
    result = CliRunner().invoke(app, SEARCH)
    text = result.stderr
    assert result.exit_code == 130
    assert "finished runs are kept; to go on:" in text
    assert f"attenergy {' '.join(SEARCH)} --resume" in text


def test_the_resume_command_is_quoted_and_not_doubled() -> None:
    assert resume_command(["x", "search", "--study", "a b"]) == (
        "attenergy search --study 'a b' --resume"
    )
    assert resume_command(["x", "search", "--resume"]) == "attenergy search --resume"
    assert resume_command(["x", "--debug", "compare", "-t", "raven"]) == (
        "attenergy --debug compare -t raven"
    )
    assert resume_command(["x", "report", "search"]) == ""


def test_a_surprise_is_one_line_and_a_traceback_only_on_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def surprise(*_: object, **__: object) -> None:
        raise RuntimeError("the sky fell\non three lines\nof text")

    monkeypatch.setattr("attenergy.search.study.run.run_search", surprise)
    result = CliRunner().invoke(app, SEARCH)
    assert result.exit_code == 1
    assert result.stderr.startswith("unexpected RuntimeError: the sky fell\n(`attenergy --debug")
    result = CliRunner().invoke(app, ["--debug", *SEARCH])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_a_lost_file_is_named_and_an_error_of_a_value_is_told_without_its_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "weights/1.safetensors")

    monkeypatch.setattr("attenergy.search.study.run.run_search", lost)
    result = CliRunner().invoke(app, SEARCH)
    assert result.exit_code == 2
    assert result.stderr == "weights/1.safetensors: No such file or directory\n"

    def wrong(*_: object, **__: object) -> None:
        SearchPlan(study="s", folder="f", task="t", trials=0, workers=-1)

    monkeypatch.setattr("attenergy.search.study.run.run_search", wrong)
    result = CliRunner().invoke(app, SEARCH)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "--workers: Input should be greater than or equal to 0, got -1",
        "--trials: Input should be greater than or equal to 1, got 0",
    ]


def test_fewer_trials_than_variants_are_told() -> None:
    registry = load_registry()
    plan = SearchPlan(study="s", folder="f", task="t", trials=2, variants=("lse", "rbm"))
    assert too_few(plan, registry).startswith("2 trials are too few for 3 variants: 1 of them")
    for change in ({"trials": 3}, {"baseline": "rbm"}, {"fix": {"variant": "lse"}}):
        assert too_few(plan.model_copy(update=change), registry) == ""
    every = len(registry.energies) + len(registry.mixers)
    assert f"for {every} variants" in too_few(plan.model_copy(update={"variants": ()}), registry)


def test_values_that_do_not_go_together_are_told_without_the_whole_plan() -> None:
    result = CliRunner().invoke(app, [*SEARCH, "--seconds", "1"])
    assert result.exit_code == 2
    assert result.stderr == "'seconds' needs fairness 'seconds', got 'steps'\n"
