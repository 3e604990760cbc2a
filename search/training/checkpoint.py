"""The state of a run as a file, and back: a run that was broken off goes on, bit for bit.

One safetensors file holds weights, buffers, the state of every optimiser, of the random generators,
and, as JSON in its header, the place in the budget and what is known so far. The batches of a task
follow from their number, so nothing is kept of them. On the same machine, with the same number of
threads, the run then has the weights of one that was never broken off, to the bit; on a GPU, or
where seconds of training are the budget, no two runs have the same bits in any case.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from attenergy.registry.files import read_regular, write_bytes_atomically
from attenergy.search.runs import provenance
from attenergy.search.runs.checkpoints import Checkpoints
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.failures import clean
from attenergy.search.runs.records import first_problem
from attenergy.search.training.schedule import tail_start
from attenergy.search.training.state import TrainingState
from attenergy.search.training.state_tensors import PER_PARAMETER, StateTensors, Unfit

#: Is called with the name of an event and its values: ("continued", step, seconds, curve),
#: ("saved", step) and ("message", text).
Notify = Callable[..., None]

_ABOUT, _DIGEST = "attenergy", "sha256"  # in the metadata of the file
_MOST_HEADER = 16_000_000  # bytes
_RATIO = 20  # a checkpoint that takes long to write is written less often
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _About(BaseModel):
    """What a checkpoint says of itself, and all of the state that is no tensor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    config: str  # digest of the whole configuration
    torch: str
    attenergy: str
    device: str
    step: Annotated[int, Field(ge=1)]
    busy: Annotated[_Finite, Field(ge=0)]
    seconds: Annotated[_Finite, Field(ge=0)]
    curve: list[dict[str, _Finite]]
    metrics: dict[str, dict[str, _Finite]]
    continued: list[Annotated[int, Field(ge=1)]]


@dataclass(frozen=True)
class SharedState:
    """States that a run has in common with others.

    Attributes:
        stem: a name for what these runs have in common.
        without: what of a configuration may differ between them.
        last: the step until which they are one.
        is_written: whether this run leaves its state at that step to the others.
    """

    stem: str
    without: tuple[str, ...]
    last: int
    is_written: bool = True


def shared_states(config: RunConfig) -> list[SharedState]:
    """What a run has in common with others.

    One that pauses is the beginning of the whole run; and until its tail a run with the schedule
    `constant_tail` is the beginning of any longer one.
    """
    if config.seconds is not None or not config.training.steps:
        return []

    def stem(*without: str) -> str:
        return _config_digest(config, without)[:16]

    pauses = config.pause is not None
    states = [SharedState(stem("pause"), ("pause",), config.last_step, is_written=pauses)]
    tail = tail_start(config.training)
    if tail is not None and tail <= config.last_step:
        states.append(SharedState(stem("pause", "steps"), ("pause", "steps"), tail))
    return states


class Saver:
    """Saves the state of one run now and then, and lets it go on from there.

    Args:
        checkpoints: where, and how often.
        config: of the run.
        notify: is told what happens.
    """

    def __init__(self, checkpoints: Checkpoints, config: RunConfig, notify: Notify) -> None:
        self._checkpoints, self._notify = checkpoints, notify
        self.path = checkpoints.path(config.run_key())
        self._shared = shared_states(config)
        self._last, self._took, self._warned = time.monotonic(), 0.0, False

    def restore(self, state: TrainingState) -> bool:
        """Take the run up from its checkpoint; whether there is one that fits.

        Without one of its own it goes on from what another run has in common with it. A file that
        does not fit is passed over with a message.
        """
        if self.path.exists() and self._take(self.path, state, None):
            return True
        shared = [
            (step, path, each)
            for each in self._shared
            for step, path in self._checkpoints.stems(each.stem)
            if step <= each.last
        ]
        shared.sort(key=lambda entry: -entry[0])
        return any(self._take(path, state, each) for _, path, each in shared)

    def _take(self, path: Path, state: TrainingState, shared: SharedState | None) -> bool:
        try:
            about, tensors = _read(path, _most_bytes(state))
            _check(about, state, shared)
            StateTensors(state).take(tensors)
        except (OSError, Unfit) as error:
            reason = getattr(error, "strerror", None) or error
            text = f"its checkpoint is passed over, and it begins anew: {reason}"
            self._notify("message", clean(text))
            return False
        state.clock.done, state.clock.busy = about.step, about.busy
        state.progress.curve[:] = about.curve
        state.progress.metrics |= about.metrics
        state.progress.earlier = about.seconds
        state.progress.continued[:] = [*about.continued, about.step]
        self._last = time.monotonic()
        self._notify("continued", about.step, about.seconds, about.curve)
        return True

    def save_if_due(self, state: TrainingState) -> None:
        """Write the state if the last checkpoint is old enough, or if it is to be kept.

        A file that cannot be written costs the run nothing; it is told once.
        """
        done = state.clock.done
        for shared in self._shared if self._checkpoints.keep else ():
            if done == shared.last and shared.is_written:
                path = self._checkpoints.stem_path(shared.stem, done)
                self._write(path, state, shared.without)
        every = self._checkpoints.seconds
        if every and time.monotonic() - self._last >= max(every, _RATIO * self._took):
            begin = time.monotonic()
            written = self._write(self.path, state, ())
            self._last = time.monotonic()
            self._took = self._last - begin
            if written:
                self._notify("saved", done)

    def _write(self, path: Path, state: TrainingState, without: tuple[str, ...]) -> bool:
        try:
            data = _as_bytes(state, without)
            problem = self._checkpoints.make_room(path, len(data))
            if not problem:
                write_bytes_atomically(path, data)
        except ValidationError as error:  # a task's metric that is no number
            problem = first_problem(error)
        except (OSError, SafetensorError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        if problem and not self._warned:
            self._warned = True
            text = f"no checkpoint of it could be written: {problem}"
            self._notify("message", clean(text))
        return not problem


def _as_bytes(state: TrainingState, without: tuple[str, ...]) -> bytes:
    clock, progress = state.clock, state.progress
    about = _About(
        **_circumstances(state, without),
        step=clock.done,
        busy=clock.busy,
        seconds=progress.seconds,
        curve=progress.curve,
        metrics=progress.metrics,
        continued=progress.continued,
    ).model_dump_json()
    parts = StateTensors(state).give()
    return save(parts, {_ABOUT: about, _DIGEST: _digest(about, parts)})


def _circumstances(state: TrainingState, without: tuple[str, ...]) -> dict[str, Any]:
    """What must be the same for a state to be gone on with; `without` what may differ."""
    versions = provenance.versions()
    device = next(state.model.parameters(), torch.empty(0)).device.type
    return {
        "config": _config_digest(state.config, without),
        "torch": versions["torch"],
        "attenergy": versions["attenergy"],
        "device": device,
    }


def _config_digest(config: RunConfig, without: tuple[str, ...]) -> str:
    data = config.model_dump(mode="json", by_alias=True)
    if "pause" in without:
        data.pop("pause", None)
    if "steps" in without:
        del data["training"]["steps"]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _digest(about: str, parts: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(about.encode())
    for name in sorted(parts):
        part = parts[name]
        digest.update(f"\n{name} {part.dtype} {tuple(part.shape)}\n".encode())
        digest.update(part.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _most_bytes(state: TrainingState) -> int:
    """As many as a checkpoint of this run may have."""
    size = sum(p.numel() * p.element_size() for p in state.model.parameters())
    size += sum(b.numel() * b.element_size() for b in state.model.buffers())
    return _MOST_HEADER + PER_PARAMETER * size + 8 * state.config.training.evaluate_every


def _read(path: Path, most: int) -> tuple[_About, dict[str, Tensor]]:
    """What a file says of itself, and its tensors, once its digest is seen to be right."""
    data = read_regular(path, most, within=path.parent)
    size = int.from_bytes(data[:8], "little")
    if size > _MOST_HEADER:
        raise Unfit(f"its header is said to have {size} bytes")
    try:
        metadata = json.loads(data[8 : 8 + size])["__metadata__"]
        text, digest = str(metadata[_ABOUT]), metadata[_DIGEST]
        about = _About.model_validate_json(text)
        tensors = load(data)
    except ValidationError as error:
        raise Unfit(first_problem(error)) from None
    except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise Unfit(f"it is damaged ({type(error).__name__})") from None
    if _digest(text, tensors) != digest:
        raise Unfit("it is damaged: its digest is another")
    return about, tensors


def _check(about: _About, state: TrainingState, shared: SharedState | None) -> None:
    """See that a checkpoint is one of this run, made under these circumstances.

    Args:
        about: what it says of itself.
        state: of the run.
        shared: what it has in common with other runs; None for one of its own.
    """
    for name, now in _circumstances(state, shared.without if shared else ()).items():
        if (before := getattr(about, name)) != now:
            if name == "config":
                raise Unfit("it belongs to another run")
            raise Unfit(f"{name} was {before[:40]}, is {now}")
    most = state.clock.last if shared is None else shared.last
    points = [point.get("step", math.inf) for point in about.curve]
    if (
        (state.config.seconds is None and about.step > most)
        or len(points) > about.step
        or points != sorted(points)
        or (points and points[-1] > about.step)
    ):
        raise Unfit("its curve is no curve of so many steps")
