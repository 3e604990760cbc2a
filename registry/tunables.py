"""What an entry says of one quantity: its default, and the values that a search may give to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from attenergy.registry.errors import ArgumentError, ParameterError, nearest

Scalar = float | int | str | bool


class Entry(BaseModel):
    """Base of every registry model: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ArgumentError("must be a number or an expression, not true or false")
    return value


Number = Annotated[float | int, BeforeValidator(_not_bool)]
NumberOrExpression = Annotated[float | int | str, BeforeValidator(_not_bool)]


def _completed(*names: str) -> WithJsonSchema:
    """Any name, of which editors complete these: the tables themselves import torch."""
    return WithJsonSchema({"anyOf": [{"enum": list(names)}, {"type": "string"}]})


#: A name of `attenergy.energies.DOMAINS`.
DomainName = Annotated[
    str, _completed("real", "sphere", "layer_norm", "magnetisation", "simplex", "spin")
]
#: A name of `attenergy.attention.solvers.catalogue.SOLVERS`, of those that layers can train with.
SolverName = Annotated[
    str, _completed("descent", "coordinate_descent", "semi_implicit", "fixed_point")
]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and none or both of them are true or false."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def as_written(value: Scalar) -> str:
    """A value as a registry file has it: `true`, not `True`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


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
                raise ArgumentError(
                    "give either 'choices' or 'low' and 'high', not both", topic="search-range"
                )
            if not self.choices:
                raise ArgumentError("'choices' is empty", topic="search-range")
            if len(set(self.choices)) < len(self.choices):  # 1, 1.0 and true are one to a search
                raise ArgumentError("'choices' names a value twice", topic="search-range")
            return self
        if self.low is None or self.high is None:
            raise ArgumentError(
                "a range needs 'low' and 'high', or 'choices'", topic="search-range"
            )
        if not self.low <= self.high:
            raise ArgumentError(
                f"'low' ({self.low:g}) is above 'high' ({self.high:g})", topic="search-range"
            )
        if self.log and self.low <= 0:
            raise ArgumentError(
                f"a logarithmic range needs 'low' above 0, got {self.low:g}", topic="search-range"
            )
        if self.log and self.step is not None:
            raise ArgumentError("'log' and 'step' exclude each other")
        if self.step is not None and self.step <= 0:
            raise ArgumentError(f"'step' must be above 0, got {self.step:g}", topic="search-range")
        return self

    @property
    def integer(self) -> bool:
        """Whether the interval runs over whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: Scalar) -> bool:
        """Whether `value` lies in the range; true is no 1, and false no 0."""
        if self.choices is not None:
            return any(same(value, choice) for choice in self.choices)
        if self.low is None or self.high is None or isinstance(value, (bool, str)):
            return False
        return self.low <= value <= self.high

    def objection(self, value: Scalar) -> str:
        """Why `value` cannot be the default of what is searched here; empty if it can."""
        if not self.holds(value):
            if self.choices is not None:
                return f"is none of the choices ({', '.join(map(as_written, self.choices))})"
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
            raise ParameterError(f"{needed} as 'init', got {self.init}")
        if self.search is not None:
            for value in self.search.choices or (self.search.low, self.search.high):
                if value is None or not _satisfies(self.constraint, value):
                    raise ArgumentError(
                        f"{needed} everywhere in its search range, got {value}",
                        topic="search-range",
                    )
            if number and (objection := self.search.objection(self.init)):
                raise ParameterError(f"'init' ({self.init}) {objection}")
        if len(self.shape) > 2:
            raise ArgumentError("a parameter has at most two axes")
        if self.shape and self.search is not None and self.search.choices is not None:
            raise ArgumentError(
                "only a scalar parameter can be searched over choices", topic="search-range"
            )
        return self


class Tunable(Entry):
    """A plain setting with a default and, if the search may vary it, a range.

    A switch has the default true or false and, if it is searched, the choices true and false.
    """

    default: Scalar
    search: Range | None = None

    @model_validator(mode="after")
    def _default_in_range(self) -> Tunable:
        if self.search is not None and (objection := self.search.objection(self.default)):
            raise ArgumentError(
                f"'default' ({as_written(self.default)}) {objection}", topic="search-range"
            )
        return self


class TunableNumber(Tunable):
    """A number with a default and, if the search may vary it, a range."""

    default: Number


class SolverNames(Entry):
    """The solvers that a search may give to an energy."""

    choices: Annotated[tuple[SolverName, ...], Field(min_length=1)]


class SolverChoice(Entry):
    """How a layer relaxes its states, and which other ways a search may try.

    The names are those of `attenergy.attention.solvers.catalogue.SOLVERS`, where a solver says
    which energies it goes with.
    """

    default: SolverName = "descent"
    search: SolverNames | None = None

    @model_validator(mode="after")
    def _default_is_offered(self) -> SolverChoice:
        if self.search is None:
            return self
        offered = self.search.choices
        if len(set(offered)) < len(offered):
            raise ArgumentError("'choices' names a solver twice", topic="search-range")
        if self.default not in offered:
            raise ArgumentError(
                f"'default' ({self.default}) is none of the choices", topic="search-range"
            )
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
            raise ArgumentError(f"'default' ({self.default}) is not an option (options: {known})")
        return self


#: A training without a term on energies.
NO_ENERGY_LOSS = "none"


class EnergyLossSpec(Entry):
    """A term of the training loss on the energies of a model's own layers.

    What the kinds compute stands in `attenergy.search.training.energy_loss`.
    """

    kind: Literal["minimise", "contrast"]
    weight: Annotated[float, BeforeValidator(_not_bool), Field(ge=0, allow_inf_nan=False)]

    def __str__(self) -> str:
        short = f"{self.weight:g}"
        return f"{self.kind}:{short if float(short) == self.weight else repr(self.weight)}"


def _energy_loss(value: Any) -> str:
    """`KIND:WEIGHT` of that or of a mapping; `none` where there is nothing to add."""
    if value is None or value == NO_ENERGY_LOSS:
        return NO_ENERGY_LOSS
    given = value
    if isinstance(value, str):
        kind, _, weight = value.partition(":" if ":" in value else "-")
        given = {"kind": kind.strip(), "weight": weight.strip()}
    try:
        loss = EnergyLossSpec.model_validate(given)
    except ValidationError:
        kinds = get_args(EnergyLossSpec.model_fields["kind"].annotation)
        kind = str(given.get("kind")) if isinstance(given, Mapping) else ""
        hint = "" if kind in kinds else nearest(kind, (*kinds, NO_ENERGY_LOSS))
        raise ArgumentError(
            f"must be {NO_ENERGY_LOSS}, KIND:WEIGHT or {{kind: KIND, weight: WEIGHT}}, where KIND "
            f"is {' or '.join(kinds)} and WEIGHT a number from 0; {hint}".rstrip("; ")
        ) from None
    return str(loss) if loss.weight else NO_ENERGY_LOSS


#: `none` or `KIND:WEIGHT`, which may be written as a mapping too, and as `KIND-WEIGHT`, which can
#: name a folder.
EnergyLossText = Annotated[
    str,
    BeforeValidator(_energy_loss),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^(none|(minimise|contrast): *[0-9.eE+-]+)$"},
                EnergyLossSpec.model_json_schema(),
            ]
        }
    ),
]
