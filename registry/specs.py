"""What an entry of `registry.yaml` may say: one pydantic model per kind of entry.

The models hold data only. A formula is kept as text here and understood in
`attenergy.energies.language`, so that reading a registry never imports torch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Scalar = float | int | str | bool
Kind = Literal["energies", "mixers", "tasks", "spaces", "bundles"]
Domain = Literal["real", "sphere", "layer_norm", "magnetisation", "simplex", "spin"]
Descends = Literal["parallel", "sequential", "none"]
Reading = Literal["weights", "state"]


class Place(BaseModel):
    """Where an entry was written: file, line and column (both from 1)."""

    model_config = ConfigDict(frozen=True)

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Entry(BaseModel):
    """Base of every registry model: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number or an expression, not true or false")
    return value


Number = Annotated[float | int, BeforeValidator(_not_bool)]
NumberOrExpression = Annotated[float | int | str, BeforeValidator(_not_bool)]


class Range(Entry):
    """The values that a search may give to one quantity.

    Either an interval (`low`, `high`, optionally `log` or an integer/float `step`) or a list of
    `choices`. An interval whose ends are both written as integers is a range of integers.
    """

    low: Number | None = None
    high: Number | None = None
    log: bool = False
    step: Number | None = None
    choices: tuple[Scalar, ...] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Range:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ValueError("give either 'choices' or 'low' and 'high', not both")
            if not self.choices:
                raise ValueError("'choices' is empty")
            if len(set(map(repr, self.choices))) < len(self.choices):
                raise ValueError("'choices' names a value twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("a range needs 'low' and 'high', or 'choices'")
        if not self.low <= self.high:
            raise ValueError(f"'low' ({self.low:g}) is above 'high' ({self.high:g})")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range needs 'low' above 0, got {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("'log' and 'step' exclude each other")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"'step' must be above 0, got {self.step:g}")
        return self

    @property
    def integer(self) -> bool:
        """Whether the interval runs over whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: Scalar) -> bool:
        """Whether `value` lies in the range."""
        if self.choices is not None:
            return value in self.choices
        if self.low is None or self.high is None or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high

    def objection(self, value: Scalar) -> str:
        """Why `value` cannot be the default of what is searched here; empty if it can."""
        if not self.holds(value):
            if self.choices is not None:
                return f"is none of the choices ({', '.join(map(str, self.choices))})"
            return f"lies outside its search range, {self.low} to {self.high}"
        if self.integer and isinstance(value, float) and not isinstance(self.step, float):
            # {low: 0, high: 2} beside a default of 1.0: a search would try 0, 1 and 2 only.
            ends = f"write 'low: {self.low}.0' and 'high: {self.high}.0' for real numbers"
            return f"is a real number, but its search range has whole ends; {ends}"
        return ""


def _satisfies(constraint: str, value: Scalar) -> bool:
    if isinstance(value, (bool, str)):
        return False
    return constraint == "real" or (value > 0 and (constraint == "positive" or value < 1))


class Parameter(Entry):
    """One parameter of an energy: a scalar, or a tensor over declared axes.

    `init` is a number or a constant expression in `D` (head width), such as `1/sqrt(D)`.
    A `positive` parameter is stored as its logarithm, a `unit` one (between 0 and 1) as its logit.
    """

    init: NumberOrExpression
    constraint: Literal["real", "positive", "unit"] = "real"
    learnable: Literal["no", "shared", "per_head"] = "per_head"
    shape: tuple[Literal["D"], ...] = ()
    search: Range | None = None
    doc: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Parameter:
        kind = {"real": "number", "positive": "number above 0", "unit": "number between 0 and 1"}
        needed = f"a {self.constraint} parameter needs a {kind[self.constraint]}"
        number = not isinstance(self.init, str)
        if number and not _satisfies(self.constraint, self.init):
            raise ValueError(f"{needed} as 'init', got {self.init}")
        if self.search is not None:
            for value in self.search.choices or (self.search.low, self.search.high):
                if value is None or not _satisfies(self.constraint, value):
                    raise ValueError(f"{needed} everywhere in its search range, got {value}")
            if number and (objection := self.search.objection(self.init)):
                raise ValueError(f"'init' ({self.init}) {objection}")
        if len(self.shape) > 2:
            raise ValueError("a parameter has at most two axes")
        if self.shape and self.search is not None and self.search.choices is not None:
            raise ValueError("only a scalar parameter can be searched over choices")
        return self


class Tunable(Entry):
    """A plain setting with a default and, if the search may vary it, a range."""

    default: NumberOrExpression
    search: Range | None = None

    @model_validator(mode="after")
    def _default_in_range(self) -> Tunable:
        if self.search is not None and (objection := self.search.objection(self.default)):
            raise ValueError(f"'default' ({self.default}) {objection}")
        return self


class Choice(Entry):
    """A place in a formula that is filled by one of several formulas of one argument.

    A formula calls the choice by its name; `argument` is the letter that stands for what it is
    called with. An RBM's prior over hidden units is such a choice.
    """

    default: str
    options: dict[str, str]
    argument: str = "z"
    search: bool = True
    doc: str = ""

    @model_validator(mode="after")
    def _default_is_an_option(self) -> Choice:
        if self.default not in self.options:
            known = ", ".join(self.options)
            raise ValueError(f"'default' ({self.default}) is not an option (options: {known})")
        return self


class EnergySpec(Entry):
    """An energy function E(xi; X, h) and everything a layer and a search need to know of it."""

    title: str
    formula: str | None = None
    class_: str | None = Field(default=None, alias="class")
    reference: str = ""
    doc: str = ""
    symbols: dict[str, str] = {}
    domain: Domain = "real"
    parameters: dict[str, Parameter] = {}
    choices: dict[str, Choice] = {}
    options: dict[str, Tunable] = {}
    quadratic: NumberOrExpression | None = None
    descends: Descends | None = None
    step_size: Tunable = Tunable(default=1.0)
    steps: Tunable = Tunable(default=1)
    read: Reading | None = None
    capacity: str = ""
    known_answers: tuple[str, ...] = ()

    @property
    def guarantee(self) -> Descends:
        """Which updates never raise the energy: of all states at once, one by one, or none.

        What the entry says (`descends`); else all at once if it declares its quadratic part or
        lives on the sphere.
        """
        if self.descends is not None:
            return self.descends
        return "none" if self.quadratic is None and self.domain != "sphere" else "parallel"

    @model_validator(mode="after")
    def _formula_or_class(self) -> EnergySpec:
        if (self.formula is None) == (self.class_ is None):
            raise ValueError("give exactly one of 'formula' and 'class'")
        if self.formula is None and self.choices:
            raise ValueError("'choices' belong to a formula; an entry with a class has 'options'")
        if self.class_ is None and self.options:
            raise ValueError("'options' belong to a class; a formula has 'choices'")
        if not all(isinstance(v, int) and v >= 1 for v in _named(self.steps)):
            raise ValueError("'steps' are whole numbers from 1")
        if not all(isinstance(v, (int, float)) and v > 0 for v in _named(self.step_size)):
            raise ValueError("'step_size' is a number above 0")
        return self


def _named(tunable: Tunable) -> list[Any]:
    """The default and the ends or choices of the range."""
    if tunable.search is None:
        return [tunable.default]
    ends = tunable.search.choices or (tunable.search.low, tunable.search.high)
    return [tunable.default, *ends]


class MixerSpec(Entry):
    """A layer whose update is written by hand, not derived from an energy."""

    title: str
    class_: str = Field(alias="class")
    energy: None = None
    reference: str = ""
    doc: str = ""
    options: dict[str, Tunable] = {}


class TaskSpec(Entry):
    """A task: its generator's class and options, the model and the training that suit it."""

    title: str
    class_: str = Field(alias="class")
    reference: str = ""
    doc: str = ""
    options: dict[str, Scalar] = {}
    model: ModelSpec
    training: TrainingSpec
    space: str = "default"
    seconds: float | None = None  # typical time of one run on one core
    #: Values of an option, from easy to hard: difficulty and length sweeps.
    sweeps: dict[str, Annotated[tuple[Scalar, ...], Field(min_length=2)]] = {}


class ModelSpec(Entry):
    """The transformer into which a layer is plugged for a task."""

    layers: Annotated[int, Field(ge=1)] = 2
    width: Annotated[int, Field(ge=1)] = 64
    heads: Annotated[int, Field(ge=1)] = 8
    head_dim: Annotated[int, Field(ge=1)] | None = None  # width / heads if absent
    mlp: Annotated[int, Field(ge=0)] = 128  # 0: no feed-forward part
    positions: Literal["relative", "rotary", "absolute", "none"] = "relative"
    causal: bool = False
    conv: Annotated[int, Field(ge=0)] = 0  # kernel of a short convolution before the layer; 0: none
    readout: Literal["position", "bottleneck"] = "position"


class TrainingSpec(Entry):
    """How a model is trained on a task, and how it is evaluated."""

    steps: Annotated[int, Field(ge=0)]  # 0: the model is used as it is built
    batch_size: Annotated[int, Field(ge=1)] = 128
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    warmup: Annotated[int, Field(ge=0)] = 100
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # on attention weights
    evaluate_every: Annotated[int, Field(ge=1)] = 200
    #: Share of the training before which no run is given up; a curve that is still at chance is
    #: spared for half of what then remains.
    prune_after: Annotated[float, Field(ge=0, le=1)] = 0.5
    valid_instances: Annotated[int, Field(ge=1)] = 1024
    test_instances: Annotated[int, Field(ge=1)] = 4096


class BundleSpec(Entry):
    """Tasks that are run together, and over how many seeds if nobody says otherwise."""

    title: str
    doc: str = ""
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Annotated[int, Field(ge=1)] = 5


class RegistryFile(Entry):
    """A whole registry file."""

    version: Literal[1]
    energies: dict[str, EnergySpec] = {}
    mixers: dict[str, MixerSpec] = {}
    tasks: dict[str, TaskSpec] = {}
    spaces: dict[str, dict[str, Range]] = {}
    bundles: dict[str, BundleSpec] = {}


TaskSpec.model_rebuild()
