"""A recorded run goes on for more steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.registry import Registry
from attenergy.search.artifacts.train_longer import compared, train_longer
from attenergy.search.cli.app import app
from attenergy.search.comparison.compare import run_compare
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.training.train import train


@pytest.fixture
def folder(registry: Registry, tmp_path: Path) -> Path:
    """A comparison whose runs can go on."""
    plan = ComparePlan(
        name="tiny",
        folder=str(tmp_path / "tiny"),
        task="tiny",
        variants=("softmax", "linear"),
        seeds=1,
        workers=0,
        keep_checkpoints=True,
        fix={"schedule": "constant_tail"},
    )
    run_compare(plan, registry, Listener())
    return Path(plan.folder)


def test_a_run_goes_on_to_what_it_would_have_been(folder: Path, watcher: Any) -> None:
    record = read_study(folder).records[0]
    longer = train_longer(record, folder, 30, watcher, workers=0)
    assert longer.config.training.steps == 30
    assert longer.continued == (10,)
    assert longer.metrics == train(longer.config).metrics
    assert watcher.messages == [f"run {longer.key} goes on from step 10"]
    study = read_study(folder.with_name("tiny-continued"))
    assert study.records == [longer]
    assert (study.folder / longer.weights).exists()
    assert study.leaderboard().rows[0].variant == "softmax"
    assert len(list((folder / "checkpoints").iterdir())) == 3, "its own state is kept as well"
    lines = list(compared(record, longer, "accuracy"))
    assert lines[0] == f"run {record.key} goes on from step 10 as run {longer.key}: complete"
    assert lines[1].startswith("valid accuracy: ")
    assert lines[1].endswith("(12 -> 30 steps)")

    even_longer = train_longer(longer, study.folder, 40, watcher, workers=0)
    assert even_longer.continued == (10, 24)
    assert train_longer(record, folder, 30, watcher, workers=0) == longer, "it is known"


def test_without_a_state_it_begins_anew_and_says_so(folder: Path, watcher: Any) -> None:
    record = read_study(folder).records[0]
    elsewhere = folder.with_name("elsewhere")
    longer = train_longer(record, folder, 30, watcher, workers=0, checkpoint_folder=elsewhere)
    assert longer.continued == ()
    assert longer.metrics == train(longer.config).metrics
    assert "it is trained from the first step, to the same end" in watcher.messages[0]
    assert len(list(elsewhere.iterdir())) == 1


def test_what_cannot_go_on_is_refused(
    folder: Path, make_record: Callable[..., RunRecord], watcher: Any
) -> None:
    record = read_study(folder).records[0]
    with pytest.raises(ValueError, match="has 12 training steps: to go on it needs more, got 12"):
        train_longer(record, folder, 12, watcher)
    with pytest.raises(ValueError, match=r"schedule 'cosine'.*--fix schedule=constant_tail"):
        train_longer(make_record("softmax"), folder, 1000, watcher)
    config = record.config.model_copy(update={"seconds": 3.0})
    with pytest.raises(ValueError, match="was trained for seconds"):
        train_longer(record.model_copy(update={"config": config}), folder, 1000, watcher)


def test_the_command(folder: Path) -> None:
    words = ["continue", "tiny", "linear", "--steps", "20", "--workers", "0", "--plain"]
    result = CliRunner().invoke(app, [*words, "--folder", str(folder.parent)])
    assert result.exit_code == 0, result.output
    assert "goes on from step 10 as run" in result.output
    assert "(12 -> 20 steps)" in result.output
    (record,) = read_study(folder.with_name("tiny-continued")).records
    assert record.config.variant == "linear"
