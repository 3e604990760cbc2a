"""What a discovery has come to, as plain data: `discovered.json` in the folder of its study.

Everything that a result shows is in this file and in the records of the finals beside it, so a page
can be made where the storage of the study is not. Both may be somebody else's: what is read is
checked, and formulas are text until the language has read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attenergy.registry import ArgumentError, Scalar
from attenergy.registry.files import read_regular, write_atomically
from attenergy.search.results.study_folder import DISCOVERED
from attenergy.search.runs.names import PathPart
from attenergy.search.runs.plugin_needs import check_needs
from attenergy.search.runs.records import first_problem

#: In a study's folder.
ENTRIES, PAGE, FINALS = "discovered.yaml", "discovery.html", "finals"
#: Bytes of a discovery; ten thousand formulas have a tenth of it.
_MOST_BYTES = 64_000_000
_FORMULA, _NAME = 4000, 200  # characters

Arm = Literal["registry", "evolved", "random"]
Role = Literal["softmax", "registry", "evolved", "random"]
Name = Annotated[str, Field(max_length=_NAME)]
Text = Annotated[str, Field(max_length=_FORMULA)]
Score = float  # 0 chance, 1 ceiling; -inf for none
Amount = Annotated[float, Field(ge=0, le=1e12)]  # of seconds or milliseconds
Whole = Annotated[int, Field(ge=0, le=10**12)]
Number = Annotated[int, Field(ge=-(10**12), le=10**12)]

_PLAIN = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Formula(BaseModel):
    """One formula that was evaluated: where it came from, and what came of it.

    `formula` has the best numbers that were tried, `settings` the best settings of its layer.
    """

    model_config = _PLAIN

    number: Whole
    arm: Arm
    formula: Text
    key: Name = ""  # of the normal form
    length: Annotated[Whole, Field(ge=1)]
    entry: Name = ""  # of the registry, if it came from there
    operation: Name = ""
    parents: tuple[Number, ...] = ()
    scores: dict[Name, Score] = {}  # rung -> score
    settings: dict[Name, Scalar] = {}
    cost: float | None = None  # time or FLOPs of a step over softmax's
    seconds: Amount = 0.0
    niche: tuple[Number, ...] = ()
    nearest: Name = ""  # known energy
    distance: float | None = None

    @property
    def name(self) -> str:
        """How it is called in finals and in `discovered.yaml`."""
        if self.entry:
            return self.entry
        return f"{'random' if self.arm == 'random' else 'discovered'}_{self.number}"


class Rejected(BaseModel):
    """What one filter turned away, and how long it looked at everything that came to it."""

    model_config = _PLAIN

    count: Whole
    milliseconds: Amount = 0.0


class RungPrediction(BaseModel):
    """How well the scores of one rung order those of the next: Spearman's rank correlation."""

    model_config = _PLAIN

    rung: Name
    following: Name
    correlation: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: Whole = 0
    used: bool = True


class Ablated(BaseModel):
    """The winner with one of its terms or functions less; `reason` says why it has no score."""

    model_config = _PLAIN

    what: Text
    formula: Text
    scores: dict[Name, Score] = {}
    reason: Text = ""


class Law(BaseModel):
    """One law on the winner, as `attenergy energies check` says."""

    model_config = _PLAIN

    law: Name
    passed: bool | None = None
    figure: float | None = None
    note: Text = ""


class Finalist(BaseModel):
    """Who took part in the finals, under this name, and as what."""

    model_config = _PLAIN

    name: Name
    role: Role
    number: Number | None = None  # of the formula


class Discovery(BaseModel):
    """A discovery: its plan, every formula, what was rejected, how rungs predict, ablation, laws.

    The finals are comparisons of their own, in `finals/TASK` of the study's folder.
    """

    model_config = _PLAIN

    version: Literal[1] = 1
    name: PathPart
    tasks: tuple[PathPart, ...]
    held_out: tuple[PathPart, ...] = ()  # tasks of the finals that were not used in the search
    rungs: tuple[Name, ...] = ()  # from the cheapest
    seed: int = 0
    command: Text = ""
    date: Name = ""  # on which it ended, or was written last
    seconds: Amount = 0.0
    versions: dict[Name, Name] = {}
    machines: tuple[Text, ...] = ()
    population: tuple[Formula, ...] = ()
    passed: Rejected | None = None  # through every filter
    rejected: dict[Name, Rejected] = {}  # filter -> count, in the order of the filters
    predictions: tuple[RungPrediction, ...] = ()
    ablations: tuple[Ablated, ...] = ()  # the first one is the whole formula
    laws: tuple[Law, ...] = ()
    finalists: tuple[Finalist, ...] = ()

    @cached_property
    def by_number(self) -> Mapping[int, Formula]:
        """Number -> formula."""
        return {formula.number: formula for formula in self.population}

    @cached_property
    def by_name(self) -> Mapping[str, Formula]:
        """Name in finals -> formula."""
        return {formula.name: formula for formula in self.population}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other fields, which looks its formulas up anew."""
        copy = super().model_copy(update=update, deep=deep)
        for name in ("by_number", "by_name"):
            copy.__dict__.pop(name, None)
        return copy

    def parents(self, formula: Formula) -> Iterator[Formula]:
        """Its parents, which are older than it is; others are none."""
        for number in dict.fromkeys(formula.parents):
            if number < formula.number and number in self.by_number:
                yield self.by_number[number]


def save_discovery(discovery: Discovery, folder: Path) -> None:
    """Write `discovered.json` into the folder."""
    write_atomically(folder / DISCOVERED, discovery.model_dump_json(indent=1) + "\n")


def read_discovery(folder: Path) -> Discovery:
    """Read a discovery from its folder.

    Raises:
        MissingPlugin: a plug-in that its formulas need is not loaded.
        ArgumentError: the file is damaged.
        OSError: it is missing, no regular file, or leads out of the folder.
    """
    check_needs(folder)
    path = folder / DISCOVERED
    content = read_regular(path, _MOST_BYTES, within=folder)
    try:
        return Discovery.model_validate_json(content)
    except ValidationError as error:
        raise ArgumentError(
            f"{path}: cannot be read as a discovery: {first_problem(error)}", topic="record-file"
        ) from error
