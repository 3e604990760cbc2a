"""What an entry says of solvers and of other choices, and of a loss on energies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from attenergy.registry.errors import ArgumentError, nearest
from attenergy.registry.tunables import Entry, SolverName, not_bool


class SolverNames(Entry):
    """The solvers that a search may give to an energy.

    Example:
        >>> SolverNames(choices=("descent", "fixed_point")).choices
        ('descent', 'fixed_point')
    """

    choices: Annotated[tuple[SolverName, ...], Field(min_length=1)]


class SolverChoice(Entry):
    """How a layer relaxes its states, and which other ways a search may try.

    The names are those of `attenergy.attention.solvers.catalogue.SOLVERS`, where a solver says
    which energies it goes with.

    Example:
        >>> SolverChoice(default="descent").default
        'descent'
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

    Example:
        >>> Choice(default="relu", options={"relu": "max(z, 0)", "square": "z^2"}).default
        'relu'
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

    Example:
        >>> EnergyLossSpec(kind="contrast", weight=0.1).weight
        0.1
    """

    kind: Literal["minimise", "contrast"]
    weight: Annotated[float, BeforeValidator(not_bool), Field(ge=0, allow_inf_nan=False)]

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
