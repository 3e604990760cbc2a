"""The arrays of a file with sequences: what there is, and whether it fits together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attenergy.registry import DataError, nearest
from attenergy.tasks.data.arrays import read_arrays
from attenergy.tasks.data.splitting import split_number

_KNOWN = ("x", "y", "lengths", "split")
_MOST_TOKENS = 1 << 20


@dataclass(frozen=True)
class Arrays:
    """x: int64 (N, L) or (N, L, channels), or float32 (N, L, F); lengths: (N,), or None."""

    x: Tensor
    lengths: Tensor | None

    @property
    def seen(self) -> Tensor:
        """(N, L): False at padding."""
        if self.lengths is None:
            return torch.ones(self.x.shape[:2], dtype=torch.bool)
        return torch.arange(self.x.shape[1]) < self.lengths[:, None]


def read_sequences(path: Path, name: str) -> tuple[Arrays, dict[str, Any]]:
    """The sequences of a file, and all of its arrays.

    Args:
        path: the file.
        name: what errors call it.

    Raises:
        ArgumentError: there are none, or others.
    """
    arrays = read_arrays(path)
    for key in arrays:
        if key not in _KNOWN:
            hint = nearest(key, _KNOWN)
            raise DataError(
                f"{name}: unknown array {key!r:.60}{f' ({hint})' if hint else ''}; "
                f"known: {', '.join(_KNOWN)}"
            )
    x = arrays.get("x")
    if not isinstance(x, Tensor) or x.ndim not in {2, 3} or not all(x.shape):
        raise DataError(
            f"{name}: needs an array 'x' of sequences, (N, L) or (N, L, F), got "
            f"{'none' if x is None else shape_of(x)}"
        )
    return Arrays(_inputs(name, x), _lengths(name, arrays.get("lengths"), x)), arrays


def given_splits(arrays: dict[str, Any], rows: int, name: str) -> Tensor | None:
    """The split of each row, if the file says it.

    Raises:
        ArgumentError: it says something else.
    """
    split = arrays.get("split")
    if split is None:
        return None
    if split.shape != (rows,):
        raise DataError(f"{name}: 'split' must be ({rows},), got {shape_of(split)}")
    if isinstance(split, Tensor):
        if split.is_floating_point() or not ((split >= 0) & (split <= 2)).all():
            raise DataError(f"{name}: 'split' is 0, 1 or 2: train, valid, test")
        return split.long()
    where = f"{name}: 'split'"
    return torch.tensor([split_number(str(each), where) for each in split])


def _inputs(path: str, x: Tensor) -> Tensor:
    if x.is_floating_point():
        if not x.isfinite().all():
            raise DataError(f"{path}: 'x' is not finite in row {first_row(~x.isfinite())}")
        vectors = (x if x.ndim == 3 else x[..., None]).float()
        if not vectors.isfinite().all():
            row = first_row(~vectors.isfinite())
            raise DataError(f"{path}: 'x' has a number beyond 3.4e38, as float32, in row {row}")
        return vectors
    tokens = x.long()
    if tokens.min() < 0 or tokens.max() >= _MOST_TOKENS:
        raise DataError(
            f"{path}: tokens 'x' are whole numbers from 0 to {_MOST_TOKENS - 1}, got "
            f"{int(tokens.min())} to {int(tokens.max())}; for numbers save a float array"
        )
    return tokens


def _lengths(path: str, lengths: Any, x: Tensor) -> Tensor | None:
    if lengths is None:
        return None
    rows, most = x.shape[:2]
    if not isinstance(lengths, Tensor) or lengths.is_floating_point() or lengths.shape != (rows,):
        raise DataError(
            f"{path}: 'lengths' must be whole numbers ({rows},), got {shape_of(lengths)}"
        )
    wrong = (lengths < 1) | (lengths > most)
    if wrong.any():
        row = first_row(wrong)
        raise DataError(
            f"{path}: 'lengths' are from 1 to {most}, got {int(lengths[row])} in row {row}"
        )
    return lengths.long()


def first_row(wrong: Tensor) -> int:
    """The first row, from 0, in which something is true."""
    return int(wrong.flatten(1).any(1).nonzero()[0] if wrong.ndim > 1 else wrong.nonzero()[0])


def shape_of(array: Any) -> str:
    """The shape and the type of an array, for an error."""
    shape = getattr(array, "shape", None)
    return repr(array)[:60] if shape is None else f"{tuple(shape)} of {array.dtype}"
