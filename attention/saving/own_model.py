"""What a saved model that a user's own function builds is described by."""

from __future__ import annotations

from numbers import Integral
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from attenergy.registry import ModelSpec, OwnModel, Scalar, VariantSpec


def _plain_whole(value: Any) -> Any:
    """A whole number of another make (numpy's) as Python's; anything else as it is."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return int(value) if whole else value


#: A whole number; no text, no truth value and no fraction is one.
Whole = Annotated[int, BeforeValidator(_plain_whole), Field(strict=True)]
#: A number of something.
Size = Annotated[Whole, Field(ge=1)]


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputArguments(_Arguments):
    """What a model reads; see `attenergy.tasks.Inputs`."""

    kind: Literal["vector", "token"]
    size: Size
    length: Size
    channels: Size = 1


class OutputArguments(_Arguments):
    """What a model answers; see `attenergy.tasks.Outputs`."""

    size: Size
    kind: Literal["class", "number"] = "class"


class TaskArguments(_Arguments):
    """What a user's function is told of the task: names and values are those of a `Task`.

    `scored` is the slice of the positions that are scored, where it is known.
    """

    name: str
    inputs: InputArguments
    outputs: OutputArguments
    scored: tuple[int | None, int | None] | None = None
    masks_pairs: bool = False
    options: dict[str, Scalar] = {}

    @property
    def scored_positions(self) -> slice | None:
        """Positions among which all targets lie, where they are known."""
        return None if self.scored is None else slice(*self.scored)


class OwnModelArguments(_Arguments):
    """What a user's own model is built from.

    `layer` is the entry of the layers that `make_layer` makes, `name` only what it was called; a
    stack gives one after the other. `model` has the run's width and heads, and what else the
    function takes by its name.
    """

    own: OwnModel
    name: str
    layer: VariantSpec
    settings: dict[str, bool | float | int | str] = {}
    dropout: float = Field(default=0.0, ge=0, lt=1)
    model: ModelSpec
    task: TaskArguments
