"""From what a task gives, vectors or tokens, to vectors of the model's width.

`B` batch, `L` positions, `W` model width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Literal, NotRequired, TypedDict

import torch
from torch import Tensor, nn
from torch.func import debug_unwrap

from attenergy.attention.modules.arguments import check_numbers, check_size, check_tensor, weight_of
from attenergy.attention.modules.initialisation import dense
from attenergy.energies.parameters import Settled
from attenergy.energies.settings.keywords import (
    UnknownSetting,
    check_settings,
    known_arguments,
)
from attenergy.registry import ArgumentError, ArgumentTypeError, ShapeError

#: What a table of tokens can be read by.
TOKEN_TYPES = (torch.int64, torch.int32)


class InputShape(TypedDict):
    """What a sequence is made of.

    kind: "vector" for float tokens of width `size`, "token" for whole numbers below `size`.
    size: width of a vector, or number of different tokens.
    length: number of positions L that the model is made for.
    channels: tokens per position (1 if absent).
    """

    kind: Literal["vector", "token"]
    size: int
    length: int
    channels: NotRequired[int]


class InputEmbedding(Settled):
    """Vectors: x Win + bin. Tokens: the table's row of each channel, side by side.

    Tables start as N(0, 1/W) per entry, so that an embedded position has an expected squared
    length of 1; Win is LeCun normal.

    Args:
        width: W.
        kind: see `InputShape`, as the other three.
        size: see `InputShape`.
        length: see `InputShape`.
        channels: see `InputShape`; the channels share the width equally.

    Raises:
        ValueError: unknown kind, or channels that do not fit.
    """

    def __init__(self, width: int, *, kind: str, size: int, length: int, channels: int = 1) -> None:
        super().__init__()
        for name, number in (("size", size), ("length", length), ("channels", channels)):
            check_size(name, number)
        self.kind, self.size, self.length, self.channels = kind, size, length, channels
        if kind == "vector":
            if channels != 1:
                raise ArgumentError(f"only tokens have channels, got {channels} of kind 'vector'")
            self.dense = dense(size, width)
        elif kind == "token":
            if width % channels:
                raise ArgumentError(f"channels must divide the width {width}, got {channels}")
            self.tables = nn.ModuleList(
                nn.Embedding(size, width // channels) for _ in range(channels)
            )
            for table in self.tables.parameters():
                nn.init.normal_(table, std=width**-0.5)
        else:
            raise ArgumentError(f"kind must be 'vector' or 'token', got {kind!r}")
        self.settle()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (B, L, W) of vectors (B, L, size) or tokens (B, L) or (B, L, channels).

        Tokens are int64 or int32.

        Raises:
            ValueError: shape or type of the inputs does not fit; or a token has no row in the
                table, but for what is compiled, exported or on an accelerator, where that cannot be
                asked without waiting for the numbers.
        """
        check_tensor("inputs", inputs)
        if self.kind == "vector":
            if inputs.ndim != 3 or inputs.shape[-1] != self.size:
                raise ShapeError(
                    f"inputs must be (B, L, {self.size}) vectors, got shape {tuple(inputs.shape)}"
                )
            check_numbers("inputs", inputs, weight_of(self.dense))
            out: Tensor = self.dense(inputs)
            return out
        if inputs.dtype not in TOKEN_TYPES:
            raise ShapeError(
                f"inputs must be whole numbers below {self.size}, got {inputs.dtype}; allowed are "
                f"{' and '.join(map(str, TOKEN_TYPES))}"
            )
        tokens = inputs.unsqueeze(-1) if inputs.ndim == 2 else inputs
        if tokens.ndim != 3 or tokens.shape[-1] != self.channels:
            raise ShapeError(
                f"inputs must be (B, L, {self.channels}) tokens"
                f"{' or (B, L)' if self.channels == 1 else ''}, got shape {tuple(inputs.shape)}"
            )
        channels = zip(self.tables, tokens.unbind(-1), strict=True)
        try:
            return torch.cat([table(ids) for table, ids in channels], dim=-1)
        except IndexError:  # a lookup on the CPU looks at the numbers anyway
            self._refuse_unknown(inputs)
            raise

    def _refuse_unknown(self, inputs: Tensor) -> None:
        """Raise an error that names the first token without a row, if there is one."""
        inputs = debug_unwrap(inputs)  # all samples of `torch.vmap`
        wrong = ((inputs < 0) | (inputs >= self.size)).nonzero()
        if len(wrong):
            place = tuple(wrong[0].tolist())
            raise ArgumentError(
                f"inputs must be tokens from 0 to {self.size - 1}, as the vocabulary has "
                f"{self.size}, of type {' or '.join(map(str, TOKEN_TYPES))}; got "
                f"{int(inputs[place])} at {list(place)}"
            )


def check_inputs(model: Callable[..., Any], inputs: Mapping[str, object]) -> None:
    """Refuse what is no argument of a model, and a model that does not know what it reads.

    Args:
        model: its class, whose other keywords are an `InputShape`.
        inputs: these keywords.

    Raises:
        TypeError: one of them is none of `InputShape`, or one is missing.
    """
    needed = {
        argument.name: argument.default is argument.empty
        for argument in signature(InputEmbedding).parameters.values()
        if argument.kind is argument.KEYWORD_ONLY
    }
    try:
        with known_arguments(model):
            check_settings(inputs, needed, "the inputs")
    except UnknownSetting as error:
        raise ArgumentTypeError(str(error), topic="unknown-name") from None
    if missing := [name for name, need in needed.items() if need and name not in inputs]:
        raise ArgumentTypeError(
            f"{model.__name__} needs {', '.join(missing)}: what a sequence is made of"
        )
