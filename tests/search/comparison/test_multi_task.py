"""Comparisons over several tasks and over sweeps, and the table of variants and tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import MissingPackage, UnknownName, load_registry
from attenergy.search.cli.compare import _title
from attenergy.search.comparison.compare import ComparePlan, ComparisonMismatch, configure
from attenergy.search.comparison.multi_task import (
    Comparison,
    comparisons_of_sweep,
    comparisons_of_tasks,
    run_multi_task,
    write_matrix,
)
from attenergy.search.planning.fairness import EqualTraining
from attenergy.search.results.statistics import Interval, mean_interval
from attenergy.search.results.task_table import Column, Matrix, read_matrix, worse_than
from attenergy.search.runs.events import Listener
from attenergy.tasks import needs_data

REGISTRY = load_registry()


class Noting(Listener):
    def __init__(self) -> None:
        self.messages: list[str] = []
        self.started_runs = 0

    def started(self, config: Any) -> None:
        self.started_runs += 1

    def message(self, text: str) -> None:
        self.messages.append(text)


def plan(folder: Path, **changes: Any) -> ComparePlan:
    values: dict[str, Any] = {
        "name": "s",
        "folder": str(folder),
        "task": "stacked-recall",
        "task_options": {"vocabulary": 16},
        "variants": ("softmax", "linear"),
        "seeds": 1,
        "steps": 2,
        "workers": 0,
        "fix": {"valid_instances": 32, "test_instances": 32},
    }
    return ComparePlan.model_validate({**values, **changes})


def column(name: str, **means: float) -> Column:
    scores = {variant: Interval(mean, None, None, 1) for variant, mean in means.items()}
    return Column(name, name, "accuracy", "test", 0.1, 1.0, scores, {})


def test_a_sweep_is_one_comparison_for_each_value_and_resumes(tmp_path: Path) -> None:
    parts = [
        Comparison("pairs-2", "stacked-recall", {"pairs": 2}),
        Comparison("pairs-4", "stacked-recall", {"pairs": 4}),
    ]
    listener = Noting()

    @contextmanager
    def listen(_: ComparePlan) -> Iterator[Noting]:
        yield listener

    matrix = run_multi_task(plan(tmp_path / "s"), parts, REGISTRY, listen)
    assert [c.name for c in matrix.columns] == ["pairs-2", "pairs-4"]
    assert all(set(c.scores) == {"softmax", "linear"} for c in matrix.columns)
    assert matrix.columns[0].chance == pytest.approx(1 / 8)
    assert listener.started_runs == 4
    lengths = [
        json.loads((tmp_path / "s" / name / "compare.json").read_text())["task_options"]["pairs"]
        for name in ("pairs-2", "pairs-4")
    ]
    assert lengths == [2, 4]
    assert "linear" in (tmp_path / "s" / "pairs-2" / "leaderboard.md").read_text()
    again = run_multi_task(plan(tmp_path / "s"), parts, REGISTRY, listen)
    assert listener.started_runs == 4
    assert again == matrix
    write_matrix(matrix, tmp_path / "s")
    assert json.loads((tmp_path / "s" / "matrix.json").read_text())["title"] == "s"
    assert "| pairs-2" in (tmp_path / "s" / "matrix.md").read_text()


def test_a_variant_that_does_not_fit_is_left_out_with_its_reason(tmp_path: Path) -> None:
    listener = Noting()

    @contextmanager
    def listen(_: ComparePlan) -> Iterator[Noting]:
        yield listener

    unfit = plan(
        tmp_path / "s", fix={"lse.steps": 0, "valid_instances": 32}, variants=("softmax", "lse")
    )
    parts = [Comparison("few", "stacked-recall", {"pairs": 2})]
    matrix = run_multi_task(unfit, parts, REGISTRY, listen)
    assert set(matrix.columns[0].scores) == {"softmax"}
    assert "steps" in matrix.columns[0].missing["lse"]
    assert listener.messages == [f"lse is left out of few: {matrix.columns[0].missing['lse']}"]
    assert "lse has no score in few" in matrix.markdown()
    with pytest.raises(ValueError, match="no variant fits few: "):
        run_multi_task(unfit.model_copy(update={"variants": ("lse",)}), parts, REGISTRY, listen)


@pytest.mark.parametrize("file", ["compare.json", "records.jsonl"])
def test_a_folder_of_one_task_is_not_taken_over(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("")
    with pytest.raises(ComparisonMismatch, match="holds a study of one task"):
        run_multi_task(
            plan(tmp_path),
            [Comparison("few", "stacked-recall", {"pairs": 2})],
            REGISTRY,
            print,  # type: ignore[arg-type]
        )


def test_a_sweep_does_not_bear_the_name_of_the_comparison_on_its_task() -> None:
    one = [Comparison("t", "t", {})]
    assert _title(one, None) == "compare-t"
    assert _title(
        [Comparison("a-1", "t", {"a": 1}), Comparison("a-2", "t", {"a": 2})], None, ["a"]
    ) == ("compare-t-a")
    assert _title([*one, Comparison("u", "u", {})], None) == "compare-t-u"
    assert _title(one, "smoke") == "compare-smoke"


def test_ranks_are_averaged_and_ties_share() -> None:
    columns = (column("a", x=0.9, y=0.5, z=0.5), column("b", x=0.1, y=0.3), column("c", y=1, z=0))
    matrix = Matrix("m", ("x", "y", "z"), columns)
    # a: 1, 2.5, 2.5; b: 2, 1, 3 (z has no score); c: 3, 1, 2
    assert matrix.mean_ranks == pytest.approx({"x": 2.0, "y": 4.5 / 3, "z": 7.5 / 3})
    lines = matrix.markdown().splitlines()
    assert [line.split("|")[1].strip() for line in lines[4:9]] == [
        "y",
        "x",
        "z",
        "ceiling",
        "chance",
    ]


def scored(name: str, **scores: list[float]) -> Column:
    values = {variant: dict(enumerate(each)) for variant, each in scores.items()}
    means = {variant: mean_interval(each) for variant, each in scores.items()}
    return Column(name, name, "accuracy", "test", 0.1, 1.0, means, {}, worse_than(values))


def test_variants_within_error_of_each_other_share_a_rank() -> None:
    """x and y differ by luck, y and z by luck, but x and z by more."""
    chain = scored("a", x=[0.9, 0.8, 0.9], y=[0.7, 0.9, 0.8], z=[0.7, 0.6, 0.71])
    assert chain.worse == {"x": ("z",), "y": (), "z": ()}
    assert Matrix("m", ("x", "y", "z"), (chain,)).mean_ranks == {"x": 1.5, "y": 2.0, "z": 2.5}
    once = scored("a", x=[0.1], y=[0.9])
    matrix = Matrix("m", ("x", "y", "z"), (once,))
    assert matrix.mean_ranks == {"x": 1.5, "y": 1.5, "z": 3.0}, "one seed tells nothing apart"
    lines = matrix.markdown().splitlines()
    assert [line.split("|")[1].strip() for line in lines[4:7]] == ["y", "x", "z"]
    assert "Variants share a rank" in matrix.markdown()
    exact = scored("a", x=[0.5, 0.5], y=[0.4, 0.4])
    assert exact.worse == {"x": ("y",), "y": ()}


def test_a_table_of_earlier_days_is_read(tmp_path: Path) -> None:
    matrix = Matrix("m", ("x", "y"), (column("a", x=0.9, y=0.5),))
    write_matrix(matrix, tmp_path)
    data = json.loads((tmp_path / "matrix.json").read_text())
    del data["columns"][0]["worse"]
    (tmp_path / "matrix.json").write_text(json.dumps(data))
    assert read_matrix(tmp_path) == matrix
    assert matrix.mean_ranks == {"x": 1.0, "y": 2.0}, "then, a higher mean was better"


def test_parts_come_from_the_registry() -> None:
    assert [p.name for p in comparisons_of_tasks(REGISTRY, ("raven", "raven"))] == ["raven"]
    values = REGISTRY.task("stacked-recall").sweeps["pairs"]
    parts = comparisons_of_sweep(REGISTRY, "stacked-recall", "pairs")
    assert [dict(p.options) for p in parts] == [{"pairs": value} for value in values]
    with pytest.raises(UnknownName, match=r"sweep of stacked-recall 'pear'.*did you mean 'pairs'"):
        comparisons_of_sweep(REGISTRY, "stacked-recall", "pear")
    with pytest.raises(UnknownName, match="task 'ravn'"):
        comparisons_of_tasks(REGISTRY, ("ravn",))


@pytest.mark.parametrize("fairness", ["steps", "flops", "seconds"])
def test_a_number_of_steps_leaves_untrained_tasks_alone(tmp_path: Path, fairness: Any) -> None:
    untrained = 0
    for name, spec in REGISTRY.tasks.items():
        if needs_data(spec):
            continue
        wanted = plan(tmp_path, task=name, task_options={}, steps=300, fix={}, fairness=fairness)
        try:
            config = configure(wanted, REGISTRY, "softmax")
        except MissingPackage:  # of an extra
            continue
        assert config.training.steps == (300 if spec.training.steps else 0)
        if not spec.training.steps:
            untrained += 1
            seconds = 2.0 if fairness == "seconds" else None
            run = EqualTraining(fairness, config, seconds).fit(config, 100)
            assert run == config
    assert untrained


def test_a_bundle_with_an_untrained_task_runs_with_a_number_of_steps(tmp_path: Path) -> None:
    parts = [Comparison("retrieval", "retrieval", {"patterns": 4})]
    here = plan(tmp_path, task_options={}, steps=300)
    matrix = run_multi_task(here, parts, REGISTRY, lambda _: nullcontext(Listener()))
    assert set(matrix.columns[0].scores) == {"softmax", "linear"}
