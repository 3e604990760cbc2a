"""From a finished run to a folder that other people's programs can load."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from attenergy.attention.saved import (
    check_target,
    load_weights,
    save,
)
from attenergy.search import formats
from attenergy.search.config import RunRecord
from attenergy.search.leaderboard import Leaderboard
from attenergy.search.model import model_arguments
from attenergy.search.report import task_of
from attenergy.search.train import train
from attenergy.tasks import Task

Say = Callable[[str], None]


class NoSuchRun(ValueError):
    """The study has no finished run of this name."""


def choose_run(records: Sequence[RunRecord], which: str, board: Leaderboard) -> RunRecord:
    """The run that `which` names: `best`, a row of the leaderboard (`2`), or a run's key.

    `best` is the first row. A row over several seeds gives its run with the best validation score.
    A key may be cut short as long as it names one run.

    Raises:
        NoSuchRun: if it names none, several, or one without a score.
    """
    rank = 1 if which == "best" else int(which) if which.isdecimal() else None
    # Keys are 16 hexadecimal digits, so a short number can only be a row.
    if rank is not None and len(which) < 8:
        row = next((row for row in board.rows if row.rank == rank), None)
        if row is None:
            raise NoSuchRun(f"no row {which!r}; the leaderboard has {len(board.rows)}")
        scores = row.values.get("valid", {})
        runs = [record for record in records if record.key in row.keys]
        return max(runs, key=lambda record: scores.get(record.config.seed, float("-inf")))
    found = [record for record in records if record.key.startswith(which)]
    if len(found) != 1:
        number = "several runs" if found else "no run"
        raise NoSuchRun(f"{number} with key {which!r}; give 'best', a row's number or a run's key")
    if found[0].status != "complete":
        raise NoSuchRun(f"run {found[0].key} has no result: {found[0].status}, {found[0].reason}")
    return found[0]


def export_run(
    record: RunRecord, folder: str | Path, out: str | Path, *, force: bool = False, say: Say = print
) -> Path:
    """Write a run's model to `out`, as `attenergy.load` reads it.

    The weights are those that were evaluated. If they are lost, the run is repeated from its
    configuration, and `say` is told so; on another machine the weights may then differ slightly.

    Args:
        record: a complete run.
        folder: the study's folder, where the weights are.
        out: where to write.
        force: replace an older export.
        say: receives what the user should know.

    Raises:
        SavedError: if `out` must not be overwritten.
        NoSuchRun: if the run has no result and cannot be repeated.
    """
    check_target(Path(out), force=force)
    task = task_of(record.config)
    weights = Path(folder) / record.weights
    if record.weights and weights.is_file():
        return _write(record, task, weights, Path(out), force)
    say(f"run {record.key} has no weights on disk; training it again from its configuration")
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "weights.safetensors"
        again = train(record.config, purpose=record.purpose, weights=weights)
        if again.status != "complete":
            raise NoSuchRun(f"run {record.key}: {again.status}: {again.reason}")
        return _write(again, task, weights, Path(out), force)


def _write(record: RunRecord, task: Task, weights: Path, out: Path, force: bool) -> Path:
    arguments = model_arguments(record.config, task)
    with torch.random.fork_rng(devices=[]):
        model = arguments.build()
    load_weights(model, weights)
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
    card = _card(record, task, out.name)
    return save(out, model=model, arguments=arguments, about=about, card=card, force=force)


def _card(record: RunRecord, task: Task, name: str) -> str:
    config = record.config
    layer = config.layer
    formula = getattr(layer, "formula", None)
    chance = task.chance.get(task.metric)
    rows = [
        [split, f"{values[task.metric]:.4f}", formats.number(chance)]
        for split, values in record.metrics.items()
        if task.metric in values
    ]
    facts = [
        f"- layer: {layer.title}" + (f" ({layer.reference})" if layer.reference else ""),
        *([f"- energy: `{formula}`"] if formula else []),
        f"- settings: `{formats.settings(dict(config.settings))}`",
        f"- size: {config.model.layers} blocks of width {config.model.width}, {config.model.heads} "
        f"heads, {formats.count(record.cost.get('parameters'))} parameters",
        f"- training: {config.training.steps} steps of {config.training.batch_size} instances, "
        f"learning rate {config.training.learning_rate:g}, seed {config.seed}",
        f"- run: `{record.key}`",
        f"- versions: {', '.join(f'{k} {v}' for k, v in record.versions.items())}",
    ]
    loading = (
        "import attenergy\n\n"
        f'layer = attenergy.load("{name}")  # the attention layer of the first block, '
        f"(B, L, {config.model.width}) -> (B, L, {config.model.width})\n"
        f'model = attenergy.load("{name}", part="model")  # the whole transformer'
    )
    return (
        "\n\n".join(
            [
                f"# {config.variant} trained on {config.task}",
                f"```python\n{loading}\n```",
                "\n".join(facts),
                formats.markdown_table(["split", task.metric, "chance"], rows),
                "One run of one seed; its study's leaderboard has the means over seeds.",
            ]
        )
        + "\n"
    )
