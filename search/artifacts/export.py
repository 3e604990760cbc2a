"""From a finished run to a folder that other people's programs can load."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from attenergy.attention.loading import build
from attenergy.attention.saving.format import check_target, save
from attenergy.attention.saving.weights import rebuild
from attenergy.registry import ArgumentError
from attenergy.registry.files import open_regular
from attenergy.search.artifacts.model_card import model_card
from attenergy.search.artifacts.select_run import NoSuchRun
from attenergy.search.artifacts.train_again import to_train_again
from attenergy.search.results.leaderboard import Leaderboard
from attenergy.search.results.study_folder import task_of
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.training.model import check_source, model_arguments
from attenergy.search.training.train import train
from attenergy.tasks import Task

Say = Callable[[str], None]

_AGAIN = (
    "The weights of the recorded run were not kept: these come from training it again from its "
    "configuration. The scores of this run are theirs; the means are of the recorded runs."
)


def export_run(
    record: RunRecord,
    folder: str | Path,
    out: str | Path,
    *,
    force: bool = False,
    say: Say = print,
    board: Leaderboard | None = None,
    text: Path | None = None,
    anyway: bool = False,
) -> Path:
    """Write a run's model to `out`, as `attenergy.load` reads it.

    The weights are those that were evaluated. If they are lost, the run is repeated from its
    configuration, and `say` is told so; on another machine the weights may then differ slightly.

    Args:
        record: a complete run.
        folder: the study's folder, where the weights are.
        out: where to write.
        force: replace an older export.
        say: called with what the user should know.
        board: the study's leaderboard, for the means over seeds in the model card.
        text: what to train on, if the weights are lost and the task reads a text.
        anyway: train again, if the weights are lost, whatever that takes.

    Raises:
        ValueError: the weights are lost, and `to_train_again` refuses the run.
        SavedError: if `out` must not be overwritten.
        NoSuchRun: if the run has no result and cannot be repeated.
    """
    check_target(Path(out), force=force)
    task = task_of(record.config)
    weights = weights_of(record, Path(folder))
    if weights is not None:
        _say_of_changes(record.config, say)
        card = model_card(record, task, Path(out).name, board)
        return _write(record, task, weights, Path(out), card, force)
    config = to_train_again(record.config, text=text, anyway=anyway)
    say(f"run {record.key} has no weights on disk; training it again from its configuration")
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "weights.safetensors"
        again = train(config, purpose=record.purpose, weights=weights)
        if again.status != "complete":
            raise NoSuchRun(f"run {record.key}: {again.status}: {again.reason}")
        card = model_card(again, task, Path(out).name, board, _AGAIN)
        return _write(again, task, weights, Path(out), card, force)


def _say_of_changes(config: RunConfig, say: Say) -> None:
    """Say if the file of a user's model is another than when the weights were trained."""
    try:
        check_source(config)
    except ArgumentError as error:
        say(f"the weights are exported as they were trained, but {error}")


def loading_line(out: Path, plugins: Sequence[str] = ()) -> str:
    """The line of Python that loads an exported model, as it can be pasted.

    It names the part: without, `attenergy.load` gives the layer of one block alone.

    Args:
        out: folder of the export.
        plugins: modules that hold the code of its layer.
    """
    more = f", plugins={list(plugins)!r}" if plugins else ""
    return f"import attenergy; model = attenergy.load({str(out)!r}, part='model'{more})"


def weights_of(record: RunRecord, folder: Path) -> Path | None:
    """Where the weights of a run are; None if they were not kept.

    Raises:
        ValueError: the record names a file outside of the study's folder, or no regular one.
    """
    path = folder / record.weights
    if not record.weights or not path.exists():
        return None
    try:
        open_regular(path, within=folder).close()
    except OSError as error:
        raise ArgumentError(
            f"the weights of run {record.key}: {path}: {error.strerror}", topic="record-file"
        ) from error
    return path


def _write(record: RunRecord, task: Task, weights: Path, out: Path, card: str, force: bool) -> Path:
    arguments = model_arguments(record.config, task)
    model = rebuild(lambda: build(arguments), weights, Path(f"run {record.key}"))
    about = {
        "run": record.key,
        "task": record.config.task,
        "task_spec": record.config.task_spec.model_dump(mode="json", by_alias=True),
        "seed": record.config.seed,
        "split_seed": record.config.split_seed,
        "training": record.config.training.model_dump(mode="json"),
        "metrics": record.metrics,
        "cost": record.cost,
        "versions": record.versions,
    }
    return save(out, model=model, arguments=arguments, about=about, card=card, force=force)
