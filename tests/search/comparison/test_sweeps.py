"""Sweeps: what a quantity changes, that a point is trained once, and what is printed."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.registry import UnknownName, load_registry
from attenergy.search.cli.app import app
from attenergy.search.cli.parameters.values import sweeps
from attenergy.search.comparison.multi_task import run_multi_task
from attenergy.search.comparison.sweeps import (
    QUANTITIES,
    comparisons_of_sweep,
    comparisons_of_sweeps,
)
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.results.task_table import read_matrix
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.events import Listener

REGISTRY = load_registry()
TINY = {
    **{"valid_instances": 16, "test_instances": 16, "batch_size": 8},
    **{"layers": 1, "width": 8, "heads": 2, "mlp": 0},
}


class Counting(Listener):
    def __init__(self) -> None:
        self.started_runs: Counter[str] = Counter()
        self.steps: dict[str, int] = {}

    def started(self, config: RunConfig) -> None:
        self.started_runs[config.variant] += 1
        self.steps[config.variant] = config.training.steps


def plan(folder: Path, **changes: Any) -> ComparePlan:
    values: dict[str, Any] = {
        "name": "s",
        "folder": str(folder),
        "task": "stacked-recall",
        "task_options": {"vocabulary": 8, "pairs": 2},
        "variants": ("softmax", "lse"),
        "seeds": 1,
        "steps": 2,
        "workers": 0,
        "fix": TINY,
    }
    return ComparePlan.model_validate({**values, **changes})


def points(task: str = "raven-small", /, **sweep: Any) -> list[Any]:
    return comparisons_of_sweeps(REGISTRY, task, sweep, variants=("softmax", "lse"))


def test_a_quantity_goes_where_it_belongs() -> None:
    width, wider = points(width=(32, 64))
    assert (width.name, width.fix, width.point) == ("width-32", {"width": 32}, {"width": 32})
    assert wider.fix == {"width": 64}
    assert points(train_instances=(640,))[0].options == {"train_instances": 640}
    assert points(features=(3,))[0].options == {"features": 3}
    assert points(steps=(50,))[0].steps == 50
    beta = comparisons_of_sweeps(
        REGISTRY, "raven-small", {"lse.beta": (0.5,)}, variants=("softmax", "lse")
    )
    assert (beta[0].name, beta[0].fix) == ("lse.beta-0.5", {"lse.beta": 0.5})
    declared = comparisons_of_sweep(REGISTRY, "raven-small", "features")
    assert [c.name for c in declared] == ["features-1", "features-2", "features-3"]


def test_quantities_of_the_paper() -> None:
    model = REGISTRY.task("raven-small").model
    batch = REGISTRY.task("raven-small").training.batch_size
    assert points(seen_instances=(10 * batch,))[0].steps == 10
    assert points(width_factor=(2,))[0].fix == {
        "width": 2 * model.width,
        "heads": 2 * model.heads,
        "mlp": 2 * model.mlp,
    }
    smaller = points(seen_instances=(960,), batch_size=(96,))[0]
    assert smaller.steps == 10
    assert smaller.name == "seen_instances-960-batch_size-96"


def test_several_quantities_are_crossed() -> None:
    crossed = points(layers=(1, 2), width=(32, 64))
    assert [c.name for c in crossed] == [
        "layers-1-width-32",
        "layers-1-width-64",
        "layers-2-width-32",
        "layers-2-width-64",
    ]
    assert crossed[2].fix == {"layers": 2, "width": 32}


@pytest.mark.parametrize(
    ("task", "sweep", "text"),
    [
        ("raven-small", {"wdth": (1, 2)}, "did you mean 'width'"),
        ("raven-small", {"width": ()}, "--sweep width=1,2,4"),
        ("raven-small", {"width_factor": (1,), "width": (8,)}, "'width_factor' decides width"),
        ("raven-small", {"steps": (1,), "seen_instances": (128,)}, "decides steps as well"),
        ("raven-small", {"width_factor": (0.5,)}, "must be a whole number from 1, got 0.5"),
        ("raven-small", {"width": tuple(range(1, 202))}, "at most 200 points, this one has 201"),
        ("retrieval", {"width": (8,)}, "is not trained, so that width changes nothing"),
        ("raven-small", {"rules": ("a,b",)}, "cannot name a folder"),
    ],
)
def test_what_does_not_fit_is_said(task: str, sweep: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        points(task, **sweep)


def test_what_is_fixed_cannot_be_gone_through() -> None:
    with pytest.raises(ValueError, match="'width' is fixed and gone through"):
        comparisons_of_sweeps(REGISTRY, "raven-small", {"width": (8,)}, fix={"width": 4})
    with pytest.raises(UnknownName, match="no task"):
        comparisons_of_sweeps(REGISTRY, "raven-smal", {"width": (8,)})


def test_values_of_the_command_line() -> None:
    assert sweeps(["width=32,64", "pairs", "train_instances=64k,1M"]) == {
        "width": (32, 64),
        "pairs": (),
        "train_instances": (64_000, 1_000_000),
    }
    assert sweeps(None) == {}


def test_a_variant_that_is_the_same_at_two_points_is_trained_once(tmp_path: Path) -> None:
    listener = Counting()

    @contextmanager
    def listen(_: ComparePlan) -> Iterator[Counting]:
        yield listener

    parts = comparisons_of_sweeps(
        REGISTRY, "stacked-recall", {"lse.beta": (0.5, 2.0)}, variants=("softmax", "lse")
    )
    matrix = run_multi_task(plan(tmp_path / "s"), parts, REGISTRY, listen)
    assert listener.started_runs == {"softmax": 1, "lse": 2}
    assert [set(c.scores) for c in matrix.columns] == [{"softmax", "lse"}] * 2
    assert matrix.columns[0].scores["softmax"] == matrix.columns[1].scores["softmax"]
    assert [c.point for c in matrix.columns] == [{"lse.beta": 0.5}, {"lse.beta": 2.0}]
    more = comparisons_of_sweeps(
        REGISTRY, "stacked-recall", {"lse.beta": (2.0, 0.5, 1.0)}, variants=("softmax", "lse")
    )
    run_multi_task(plan(tmp_path / "s"), more, REGISTRY, listen)
    assert listener.started_runs == {"softmax": 1, "lse": 3}


def test_a_mistake_at_a_late_point_shows_before_anything_is_trained(tmp_path: Path) -> None:
    listener = Counting()

    @contextmanager
    def listen(_: ComparePlan) -> Iterator[Counting]:
        yield listener

    fix = {name: value for name, value in TINY.items() if name != "width"}
    parts = comparisons_of_sweeps(REGISTRY, "stacked-recall", {"width": (8, 9)})
    with pytest.raises(ValueError, match="no variant fits width-9"):
        run_multi_task(plan(tmp_path / "s", fix=fix), parts, REGISTRY, listen)
    assert not listener.started_runs


def test_under_a_budget_all_points_have_the_same_steps(tmp_path: Path) -> None:
    listener = Counting()
    begun: list[tuple[str, int | None]] = []

    @contextmanager
    def listen(here: ComparePlan) -> Iterator[Counting]:
        begun.append((Path(here.folder).name, here.steps))
        yield listener

    fix = {name: value for name, value in TINY.items() if name != "layers"} | {"steps": 3}
    parts = comparisons_of_sweeps(REGISTRY, "stacked-recall", {"layers": (1, 2)})
    timed = plan(tmp_path / "s", fix=fix, steps=None, budget="10m", final_budget="none")
    matrix = run_multi_task(timed, parts, REGISTRY, listen)
    # The costly point first, as it decides; the columns stay in order.
    assert begun == [("layers-2", None), ("layers-1", 3)]
    assert [c.name for c in matrix.columns] == ["layers-1", "layers-2"]
    assert set(listener.steps.values()) == {3}


def test_the_command_line_says_the_finding_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    fixed = [word for k, v in TINY.items() if k != "width" for word in ("--fix", f"{k}={v}")]
    command = ["compare", "--task", "stacked-recall", "--variants", "softmax,lse", "--seeds", "1"]
    command += ["--steps", "2", "--set", "vocabulary=8", "--set", "pairs=2", "--workers", "0"]
    command += [*fixed, "--sweep", "width=8,16", "--plain"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    out = result.output
    finding = out[out.index(" UNDECIDED") if " UNDECIDED" in out else out.index(" NOBODY") :]
    assert "width 8" in finding
    assert "difference to softmax at each value, on valid" in finding
    folder = tmp_path / "runs" / "compare-stacked-recall-width"
    matrix = read_matrix(folder)
    assert matrix.axes == {"width": (8, 16)}
    assert matrix.finding is not None
    assert "## Difference to softmax at each value" in (folder / "matrix.md").read_text()
    assert json.loads((folder / "matrix.json").read_text())["columns"][1]["point"] == {"width": 16}
    refused = CliRunner().invoke(app, [*command, "--sweep", "steps=1,2"])
    assert refused.exit_code == 2
    assert "the sweep says how many steps" in refused.output


def test_the_commands_of_the_page_name_what_there_is() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "sweeps.md"
    text = page.read_text(encoding="utf-8")
    words = shlex.split(text.split("```sh\n")[1].split("```")[0])
    task, swept = words[words.index("--task") + 1], words[words.index("--sweep") + 1]
    variants = words[words.index("--variants") + 1].split(",")
    for sweep in (swept, "layers=1,2", "train_instances=64k", "seen_instances=10M", "lse.beta=1"):
        name = sweep.partition("=")[0]
        assert f"`{name}" in text or name in swept
        assert comparisons_of_sweeps(REGISTRY, task, sweeps([sweep]), variants=variants)
    assert all(f"| `{name}` |" in text for name in QUANTITIES)
