"""What an entry says of one quantity: its default, and the values that a search may give to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    WithJsonSchema,
    model_validator,
)

from attenergy.registry.errors import ArgumentError, ParameterError

Scalar = float | int | str | bool


class Entry(BaseModel):
    """Base of every registry model: immutable, unknown keys refused.

    Example:
        >>> try:
        ...     Range(low=0.1, high=1.0, lgo=True)
        ... except ValueError as error:
        ...     print("lgo" in str(error))
        True
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def not_bool(value: Any) -> Any:
    """The value, where true and false are no numbers."""
    if isinstance(value, bool):
        raise ArgumentError("must be a number or an expression, not true or false")
    return value


Number = Annotated[float | int, BeforeValidator(not_bool)]
NumberOrExpression = Annotated[float | int | str, BeforeValidator(not_bool)]


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
    """A value as a registry file has it: `true`, not `True`.

    Example:
        >>> as_written(True), as_written(0.5)
        ('true', '0.5')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


class Range(Entry):
    """The values that a search may give to one quantity.

    Either an interval (`low`, `high`, optionally `log` or an integer/float `step`) or a list of
    `choices`. An interval whose ends are both written as integers is a range of integers.

    Example:
        >>> Range(low=0.1, high=10.0, log=True).log
        True
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

    Example:
        >>> Parameter(init="1/sqrt(D)", constraint="positive").constraint
        'positive'
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

    Example:
        >>> Tunable(default="rms").default
        'rms'
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
    """A number with a default and, if the search may vary it, a range.

    Example:
        >>> TunableNumber(default=1.0, search=Range(low=0.25, high=1.9)).search.high
        1.9
    """

    default: Number
