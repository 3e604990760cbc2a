"""Checks of mixers that have parameters for every place of a sequence."""

from __future__ import annotations

from torch import Tensor


def check_length(length: int) -> int:
    """Return the number of places.

    Raises:
        ValueError: it is below 1.
    """
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    return length


def check_places(sequence: Tensor, length: int) -> None:
    """Check that a sequence (B, N, width) has no more than `length` places.

    Raises:
        ValueError: it has.
    """
    if sequence.shape[1] > length:
        raise ValueError(
            f"a sequence of {sequence.shape[1]} places is too long for a mixer of {length}; "
            "build it with a greater length"
        )
