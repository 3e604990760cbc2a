"""Mixers that have parameters for every place of a sequence: checks, and cutting to a length."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.registry import ShapeError


def check_places(sequence: Tensor, length: int) -> None:
    """Check that a sequence (B, N, width) has no more than `length` places.

    Raises:
        ValueError: it has.
    """
    if sequence.shape[1] > length:
        raise ShapeError(
            f"a sequence of {sequence.shape[1]} places is too long for a mixer of {length}; "
            "build it with a greater length"
        )


def first_places(parameter: Tensor, axis: int, count: int) -> Tensor:
    """The first `count` places of a parameter's axis.

    Exported, they are looked up: a slice asks whether it is the whole, which would bar the greatest
    length from an open one.
    """
    if torch.compiler.is_exporting():
        return parameter.index_select(axis, torch.arange(count, device=parameter.device))
    return parameter.narrow(axis, 0, count)
