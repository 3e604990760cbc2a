"""The records of a study on disk: one line of JSON per finished run, never rewritten."""

from __future__ import annotations

import os
import sys
from io import FileIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attenergy.registry import ArgumentError
from attenergy.registry.files import open_regular
from attenergy.registry.printable import printable
from attenergy.search.runs.config import LARGEST, RunRecord

RECORDS = "records.jsonl"
MAX_LINE = 4_000_000  # bytes of one record
MAX_FILE = 4_000_000  # bytes of a plan or a matrix


class RunStore:
    """Finished runs of one folder, in `records.jsonl`, each run once.

    A record is on the disk when `append` returns. A last line that a crash cut short counts as
    never written: readers pass over it, and the next `append` removes it. Several processes may
    write to the same folder; `refresh` hears of what the others wrote.

    Args:
        folder: the study's folder; made with the first record, if absent.

    Raises:
        ValueError: if a whole line is not a record.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.path = self.folder / RECORDS
        self._records: dict[str, RunRecord] = {}
        self._common = _Common()
        self._bytes, self._lines = 0, 0  # whole lines that have been read
        self.refresh()

    def append(self, record: RunRecord) -> None:
        """Write one record and wait until it is on the disk.

        Raises:
            ValueError: if the run is already recorded.
            OSError: if it cannot be written, as on a full disk; what was there before stays.
        """
        line = (record.model_dump_json(by_alias=True) + "\n").encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                _wait_for(file)
                self.refresh()
                if record.key in self._records:
                    raise ArgumentError(
                        f"run {record.key} is already recorded in {self.path.name}",
                        topic="record-file",
                    )
                file.truncate(self._bytes)
                _write_whole(file, line)
                os.fsync(file.fileno())
        except OSError as error:
            text = f"run {record.key} cannot be recorded ({error.strerror}); make room and resume"
            raise OSError(error.errno, text, str(self.path)) from error
        self._records[record.key] = self._common.shared(record)
        self._bytes, self._lines = self._bytes + len(line), self._lines + 1

    def refresh(self) -> list[RunRecord]:
        """Read what other processes have written since the last look, and return it."""
        if not self.path.exists():
            return []
        records, self._bytes = _whole_records(self.path, self._bytes, self._lines, self._common)
        self._records |= {record.key: record for record in records}
        self._lines += len(records)
        return records

    def get(self, key: str) -> RunRecord | None:
        """Return the record of a run, if it has finished."""
        return self._records.get(key)

    def all(self) -> list[RunRecord]:
        """Return every record, in the order in which the runs finished."""
        return list(self._records.values())

    def weights_path(self, key: str) -> Path:
        """Return where the trained weights of a run are, or would be."""
        return weights_path(self.folder, key)


def read_records(folder: Path) -> list[RunRecord]:
    """Every record of a folder, in the order in which the runs finished; nothing is made there.

    Raises:
        ValueError: a whole line is not a record, or is too long.
        OSError: the file is no regular one, or a link that leads out of the folder.
    """
    path = folder / RECORDS
    if not path.exists():
        return []
    records, _ = _whole_records(path, 0, 0, _Common(), within=folder)
    return list({record.key: record for record in records}.values())


def _whole_records(
    path: Path, start: int, lines: int, common: _Common, within: Path | None = None
) -> tuple[list[RunRecord], int]:
    """The records of the whole lines from a byte on, and the byte after them."""
    records: list[RunRecord] = []
    with open_regular(path, within=within) as file:
        file.seek(start)
        while (line := file.readline(MAX_LINE + 1)).endswith(b"\n"):
            start += len(line)
            records.append(_parsed(line, path, lines + len(records) + 1, common))
    if len(line) > MAX_LINE:
        number = lines + len(records) + 1
        raise ArgumentError(
            f"{path}:{number}: not a run record: longer than {MAX_LINE} bytes", topic="record-file"
        )
    return records, start


class _Common:
    """One object for what many records have in common, which is most of each.

    Records are frozen, so nobody changes what another has too.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Any] = {}

    def shared(self, record: RunRecord) -> RunRecord:
        """The record with parts of earlier ones where they are equal."""
        config = record.config
        layer = self._same("layer", config.variant, config.layer)
        task = self._same("task_spec", config.task, config.task_spec)
        model = self._same("model", f"{config.model.heads} {config.model.width}", config.model)
        training = self._same("training", config.variant, config.training)
        config = config.model_copy(
            update={"layer": layer, "task_spec": task, "model": model, "training": training}
        )
        versions = self._same("versions", "", record.versions)
        machine = self._same("machine", "", record.machine)
        return record.model_copy(
            update={"config": config, "versions": versions, "machine": machine}
        )

    def _same(self, field: str, name: str, value: Any) -> Any:
        last = self._last.get((field, name))
        if last is not None and last == value:
            return last
        self._last[field, name] = value
        return value


def _parsed(line: bytes, path: Path, number: int, common: _Common) -> RunRecord:
    try:
        record = RunRecord.model_validate_json(line)
    except ValidationError as error:
        raise _no_record(path, number, first_problem(error)) from error
    if wrong := _beyond(record):
        raise _no_record(path, number, wrong)
    return common.shared(record)


def _no_record(path: Path, number: int, wrong: str) -> ArgumentError:
    return ArgumentError(
        f"{path}:{number}: not a run record: {wrong}; without this line the rest can be read",
        topic="record-file",
    )


def _beyond(record: RunRecord) -> str:
    """Which score or cost is no number that a run can have; empty if none is."""
    groups = {f"metrics.{name}": each for name, each in record.metrics.items()}
    groups["cost"] = record.cost
    for group, values in groups.items():
        for name, value in values.items():
            if not abs(value) <= LARGEST:
                place = printable(f"{group}.{name}"[:200], lines=False)
                return f"{place}: {value:g} is not between -{LARGEST:g} and {LARGEST:g}"
    return ""


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic says, in one line."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return printable(": ".join(filter(None, [place[:200], first["msg"][:200]])), lines=False)


def _wait_for(file: FileIO) -> None:
    # Until no other process writes to it; where the system has no such locks, at once.
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def _write_whole(file: FileIO, data: bytes) -> None:
    # A nearly full disk takes a part of the bytes without complaint.
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def weights_path(folder: Path, key: str) -> Path:
    """Return where the weights of run `key` are kept in a study's folder."""
    return folder / "weights" / f"{key}.safetensors"
