"""Train a recorded run for more steps, from where its rate began to fall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attenergy.registry import ArgumentError
from attenergy.search.artifacts.train_again import to_train_again
from attenergy.search.engines.base import Resources, run_all
from attenergy.search.engines.factory import make_executor
from attenergy.search.runs.checkpoints import FOLDER, CheckpointRemoval
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.plugin_needs import read_needs, write_needs
from attenergy.search.runs.records import RunStore
from attenergy.search.training.checkpoint import shared_states
from attenergy.search.training.schedule import tail_start

#: What is added to a study's name to name the folder of its longer runs.
SUFFIX = "-continued"


def train_longer(
    record: RunRecord,
    folder: Path,
    steps: int,
    listener: Listener,
    *,
    workers: int = 1,
    checkpoint_folder: Path | None = None,
    text: Path | None = None,
    anyway: bool = False,
) -> RunRecord:
    r"""Train a recorded configuration for `steps` steps in all, from where it can be gone on with.

    Until the tail of the schedule `constant_tail` begins, at step

    $$ t = N - \max(1, \mathrm{round}(dN)), $$

    nothing depends on the number of steps N, so a longer run goes on from the state that was kept
    there (`Resources.keep_checkpoints`), to the weights that it would have had from the first step
    on, to the bit. So does a run that paused, to its own end, whatever its schedule. Without such a
    state it is trained from the first step. Its record and weights go to a folder beside the
    study's, named as that is with `-continued` added: scores of runs of different lengths do not
    stand on one leaderboard. Its own state before its tail is kept, too.

    Args:
        record: a complete run.
        folder: of its study.
        steps: of training, in all.
        listener: is told what happens.
        workers: 1 trains in a worker process, 0 in this one.
        checkpoint_folder: where states were kept; `checkpoints` in the study's folder if None.
        text: what to train on, if the task reads a text.
        anyway: train, whatever that takes.

    Returns:
        The record of the longer run; that of an earlier call, if there is one.

    Raises:
        ValueError: the run has no tail, or not fewer steps, or `to_train_again` refuses it.
    """
    old = record.config
    to_its_end = old.pause is not None and steps == old.training.steps
    if not to_its_end and (old.seconds is not None or tail_start(old.training) is None):
        what = "for seconds" if old.seconds is not None else "with the schedule 'cosine'"
        raise ArgumentError(
            f"run {record.key} was trained {what}, where every step depends on how long the run "
            "is; longer runs go on from those of a search with --fix schedule=constant_tail and "
            "--keep-checkpoints",
            topic="replay",
        )
    if steps <= old.training.steps and not to_its_end:
        paused = "" if old.pause is None else f", of which it made {old.pause}"
        least = "more" if old.pause is None else "as many or more"
        raise ArgumentError(
            f"run {record.key} has {old.training.steps} training steps{paused}: to go on it needs "
            f"{least}, got {steps}",
            topic="replay",
        )
    config = to_train_again(old.with_steps(steps), text=text, anyway=anyway)
    folder = folder.resolve()
    first = folder.with_name(folder.name.removesuffix(SUFFIX))  # of two, where the states are
    target = first.with_name(f"{first.name}{SUFFIX}")
    resources = Resources(
        workers=workers,
        checkpoint_folder=str(checkpoint_folder or first / FOLDER),
        keep_checkpoints=True,
    )
    checkpoints = resources.checkpoints(first)
    store = RunStore(target)
    if (known := store.get(config.run_key())) is not None:
        return known
    write_needs(target, read_needs(folder))
    shared = [
        (each, step) for each in shared_states(config) for step, _ in checkpoints.stems(each.stem)
    ]
    if not any(step <= each.last for each, step in shared):
        listener.message(
            f"no state of run {record.key} was kept (--keep-checkpoints): it is trained from the "
            "first step, to the same end"
        )
    listener.phase("continued", 0, 1)
    removal = CheckpointRemoval(listener, checkpoints)
    with make_executor(resources, target) as executor:
        run_all([config], "trial", executor, store, removal)
    return store.all()[-1]


def compared(before: RunRecord, after: RunRecord, metric: str) -> Iterator[str]:
    """What came of a longer run, beside the one that it went on from, a line each."""
    begin = f" from step {after.continued[0]}" if after.continued else ""
    outcome = f"{after.status} {after.reason}".strip()
    yield f"run {before.key} goes on{begin} as run {after.key}: {outcome}"
    for split, values in after.metrics.items():
        old, new = before.metrics.get(split, {}).get(metric), values.get(metric)
        if old is not None and new is not None:
            steps = f"{before.config.last_step} -> {after.config.last_step} steps"
            yield f"{split} {metric}: {old:.4f} -> {new:.4f} ({steps})"
