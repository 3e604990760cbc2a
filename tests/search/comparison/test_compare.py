from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from attenergy.registry import ArgumentError, UnknownName, load_registry
from attenergy.search.comparison.compare import (
    ComparePlan,
    ComparisonMismatch,
    configure,
    run_compare,
)
from attenergy.search.results.leaderboard import leaderboard
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.events import Listener

REGISTRY = load_registry()


class Noting(Listener):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int, int]] = []
        self.started_runs: list[str] = []
        self.messages: list[str] = []

    def phase(self, name: str, done: int, total: int) -> None:
        self.phases.append((name, done, total))

    def started(self, config: Any) -> None:
        self.started_runs.append(config.run_key())

    def message(self, text: str) -> None:
        self.messages.append(text)


def plan(folder: Path, **changes: Any) -> ComparePlan:
    values: dict[str, Any] = {
        "name": "c",
        "folder": str(folder),
        "task": "stacked-recall",
        "task_options": {"vocabulary": 16, "pairs": 4},
        "variants": ("softmax", "lse"),
        "seeds": 2,
        "steps": 3,
        "workers": 0,
        "fix": {"valid_instances": 64, "test_instances": 64},
    }
    return ComparePlan.model_validate({**values, **changes})


def test_every_variant_gets_the_same_seeds_and_steps(tmp_path: Path) -> None:
    listener = Noting()
    records = run_compare(plan(tmp_path / "c"), REGISTRY, listener)
    assert {(r.config.variant, r.config.seed) for r in records} == {
        (variant, seed) for variant in ("softmax", "lse") for seed in (1, 2)
    }
    assert {r.purpose for r in records} == {"compare"}
    assert {r.config.training.steps for r in records} == {3}
    assert listener.phases == [("seeds", 0, 4)]


@pytest.mark.long
def test_the_learning_rate_is_chosen_by_validation_with_another_seed(tmp_path: Path) -> None:
    # A rate of 1e-9 learns nothing in any number of steps; 1e-2 does.
    wanted = plan(tmp_path / "c", learning_rates=(1e-9, 1e-2, 1e-8), steps=60, seeds=1)
    listener = Noting()
    records = run_compare(wanted, REGISTRY, listener)
    sweep = [r for r in records if r.purpose == "trial"]
    finals = [r for r in records if r.purpose == "compare"]
    assert {r.config.seed for r in sweep} == {0}
    assert len(sweep) == 6
    assert {r.config.training.learning_rate for r in finals} == {1e-2}
    assert {r.config.seed for r in finals} == {1}
    # The largest is told wherever it stands in the list.
    edges = [t for t in listener.messages if "0.01, is the largest of the list" in t]
    assert len(edges) == 2


def test_a_second_call_trains_nothing_and_more_seeds_only_those(tmp_path: Path) -> None:
    first = run_compare(plan(tmp_path / "c"), REGISTRY, Listener())
    listener = Noting()
    assert run_compare(plan(tmp_path / "c"), REGISTRY, listener) == first
    assert listener.started_runs == []
    assert listener.phases == [("seeds", 4, 4)]
    more = run_compare(plan(tmp_path / "c", seeds=3), REGISTRY, listener)
    assert len(more) == 6
    assert len(listener.started_runs) == 2


def test_an_interrupted_comparison_goes_on(tmp_path: Path) -> None:
    class Stop(Listener):
        left = 2

        def finished(self, record: Any) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_compare(plan(tmp_path / "c"), REGISTRY, Stop())
    listener = Noting()
    assert len(run_compare(plan(tmp_path / "c"), REGISTRY, listener)) == 4
    assert len(listener.started_runs) == 2


def test_the_first_variant_is_the_reference(tmp_path: Path) -> None:
    records = run_compare(plan(tmp_path / "c", variants=("lse", "softmax")), REGISTRY, Listener())
    study = read_study(tmp_path / "c")
    assert study.baseline == "lse"
    rows = {row.variant: row for row in study.leaderboard().rows}
    assert rows["lse"].baseline
    expected = [
        b.metrics["test"]["accuracy"] - a.metrics["test"]["accuracy"]
        for a, b in zip(
            *[[r for r in records if r.config.variant == v] for v in ("lse", "softmax")],
            strict=True,
        )
    ]
    assert rows["softmax"].differences["iid"].mean == pytest.approx(sum(expected) / 2)
    assert leaderboard(records, study.task, baseline="lse").rows == study.leaderboard().rows


def test_lse_and_softmax_start_as_the_same_layer(tmp_path: Path) -> None:
    # One log-sum-exp step with beta = 1/sqrt(D) is softmax attention, and both are trained on the
    # same stream from the same seed, so after one tiny step their scores agree.
    records = run_compare(plan(tmp_path / "c", steps=1), REGISTRY, Listener())
    by = {(r.config.variant, r.config.seed): r.metrics["test"]["accuracy"] for r in records}
    assert by["lse", 1] == pytest.approx(by["softmax", 1], abs=0.01)


def test_what_is_fixed_of_a_new_variant_changes_nothing_for_the_others(tmp_path: Path) -> None:
    first = plan(tmp_path / "c", seeds=1)
    before = run_compare(first, REGISTRY, Listener())
    more = {**first.fix, "rbm.steps": 2}
    wider = {"variants": ("softmax", "lse", "rbm"), "fix": more}
    records = run_compare(first.model_copy(update=wider), REGISTRY, Listener())
    assert records[: len(before)] == before
    assert len(records) == len(before) + 1
    other = {**wider, "fix": {**more, "lse.steps": 2}}
    with pytest.raises(ComparisonMismatch, match="with fix="):
        run_compare(first.model_copy(update=other), REGISTRY, Listener())


def test_other_runs_in_the_folder_are_refused(tmp_path: Path) -> None:
    run_compare(plan(tmp_path / "c", seeds=1), REGISTRY, Listener())
    with pytest.raises(ComparisonMismatch, match="steps=3, not 4; give this one another name"):
        run_compare(plan(tmp_path / "c", steps=4), REGISTRY, Listener())
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "notes.txt").write_text("precious")
    with pytest.raises(ComparisonMismatch, match="holds something else"):
        run_compare(plan(tmp_path / "d"), REGISTRY, Listener())


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"variants": ("softmax", "lsee")}, UnknownName, r"'lsee' \(did you mean 'lse'\?\)"),
        ({"task": "stackd-recall"}, UnknownName, r"did you mean 'stacked-recall'\?"),
        ({"fix": {"hads": 2}}, UnknownName, r"quantity to fix 'hads' \(did you mean 'heads'\?\)"),
        ({"fix": {"rbm.prior": "spin"}}, UnknownName, "quantity to fix 'rbm.prior'"),
        ({"fix": {"lse.steps": 0}}, ValueError, "steps"),
        ({"fix": {"heads": 5}}, ValueError, "heads"),
        ({"task_options": {"pears": 1}}, ValueError, "pairs"),
        ({"fix": {"learning_rate": -1}}, ArgumentError, "learning_rate"),
        (
            {"cost_limits": {"params": "1k"}},
            ArgumentError,
            r"beyond the limits of cost: softmax \(parameters [\d,]+ > 1,000\); lse \(",
        ),
    ],
)
def test_mistakes_show_before_anything_is_trained(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        run_compare(plan(tmp_path / "c", **changes), REGISTRY, Listener())
    assert not (tmp_path / "c").exists()


def test_settings_go_to_their_own_variant(tmp_path: Path) -> None:
    wanted = plan(tmp_path, variants=("lse", "rbm"), fix={"lse.steps": 3, "heads": 4})
    lse, rbm = (configure(wanted, REGISTRY, name) for name in ("lse", "rbm"))
    assert lse.settings == {"steps": 3}
    assert rbm.settings == {}
    assert lse.model.heads == rbm.model.heads == 4


@pytest.mark.parametrize(
    "changes",
    [
        *({"variants": ()}, {"name": "a/b"}, {"learning_rates": (0,)}),
        *({"seeds": 0}, {"seeds": 10**9}, {"steps": 0}, {"steps": 10**20}),
    ],
)
def test_impossible_plans_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        plan(tmp_path, **changes)


def test_names_given_twice_count_once(tmp_path: Path) -> None:
    assert plan(tmp_path, variants=("lse", "rbm", "lse")).variants == ("lse", "rbm")
