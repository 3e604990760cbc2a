"""What a run's record says of its data: enough to rebuild the model and to read its scores."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attenergy.registry import DataError
from attenergy.tasks.core.batches import Inputs, Outputs

_Size = Annotated[int, Field(ge=1, le=1 << 20)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
MOST_TEXT = 2000
LARGEST = 1e100  # of numbers in data: sums of squares must be finite
_MOST_NUMBERS = 1 << 20  # of one instance


class Facts(BaseModel):
    """Shapes, sizes and chance levels of a finite set of data, for one choice of its splits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["vector", "token"]
    size: _Size
    length: _Size
    channels: Annotated[int, Field(ge=1, le=1024)] = 1
    outputs: _Size
    answers: Literal["class", "number"]
    #: Whether the last position is the one that is scored, in all instances.
    last: bool
    pairs: bool = False  # whether every instance has a mask (L, L) of its own
    rows: dict[Literal["train", "valid", "test"], Annotated[int, Field(ge=1, le=1 << 40)]]
    chance: Annotated[dict[str, _Finite], Field(max_length=8)]

    @property
    def inputs(self) -> Inputs:
        """As `Task.inputs`."""
        return Inputs(self.kind, self.size, self.length, self.channels)

    @property
    def answer(self) -> Outputs:
        """As `Task.outputs`."""
        return Outputs(self.outputs, self.answers)

    def text(self) -> str:
        """The facts as one line, which `read_facts` reads."""
        return json.dumps(self.model_dump(exclude_defaults=True), separators=(",", ":"))


def made_facts(content: dict[str, Any]) -> Facts:
    """The facts of data that were just read.

    Raises:
        ArgumentError: an instance is too large for a model; the text says what of it.
    """
    try:
        known = Facts.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"the data do not fit a model: {where} = {first['input']!r:.40}; {first['msg']}"
        ) from None
    each = known.size if known.kind == "vector" else known.channels
    if known.length * each > _MOST_NUMBERS:
        raise DataError(
            f"the data do not fit a model: an instance has {known.length:,} positions of "
            f"{each:,} numbers; at most {_MOST_NUMBERS:,} in all"
        )
    return known


def read_facts(text: object) -> Facts:
    """The facts of a record.

    Raises:
        ArgumentError: they are none.
    """
    if not isinstance(text, str) or len(text) > MOST_TEXT:
        raise DataError(f"'facts' are written by the toolkit, got {str(text)!r:.60}")
    try:
        return Facts.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"'facts' are written by the toolkit; {where}: {first['msg']}") from None
