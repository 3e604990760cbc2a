"""Sequences in an npz or safetensors file: their class or number, or the next step of each."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from attenergy.registry import DataError
from attenergy.tasks.core.base import IGNORE, check_known
from attenergy.tasks.core.batches import Batch, Inputs
from attenergy.tasks.core.streams import Fields
from attenergy.tasks.data.base import DataTask
from attenergy.tasks.data.files import bytes_of, content_of, existing, signature
from attenergy.tasks.data.prepared import MOST_CLASSES, Loaded, Prepared, at_last, padded
from attenergy.tasks.data.sequence_arrays import (
    Arrays,
    first_row,
    given_splits,
    read_sequences,
    shape_of,
)
from attenergy.tasks.data.splitting import row_keys

ANSWERS = ("auto", "class", "number")
_MOST_BYTES = 1 << 30


class Sequences(DataTask):
    """N sequences x of length L, each with an answer y, from the arrays of a file.

    `x`: whole numbers (N, L), tokens, or (N, L, C), C tokens side by side; or numbers (N, L) or
    (N, L, F), vectors that are standardised. `y`: whole numbers are classes, others are numbers.
    (N,), and numbers (N, T): asked for at a query after the sequence. (N, L), and numbers (N, L,
    T): asked for at every position; -100 or NaN where not. `lengths` (N,): what comes after is
    padding. `split` (N,): train, valid or test, or 0, 1, 2; without it shares decide.

    See `DataTask` for splits, metrics and chance.

    Args:
        path: an .npz file (numpy.savez) or a .safetensors file with x, y, lengths, split.
        answer: auto, class, or number, for whole numbers that are no classes.
        valid: share of the rows.
        test: share of the rows.
        content: hash of the file, checked; written by the toolkit.
        facts: written by the toolkit.
        name: name in reports.
        seed: decides the order in training.
        split_seed: decides the splits.

    Raises:
        ValueError: arrays are missing or do not fit together; Python objects are never loaded.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).integers(0, 5, (40, 6))
        >>> np.savez("sums.npz", x=x, y=x.sum(1) % 2)
        >>> Sequences(path="sums.npz").batch("train", 0, 4).inputs.shape
        torch.Size([4, 7])
    """

    def __init__(
        self,
        *,
        path: str = "",
        answer: str = "auto",
        valid: float = 0.15,
        test: float = 0.15,
        content: str = "",
        facts: str = "",
        name: str = "sequences",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.path = str(path)
        self.answer_kind = check_known("answer", answer, ANSWERS)
        super().__init__()

    def signature(self) -> Hashable:
        """Of the file."""
        return signature(existing(self.path, "an .npz or .safetensors file"))

    def load(self) -> Loaded:
        """Read the arrays and see that they fit together."""
        known, arrays, content = self._read()
        if "y" not in arrays:
            raise DataError(
                f"{self.path}: no array 'y' with the answers; task 'next-step' needs none, it asks "
                f"for the next step of x"
            )
        x, y = known.x, arrays["y"]
        rows, length = x.shape[:2]
        if not isinstance(y, Tensor) or y.ndim not in {1, 2, 3} or len(y) != rows:
            raise DataError(
                f"{self.path}: 'y' must have a row for each of the {rows} of x, got {shape_of(y)}"
            )
        classes = not y.is_floating_point() and self.answer_kind != "number"
        if not classes and self.answer_kind == "class":
            raise DataError(f"{self.path}: answer=class needs whole numbers in 'y', got {y.dtype}")
        every = y.ndim > 1 and y.shape[1] == length and (y.ndim == 3 or length > 1)
        if y.ndim == 3 and (classes or not every):
            raise DataError(
                f"{self.path}: 'y' must be ({rows},), ({rows}, {length}) or, for numbers, ({rows}, "
                f"T) or ({rows}, {length}, T), got {shape_of(y)}"
            )
        if classes and y.ndim == 2 and not every:
            raise DataError(
                f"{self.path}: classes 'y' must be ({rows},) or ({rows}, {length}), got "
                f"{shape_of(y)}"
            )
        if classes:
            targets, names = self._classes(y.long(), known if every else None)
        else:
            numbers = y.double()
            if every:
                numbers = numbers if y.ndim == 3 else numbers[..., None]
                numbers = numbers.masked_fill(~known.seen[..., None], torch.nan)
            targets, names = (numbers if y.ndim > 1 else numbers[:, None]), ()
            if not every and targets.isnan().any():
                raise DataError(f"{self.path}: 'y' is NaN in row {first_row(targets.isnan())}")
        what = f"{len(names)} classes" if names else f"{targets.shape[-1]} numbers"
        where = "each position" if every else "the end"
        return self._loaded(
            known, arrays, targets, content, names, last=not every, note=f"{what} at {where}"
        )

    def _loaded(
        self,
        known: Arrays,
        arrays: dict[str, Any],
        targets: Tensor,
        content: str,
        names: tuple[str, ...],
        *,
        last: bool,
        note: str,
    ) -> Loaded:
        if not last:
            there = targets != IGNORE if names else ~targets.isnan().any(-1)
            if not there.any(1).all():
                row = first_row(~there.any(1))
                raise DataError(f"{self.path}: nothing is asked in row {row}")
        seen = known.seen
        keys = known.x.masked_fill(~seen.view(*seen.shape, *[1] * (known.x.ndim - 2)), 0)
        if known.lengths is not None:
            keys = torch.cat([keys.flatten(1), known.lengths[:, None].to(keys.dtype)], 1)
        return Loaded(
            targets=targets,
            keys=row_keys(keys),
            content=content,
            classes=names,
            given=given_splits(arrays, len(known.x), self.path),
            last=last,
            raw=known,
            notes=(f"{len(known.x)} sequences of {known.x.shape[1]}, {note}",),
        )

    def _read(self) -> tuple[Arrays, dict[str, Any], str]:
        path = existing(self.path, "an .npz or .safetensors file")
        content = content_of(bytes_of(path, _MOST_BYTES))
        return *read_sequences(path, self.path), content

    def _classes(self, y: Tensor, known: Arrays | None) -> tuple[Tensor, tuple[str, ...]]:
        targets = y if known is None else y.masked_fill(~known.seen, IGNORE)
        asked = targets != IGNORE if known is not None else torch.ones_like(targets) > 0
        if not asked.any():
            raise DataError(f"{self.path}: 'y' is {IGNORE} everywhere: nothing is asked")
        if (targets[asked] < 0).any():
            raise DataError(
                f"{self.path}: classes are whole numbers from 0, got "
                f"{int(targets[asked].min())} in row {first_row(asked & (targets < 0))}"
            )
        size = int(targets[asked].max()) + 1
        if size > MOST_CLASSES:
            raise DataError(
                f"{self.path}: {size:,} classes; at most {MOST_CLASSES:,}. Numbers that are none: "
                "--set answer=number"
            )
        return targets, tuple(map(str, range(size)))

    def fit(self, loaded: Loaded, train: Tensor) -> tuple[Inputs, Fields]:
        """The sequences `x`, vectors standardised, and their `lengths`."""
        known: Arrays = loaded.raw
        length = known.x.shape[1]
        extra = int(loaded.last)  # a position for the query, and a token or a place that marks it
        if known.x.is_floating_point():
            inside = known.x[train][known.seen[train]].double()
            spread = inside.std(0, correction=0)
            spread[spread == 0] = 1.0
            x = ((known.x - inside.mean(0)) / spread).float()
            inputs = Inputs("vector", x.shape[-1] + extra, length + extra)
        else:
            x = known.x
            channels = x.shape[2] if x.ndim == 3 else 1
            inputs = Inputs("token", int(x.max()) + 1 + extra, length + extra, channels)
        fields = {"x": x}
        if known.lengths is not None:
            fields["lengths"] = known.lengths
        return inputs, fields

    def encode(self, instances: Fields) -> Batch:
        """The sequences, and a query after them where the answer belongs to the whole."""
        x = instances["x"]
        mask = self._mask(instances)
        targets = self.answers(instances)
        if self.scored_positions is None:
            return Batch(x.clone(), targets, mask)
        if x.is_floating_point():
            x = F.pad(x, (0, 1, 0, 1))
            x[:, -1, -1] = 1.0
        else:
            pad = (0, 1) if x.ndim == 2 else (0, 0, 0, 1)
            x = F.pad(x, pad, value=self.inputs.size - 1)
        return Batch(x, at_last(targets, x.shape[1]), padded(mask))

    def _mask(self, instances: Fields) -> Tensor | None:
        if "lengths" not in instances:
            return None
        return torch.arange(instances["x"].shape[1]) < instances["lengths"][:, None]

    def show(self, prepared: Prepared, row: int) -> Sequence:
        """A sequence and its answer."""
        known: Arrays = prepared.loaded.raw
        return Sequence(known.x[row][known.seen[row]], self.answer(prepared, row))


class NextStep(Sequences):
    """At every position of a sequence the next step is asked for (the model must be causal).

    Sequences as those of `Sequences`, without y: tokens (N, L), or numbers (N, L) or (N, L, F).

    Args:
        path: an .npz or .safetensors file with x and perhaps lengths and split.
        valid: share of the rows.
        test: share of the rows.
        content: hash of the file, checked; written by the toolkit.
        facts: written by the toolkit.
        name: name in reports.
        seed: decides the order in training.
        split_seed: decides the splits.

    Example:
        >>> import numpy as np
        >>> np.savez("series.npz", x=np.random.default_rng(0).normal(size=(30, 6)))
        >>> NextStep(path="series.npz").batch("train", 0, 4).inputs.shape
        torch.Size([4, 5, 1])
    """

    def __init__(
        self,
        *,
        path: str = "",
        valid: float = 0.15,
        test: float = 0.15,
        content: str = "",
        facts: str = "",
        name: str = "next-step",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        super().__init__(path=path, valid=valid, test=test, content=content, facts=facts)

    def load(self) -> Loaded:
        """Read the arrays; what is asked for is x, one step on."""
        known, arrays, content = self._read()
        if "y" in arrays:
            raise DataError(f"{self.path}: holds 'y'; task 'sequences' asks for it")
        x = known.x
        if x.shape[1] < 2 or (known.lengths is not None and (known.lengths < 2).any()):
            raise DataError(f"{self.path}: a sequence needs two steps, so that one can follow")
        if not x.is_floating_point() and x.ndim == 3:
            raise DataError(f"{self.path}: tokens must be (N, L), got {shape_of(x)}")
        lengths = None if known.lengths is None else known.lengths - 1
        here = Arrays(x[:, :-1], lengths)
        if x.is_floating_point():
            targets = x[:, 1:].double().masked_fill(~here.seen[..., None], torch.nan)
            names: tuple[str, ...] = ()
        else:
            targets = x[:, 1:].masked_fill(~here.seen, IGNORE)
            names = tuple(map(str, range(int(x.max()) + 1)))
        what = f"the next of {len(names)} tokens" if names else f"the next {x.shape[2]} numbers"
        loaded = self._loaded(
            here, arrays, targets, content, names, last=False, note=f"{what} at each position"
        )
        whole = x if known.lengths is None else x.masked_fill(~_as(known.seen, x), 0)
        return replace(loaded, keys=row_keys(whole))


def _as(mask: Tensor, x: Tensor) -> Tensor:
    return mask if x.ndim == 2 else mask[..., None]


@dataclass(frozen=True)
class Sequence:
    """A sequence without its padding, and its answer."""

    steps: Tensor
    answer: str

    def __str__(self) -> str:
        if self.steps.is_floating_point():
            text = "\n".join(" ".join(f"{x:8.4g}" for x in row) for row in self.steps.tolist())
        else:
            text = " ".join(map(str, self.steps.tolist()))
        return f"{text}\n-> {self.answer}"
