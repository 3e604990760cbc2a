from __future__ import annotations

import sys
from importlib import metadata

import pytest
from typer.testing import CliRunner

import attenergy
from attenergy.attention.saving.weights import SavedError
from attenergy.energies.language.errors import FormulaError
from attenergy.registry import (
    ArgumentError,
    ArgumentTypeError,
    AttenergyError,
    MissingPackage,
    RegistryError,
    UnknownName,
)
from attenergy.search.cli.app import app
from attenergy.search.cli.errors import resume_command
from attenergy.search.cli.show import seeds_too_few
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.report.html.build import NoTemplates
from attenergy.search.results.study_folder import NoRuns

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


BUGS = [
    RuntimeError("the sky fell\non three lines\nof text"),
    ValueError("not a number"),  # of Python or PyTorch: the toolkit's own are an AttenergyError
    TypeError("not a text"),
    KeyError("lse"),
    AssertionError(),
    ImportError("no name 'x'"),
    ZeroDivisionError("division by zero"),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: type(bug).__name__)
def test_a_bug_shows_its_traceback_and_asks_for_a_report(
    bug: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deep_inside(*_: object, **__: object) -> None:
        raise bug

    monkeypatch.setattr("attenergy.search.study.run.run_search", deep_inside)
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/attenergy", *SEARCH])
    result = CliRunner().invoke(app, SEARCH)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert "in deep_inside" in result.stderr
    trace, _, request = result.stderr.partition("This is a mistake inside attenergy")
    assert type(bug).__name__ in trace.splitlines()[-2 - str(bug).count("\n")]
    assert "Please report it" in request
    assert f"  attenergy {' '.join(SEARCH)}\n" in request
    assert f"attenergy {metadata.version('attenergy')}, torch " in request
    assert "records.jsonl" in request
    assert f"to go on:\n  attenergy {' '.join(SEARCH)} --resume" in request


@pytest.mark.parametrize("module", ["sampled", "printed"])
def test_a_bug_in_any_command_is_no_mistake_of_the_user(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("planted")

    place, words = {
        "sampled": ("attenergy.tasks.make_task", ["tasks", "sample", "stacked-recall"]),
        "printed": ("attenergy.search.results.formats.rich_table", ["tasks", "list"]),
    }[module]
    monkeypatch.setattr(place, broken)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert "ValueError: planted" in result.stderr
    assert "Please report it" in result.stderr
    assert "to go on" not in result.stderr


def test_a_mistake_of_the_user_has_a_traceback_only_on_request() -> None:
    wrong = ["energies", "show", "lsee"]
    result = CliRunner().invoke(app, wrong)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    debug = CliRunner().invoke(app, ["--debug", *wrong])
    assert debug.exit_code == 2
    assert debug.stderr.startswith("Traceback")
    assert debug.stderr.endswith(result.stderr)
    assert "report" not in debug.stderr


def test_every_error_of_the_toolkit_is_one_kind_and_stays_of_the_kinds_it_was() -> None:
    for error in (RegistryError, UnknownName, ArgumentError, FormulaError, SavedError, NoRuns):
        assert issubclass(error, AttenergyError)
        assert issubclass(error, ValueError)
    assert attenergy.AttenergyError is AttenergyError
    assert {AttenergyError, TypeError} <= set(ArgumentTypeError.__mro__)
    assert issubclass(MissingPackage, AttenergyError)
    assert issubclass(NoTemplates, ImportError)


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


@pytest.mark.parametrize(("variants", "fewest"), [("softmax,lse", 6), ("a,b,c,d", 8)])
def test_seeds_with_which_nothing_can_be_called_are_told(variants: str, fewest: int) -> None:
    fields = {"name": "s", "folder": "f", "task": "t", "variants": tuple(variants.split(","))}
    plan = ComparePlan.model_validate(fields | {"seeds": fewest - 1})
    assert f"takes {fewest} or more" in seeds_too_few(plan)
    enough = {"seeds": fewest}
    for change in (enough, {"final_budget": "12seeds"}, {"variants": ("softmax",)}):
        assert seeds_too_few(plan.model_copy(update=change)) == ""


def test_values_that_do_not_go_together_are_told_without_the_whole_plan() -> None:
    result = CliRunner().invoke(app, [*SEARCH, "--seconds", "1"])
    assert result.exit_code == 2
    text = "'seconds' needs fairness 'seconds', got 'steps'"
    assert result.stderr == f"{text} (attenergy explain option-value)\n"


@pytest.mark.parametrize(
    "typed",
    [
        ["search", "--task", "latch", "-e", "lse,", "rbm", "-n", "1"],
        ["compare", "--task", "latch", "--variants", "lse,", "rbm"],
    ],
)
def test_a_space_inside_a_list_is_pointed_out(
    typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["attenergy", *typed])
    result = CliRunner().invoke(app, typed)
    assert result.exit_code == 2
    words = result.stderr.replace("│", " ").split()
    assert "a list has no space after its comma: lse,rbm" in " ".join(words)
