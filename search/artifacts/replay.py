"""Repeat a recorded run and say whether it gives the same result, bit for bit."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attenergy.registry import ArgumentError
from attenergy.search.artifacts.export import weights_of
from attenergy.search.artifacts.train_again import to_train_again
from attenergy.search.engines.base import Resources
from attenergy.search.engines.factory import make_executor
from attenergy.search.results import formats
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import Listener

_MOST = 12  # differences that are listed
_CLOCK = frozenset({"seconds"})  # in a point of a curve: time, which never repeats


@dataclass(frozen=True)
class Replay:
    """What came of a repeat: differences of the result, and of the circumstances."""

    record: RunRecord
    again: RunRecord
    differences: tuple[str, ...]
    circumstances: tuple[str, ...]
    weights: str  # what there is to say about the trained weights

    @property
    def equal(self) -> bool:
        """Whether nothing of the result differs."""
        return not self.differences

    def lines(self) -> Iterator[str]:
        """What happened, for a reader."""
        config = self.record.config
        yield f"run {self.record.key}: {config.variant} on {config.task}, seed {config.seed}"
        yield self.weights
        if self.equal:
            yield f"equal: {_numbers(self.record)}"
        else:
            yield f"different in {formats.counted(len(self.differences), 'place')}:"
            yield from (f"  {text}" for text in self.differences[:_MOST])
            if len(self.differences) > _MOST:
                yield f"  and {len(self.differences) - _MOST} more"
        if self.circumstances:
            yield "recorded under other circumstances than now:"
            yield from (f"  {text}" for text in self.circumstances)
        elif not self.equal:
            yield "versions and machine are those of the record"


def replay(
    record: RunRecord,
    folder: Path,
    *,
    workers: int = 1,
    text: Path | None = None,
    anyway: bool = False,
) -> Replay:
    """Train a recorded configuration anew and compare metrics, curve and weights with the record.

    Weights are compared by the SHA-256 of their files; if the old ones were not kept, it is said.
    A run that was pruned is compared up to where it was given up. Nothing in the study is changed.

    Args:
        record: the run.
        folder: the study's folder, where its weights are.
        workers: 1 trains in a worker process of one thread, as a search does; 0 in this one.
        text: what to train on, if the task reads a text.
        anyway: train, whatever that takes.

    Raises:
        ValueError: the run's budget was in seconds, which no two runs share, or `to_train_again`
            refuses it.
    """
    if record.config.seconds is not None:
        raise ArgumentError(
            f"run {record.key} was trained for {record.config.seconds:g} seconds, not for a number "
            "of steps; how many steps fit depends on the moment, so it cannot be repeated exactly",
            topic="replay",
        )
    config = to_train_again(record.config, text=text, anyway=anyway)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        with make_executor(Resources(workers=workers), place) as executor:
            executor.submit(config, record.purpose)
            again = executor.wait(Listener())
        digests = [_digest(where, run) for where, run in ((folder, record), (place, again))]
    weights, changed = _compare_weights(record, *digests)
    differences = [*_forged(record), *_results(record, again), *([changed] if changed else [])]
    return Replay(record, again, tuple(differences), tuple(_circumstances(record, again)), weights)


def _forged(record: RunRecord) -> list[str]:
    """Whether the record's key still is the hash of its configuration."""
    now = record.config.run_key()
    if now == record.key:
        return []
    return [
        f"key: recorded {record.key}, its configuration gives {now}: the record was changed, or "
        "was written by another version"
    ]


def _results(record: RunRecord, again: RunRecord) -> Iterator[str]:
    if record.status == "pruned":
        points = min(len(record.curve), len(again.curve))
        yield from _compare("curve", _timeless(record.curve), _timeless(again.curve[:points]))
        return
    yield from _compare("status", record.status, again.status)
    if record.status != "complete":
        yield from _compare("reason", record.reason, again.reason)
    yield from _compare("metrics", record.metrics, again.metrics)
    yield from _compare("curve", _timeless(record.curve), _timeless(again.curve))


def _compare(where: str, old: Any, new: Any) -> Iterator[str]:
    """Paths at which two trees of plain data differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            yield from _compare(f"{where}.{name}", old.get(name), new.get(name))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from _compare(f"{where}[{index}]", *pair)
    elif isinstance(old, list) and isinstance(new, list):
        yield f"{where}: recorded {len(old)} points, repeated {len(new)}"
    elif old != new:
        yield f"{where}: recorded {old!r}, repeated {new!r}"


def _timeless(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{n: value for n, value in point.items() if n not in _CLOCK} for point in curve]


def _digest(folder: Path, record: RunRecord) -> str:
    path = weights_of(record, folder)
    if path is None:
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _compare_weights(record: RunRecord, old: str, new: str) -> tuple[str, str]:
    """What to say about the weights, and the difference if there is one."""
    if record.status != "complete":
        return f"the run ended as {record.status}, so it has no weights", ""
    if not old:
        return "its weights were not kept: metrics and curve alone are compared", ""
    if old == new:
        return f"weights: sha256 {new[:16]}..., the same file", ""
    text = f"weights: recorded sha256 {old[:16]}..., repeated {new[:16] or 'none'}..."
    return text, text


def _circumstances(record: RunRecord, again: RunRecord) -> Iterator[str]:
    current = {**again.versions, **again.machine}
    for name, value in {**record.versions, **record.machine}.items():
        if name in current and current[name] != value:
            yield f"{name}: {formats.version(value)}, now {formats.version(current[name])}"


def _numbers(record: RunRecord) -> str:
    if record.status != "complete":
        return f"{record.status}, {record.reason}"
    numbers = (
        f"{split} {name} {value:.6g}"
        for split, values in record.metrics.items()
        for name, value in values.items()
        if name != "loss"
    )
    return ", ".join(numbers)
