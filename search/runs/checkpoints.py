"""Where the states of unfinished runs lie, so that a run goes on from there.

What stands in such a file is the business of `attenergy.search.training.checkpoint`.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import ForwardingListener, Listener

FOLDER = "checkpoints"  # in a study's folder, if nobody names another
MOST_BYTES = 8 * 2**30  # of all checkpoints of a folder
_ABANDONED = 3600.0  # s after which a file that nobody has renewed makes room for others
_NAME = re.compile(r"[0-9a-f]{16}(\.\d{1,12})?\.safetensors")
_MARKER = ".reached_by_"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a study's runs: one file for each run that has not ended.

    Args:
        folder: where they lie; made when the first is written.
        seconds: between two of one run; 0 for none at all.
        keep: whether the state before its tail is kept of every run that has one; see
            `attenergy.search.training.schedule`. A longer run goes on from there.
        marker: name of an empty file that tells whether a worker on another machine reaches the
            same folder; empty if all workers are on this one.
    """

    folder: Path
    seconds: float = 30.0
    keep: bool = False
    marker: str = ""

    def path(self, key: str) -> Path:
        """The file of a run."""
        return self.folder / f"{key}.safetensors"

    def stem_path(self, stem: str, step: int) -> Path:
        """The file of what runs of different lengths have in common until a step.

        Args:
            stem: digest of what they have in common.
            step: number of training steps.
        """
        return self.folder / f"{stem}.{step}.safetensors"

    def stems(self, stem: str) -> list[tuple[int, Path]]:
        """What there is of `stem_path`, the furthest first."""
        paths = self.folder.glob(f"{stem}.*.safetensors") if self.folder.is_dir() else ()
        named = (path for path in paths if _NAME.fullmatch(path.name))
        return sorted(((int(path.name.split(".")[1]), path) for path in named), reverse=True)

    @property
    def reachable(self) -> bool:
        """Whether this process reaches the folder that the driver means."""
        return not self.marker or (self.folder / self.marker).exists()

    def discard(self, key: str) -> None:
        """Remove the file of a run, if there is one, and the folder if it was the last."""
        with suppress(OSError):
            self.path(key).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def tidy(self, ended: Iterable[str]) -> None:
        """Remove the files of runs that have ended; their driver was stopped a moment too early."""
        if self.folder.is_dir():
            for key in ended:
                with suppress(OSError):
                    self.path(key).unlink(missing_ok=True)
            with suppress(OSError):
                self.folder.rmdir()

    def discard_stems(self, stem: str) -> None:
        """Remove what there is of `stem_path`, and the folder if nothing is left."""
        with suppress(OSError):
            for _, path in self.stems(stem):
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def make_room(self, own: Path, size: int) -> str:
        """See that the file `own` of `size` bytes fits below `MOST_BYTES`, with all others.

        Files that nobody has renewed for an hour are removed if they have to be, the oldest first,
        but not those that are to be kept.

        Returns:
            Why there is no room; empty if there is.
        """
        files = []
        with suppress(OSError):
            for path in self.folder.iterdir():
                if _NAME.fullmatch(path.name) and path != own:
                    status = path.stat()
                    files.append((status.st_mtime, status.st_size, path))
        total = size + sum(other for _, other, _ in files)
        for written, other, path in sorted(files):
            if total <= MOST_BYTES or time.time() - written < _ABANDONED:
                break
            if path.name.count(".") > 1:  # a stem
                continue
            with suppress(OSError):
                path.unlink()
                total -= other
        if total <= MOST_BYTES:
            return ""
        return (
            f"it would have {size / 2**20:.0f} MiB, and all checkpoints of a folder together have "
            f"at most {MOST_BYTES / 2**30:g} GiB"
        )

    @contextmanager
    def marked(self) -> Iterator[Checkpoints]:
        """The same checkpoints with a marker in their folder, for workers on other machines.

        A folder that cannot be written to is one that no worker reaches.
        """
        marker = f"{_MARKER}{secrets.token_hex(8)}"
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / marker).touch()
        try:
            yield replace(self, marker=marker)
        finally:
            with suppress(OSError):
                (self.folder / marker).unlink(missing_ok=True)
                self.folder.rmdir()


class CheckpointRemoval(ForwardingListener):
    """Forwards every event, and removes the checkpoint of a run once the run is recorded.

    Args:
        inner: receives everything.
        checkpoints: of the study.
    """

    def __init__(self, inner: Listener, checkpoints: Checkpoints) -> None:
        super().__init__(inner)
        self._checkpoints = checkpoints

    def finished(self, record: RunRecord) -> None:
        """Remove it."""
        self._checkpoints.discard(record.key)
        super().finished(record)
