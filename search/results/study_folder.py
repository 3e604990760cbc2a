"""What a study's folder holds, as one page of Markdown or one JSON document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from attenergy.registry import ArgumentError, AttenergyError, UnknownName
from attenergy.registry.errors import nearest
from attenergy.registry.files import read_regular, write_atomically
from attenergy.search.planning.plan import (
    COMPARE_PLAN,
    DISCOVER_PLAN,
    RECORDED,
    ComparePlan,
    SearchPlan,
)
from attenergy.search.results.leaderboard import Leaderboard, leaderboard
from attenergy.search.results.next_step import next_step
from attenergy.search.results.task_table import MATRIX, read_matrix
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.failures import in_one_line
from attenergy.search.runs.own_entries import REGISTRY, own_entries, write_own_entries
from attenergy.search.runs.plugin_needs import check_needs, modules_of, read_needs
from attenergy.search.runs.records import MAX_FILE, RECORDS, first_problem, read_records
from attenergy.tasks import Task, make_task, without_files

#: In a study's folder, where proposals were not trained because of what they would have cost.
UNTRAINED = "untrained.json"
#: In what one types, the name of a study.
STUDY = "STUDY"
_MOST_LISTED = 20  # studies in a message
#: In the folder of a discovery: what it has come to (`attenergy.search.discovery`).
DISCOVERED = "discovered.json"
_FILES = (RECORDS, MATRIX, DISCOVERED, DISCOVER_PLAN)  # each is in a study
_COUNTS = TypeAdapter(dict[str, Annotated[int, Field(ge=0)]])


class NoRuns(AttenergyError, ValueError):
    """A study in which no run has finished."""

    topic = "no-such-run"


@dataclass(frozen=True)
class Study:
    """A study read from its folder: the plan (None if lost), the records, and the task."""

    folder: Path
    plan: SearchPlan | ComparePlan | None
    records: list[RunRecord]
    task: Task

    @property
    def baseline(self) -> str:
        """The variant that the others are compared with."""
        if isinstance(self.plan, ComparePlan):
            return self.plan.variants[0]
        return self.plan.baseline if self.plan is not None else "softmax"

    def leaderboard(self) -> Leaderboard:
        """The study's leaderboard; its verdict says what to type next."""
        objectives = getattr(self.plan, "objectives", ())
        board = leaderboard(
            self.records,
            self.task,
            baseline=self.baseline,
            objectives=objectives,
            cost_limits=getattr(self.plan, "cost_limits", {}),
            untrained=_untrained(self.folder),
        )
        return self.with_next_step(board, Path("runs") / self.folder.name)

    def with_next_step(self, board: Leaderboard, folder: Path) -> Leaderboard:
        """The leaderboard with what to type next, for a study in this folder.

        What is written and passed on takes it for one in `runs`: a path may name its owner.
        """
        line = next_step(
            self.plan,
            board.verdict,
            self.records,
            folder,
            plugins=modules_of(read_needs(self.folder)),
            registry=str(folder / REGISTRY) if own_entries(self.records) else "",
        )
        return replace(board, verdict=replace(board.verdict, command=line))


@dataclass(frozen=True)
class StudyBrief:
    """A study of a folder, told apart from others: without its records.

    Attributes:
        name: of its folder.
        task: that it is on; several with commas, or "" if that is lost.
        when: it was last written to, in seconds of the epoch.
    """

    name: str
    task: str
    when: float

    def line(self, width: int) -> str:
        """As a line of a list, the name as wide as all others."""
        day = datetime.fromtimestamp(self.when).astimezone()
        return f"  {self.name:{width}}  {day:%Y-%m-%d %H:%M}  {self.task}".rstrip()


class UnknownStudy(UnknownName):
    """No study was named, or none has this name; the text lists those that there are.

    Args:
        name: that was given, or "".
        folder: in which the studies lie.
        typed: what one types, with STUDY in place of its name, or "".
        note: what else could have been named.
    """

    def __init__(self, name: str, folder: str | Path, typed: str = "", note: str = "") -> None:
        self.folder, self.typed = Path(folder), typed
        super().__init__("study", name, study_names(folder), note, f"{folder}/")
        self.args = (name, folder, typed, note)  # so that it can be pickled

    def __str__(self) -> str:
        if self.name:
            hints = "".join(f" ({x})" for x in (nearest(self.name, self.known), self.note) if x)
            said = f"no study {self.name!r} in {self.place}{hints}"
        else:
            said = f"name a study{f' ({self.note})' if self.note else ''}"
        if not self.known:
            return (
                f"{said}; none is in {self.place} yet: `attenergy search --task raven-small` makes "
                "one. A study elsewhere is named by its folder"
            )
        shown, more = self.known[:_MOST_LISTED], len(self.known) - _MOST_LISTED
        width = max(map(len, shown))
        lines = [f"{said}. Studies in {self.place}, newest first:"]
        lines += [study_brief(self.folder / name).line(width) for name in shown]
        lines += [f"  and {more} older"] if more > 0 else []
        lines += [f"type: {self.typed.replace(STUDY, shown[0])}"] if self.typed else []
        return "\n".join(lines)


def study_names(folder: str | Path = "runs") -> list[str]:
    """The studies in a folder, newest first, comparisons over several tasks and discoveries too."""
    newest: dict[str, float] = {}
    for file in _FILES:
        for path in Path(folder).glob(f"*/{file}"):
            with suppress(OSError):
                newest[path.parent.name] = max(
                    newest.get(path.parent.name, 0), path.stat().st_mtime
                )
    return sorted(newest, key=lambda name: (-newest[name], name))


def study_brief(place: Path) -> StudyBrief:
    """What tells the study in this folder apart; a damaged one has no task."""
    when, tasks = 0.0, list[str]()
    with suppress(OSError, AttenergyError):
        when = max(p.stat().st_mtime for p in (place / file for file in _FILES) if p.is_file())
        if (place / MATRIX).is_file():
            tasks = [column.task for column in read_matrix(place).columns]
        elif (plan := read_plan(place)) is not None:
            tasks = [plan.task]
    return StudyBrief(place.name, ", ".join(dict.fromkeys(tasks)), when)


def find_study(study: str, folder: str | Path = "runs") -> Path:
    """Return the folder of a study that is named by its path, or by its name inside `folder`.

    A comparison over several tasks is found as well: its folder holds a `matrix.json`; and so is a
    discovery, of which `discovered.json` says all.

    Raises:
        UnknownStudy: if there is none; the message lists those that exist.
    """
    for path in (Path(folder) / study, Path(study)):
        if any((path / file).is_file() for file in _FILES):
            return path
    raise UnknownStudy(study, folder)


def read_study(folder: Path) -> Study:
    """Read a study; nothing but its folder is needed.

    Raises:
        MissingPlugin: a plug-in that it needs is not loaded.
        NoRuns: if no run has finished yet, or the folder is of a comparison over several tasks, or
            of a discovery.
        ValueError: if a file in it is damaged.
    """
    check_needs(folder)
    if (folder / DISCOVERED).is_file():
        raise NoRuns(
            f"{folder} is a discovery, whose runs are of several tasks; its finals are studies: "
            f"{folder.name}/finals/TASK"
        )
    if (folder / DISCOVER_PLAN).is_file():
        raise NoRuns(
            f"{folder} is a discovery that has written no result yet; `attenergy report` says how "
            "to go on with it"
        )
    records = read_records(folder)
    if not records and (folder / MATRIX).is_file():
        parts = ", ".join(f"{folder.name}/{c.name}" for c in read_matrix(folder).columns)
        raise NoRuns(f"{folder} holds several comparisons; name one of them: {parts}")
    if not records:
        raise NoRuns(f"{folder}: no run has finished yet")
    return Study(folder, read_plan(folder), records, task_of(records[0].config))


def task_of(config: RunConfig) -> Task:
    """The task of a run, rebuilt from its configuration alone.

    Files that the record names are not looked for: what it says of a user's data suffices, and
    Python's library, which is always there, takes the place of a text.

    Raises:
        ValueError: it cannot be.
    """
    spec = without_files(config.task_spec)
    try:
        return make_task(spec, seed=config.seed, split_seed=config.split_seed)
    except ValueError:
        raise
    except Exception as error:  # options that somebody else wrote, of any size
        raise ArgumentError(
            f"the task {config.task} cannot be made: {in_one_line(error)}", topic="record-file"
        ) from error


def write_leaderboard(study: Study) -> Leaderboard:
    """Write `leaderboard.md`, `leaderboard.json` and perhaps `registry.yaml` into the folder."""
    board = study.leaderboard()
    write_atomically(study.folder / "leaderboard.md", board.markdown())
    write_atomically(study.folder / "leaderboard.json", board.json() + "\n")
    write_own_entries(study.folder, study.records)
    return board


def write_untrained(folder: Path, counts: Mapping[str, int]) -> None:
    """Write how many proposals of each variant were not trained for their cost, if any were."""
    if counts:
        write_atomically(folder / UNTRAINED, json.dumps(counts, indent=2) + "\n")


def _untrained(folder: Path) -> dict[str, int]:
    path = folder / UNTRAINED
    if not path.exists():
        return {}
    try:
        return _COUNTS.validate_json(read_regular(path, MAX_FILE, within=folder))
    except ValidationError as error:
        raise ArgumentError(
            f"{path}: no counts of proposals: {first_problem(error)}", topic="record-file"
        ) from error


def read_plan(folder: Path) -> SearchPlan | ComparePlan | None:
    """The plan of a study; None if it is lost.

    Raises:
        ValueError: its file is damaged.
    """
    kinds: tuple[tuple[str, type[SearchPlan | ComparePlan]], ...] = (
        ("plan.json", SearchPlan),
        (COMPARE_PLAN, ComparePlan),
    )
    for name, kind in kinds:
        path = folder / name
        if path.exists():
            try:
                data = read_regular(path, MAX_FILE, within=folder)
                return kind.model_validate_json(data, context={RECORDED: True})
            except ValidationError as error:
                text = f"{path}: cannot be read as a plan: {first_problem(error)}"
                raise ArgumentError(text, topic="record-file") from error
    return None
