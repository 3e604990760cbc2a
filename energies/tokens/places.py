"""Parameters for every place of a sequence: checks, and cutting to a length."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.registry import ShapeError


def check_places(count: int, length: int, whose: str) -> None:
    """Check that a sequence has no more than `length` places.

    Not while it is exported: the check would bound an open length, and `first_places` fails there.

    Args:
        count: places of the sequence.
        length: for how many there are parameters.
        whose: what has the parameters, with its article.

    Raises:
        ValueError: it has.
    """
    if not torch.compiler.is_exporting() and count > length:
        raise ShapeError(
            f"a sequence of {count} places is too long for {whose} of {length}; "
            f"build it with length={count}"
        )


def first_places(parameter: Tensor, axis: int, count: int) -> Tensor:
    """The first `count` places of a parameter's axis.

    Exported, they are looked up: a slice asks whether it is the whole, which would bar the greatest
    length from an open one.
    """
    if torch.compiler.is_exporting():
        return parameter.index_select(axis, torch.arange(count, device=parameter.device))
    return parameter.narrow(axis, 0, count)
