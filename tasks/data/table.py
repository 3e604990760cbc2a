"""Rows of a table, each column a token: classification or regression of one column."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.registry import DataError, UnknownName
from attenergy.tasks.core.base import check_known
from attenergy.tasks.core.batches import Batch, Inputs
from attenergy.tasks.core.streams import Fields
from attenergy.tasks.data.base import DataTask
from attenergy.tasks.data.columns import MOST_CATEGORIES, Column, read_csv
from attenergy.tasks.data.files import (
    bytes_of,
    content_of,
    existing,
    is_builtin,
    signature,
    sklearn_set,
)
from attenergy.tasks.data.prepared import Loaded, Prepared, with_query
from attenergy.tasks.data.splitting import row_keys, split_number

ANSWERS = ("auto", "class", "number")
_MOST_CLASSES_OF_NUMBERS = 20  # a target with more different whole numbers is a number


class Table(DataTask):
    """Each column of a table is a token; the target column is asked for at a query after them.

    Column c has a vector that is zero but at places of its own: for a number x there stands
    (x - mean)/deviation, for a category a 1 at the place of that category, and a 1 at one more
    place where the cell is missing, or of a category that training does not know. So a model has
    weights for each column, and positions tell it which is which.

    `answer: auto` takes a target of texts, or of at most 20 different whole numbers, for classes,
    any other one for a number. See `DataTask` for splits, metrics and chance.

    Args:
        path: a CSV file, as `read_csv` takes it; or `sklearn:NAME`.
        target: the column that is asked for.
        ignore: columns that are left out, a,b.
        categorical: columns of numbers that stand for categories, a,b.
        answer: auto, class or number.
        split: a column that says train, valid or test for each row; if empty, shares do.
        valid: share of the rows.
        test: share of the rows.
        content: hash of the data, checked; written by the toolkit.
        facts: written by the toolkit.
        name: name in reports.
        seed: decides the order in training.
        split_seed: decides the splits.

    Raises:
        ValueError: the file or a column is not there, or what they hold cannot be used; the text
            says what was got and what is allowed.

    Source of the tokens: Gorishniy et al. 2021, arXiv:2106.11959 (feature tokenizer).

    Example:
        >>> with open("shop.csv", "w") as file:
        ...     for line in ("size,bought", *(f"{k}.5,{('no', 'yes')[k % 2]}" for k in range(40))):
        ...         print(line, file=file)
        >>> task = Table(path="shop.csv", target="bought")
        >>> task.batch("train", 0, 4).inputs.shape
        torch.Size([4, 2, 1])
    """

    def __init__(  # noqa: PLR0913 - the options of the task
        self,
        *,
        path: str = "",
        target: str = "",
        ignore: str = "",
        categorical: str = "",
        answer: str = "auto",
        split: str = "",
        valid: float = 0.15,
        test: float = 0.15,
        content: str = "",
        facts: str = "",
        name: str = "table",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.path, self.target, self.split_column = str(path), str(target), str(split)
        self.ignore, self.categorical = names(ignore), names(categorical)
        self.answer_kind = check_known("answer", answer, ANSWERS)
        super().__init__()

    def signature(self) -> Hashable:
        """Of the file."""
        return None if is_builtin(self.path) else signature(existing(self.path, "a CSV file"))

    def load(self) -> Loaded:
        """Read the columns and take the target out of them."""
        columns, content = self._columns()
        by_name = {column.name: column for column in columns}
        for name in (*self.ignore, *self.categorical, *filter(None, [self.split_column])):
            if name not in by_name:
                raise UnknownName(f"column of {self.path}", name, by_name)
        if not self.target:
            raise DataError(
                f"name the column to predict with --set target=COLUMN; {self.path} has "
                f"{', '.join(by_name)}"
            )
        if self.target not in by_name:
            raise UnknownName(f"column of {self.path}", self.target, by_name)
        apart = {self.target, self.split_column, *self.ignore}
        read = [
            column.as_categories() if column.name in self.categorical else column
            for column in columns
            if column.name not in apart
        ]
        self._check(read)
        targets, classes, notes = self._targets(by_name[self.target])
        cells = torch.stack([column.values for column in read], 1)
        missing = int(cells.isnan().sum())
        return Loaded(
            targets=targets,
            keys=row_keys(cells),
            content=content,
            classes=classes,
            given=None if not self.split_column else self._given(by_name[self.split_column]),
            raw=read,
            notes=(*notes, *([f"{missing} cells are missing"] if missing else [])),
        )

    def _columns(self) -> tuple[list[Column], str]:
        data = sklearn_set(self.path)
        if data is None:
            file = existing(self.path, "a CSV file")
            content = content_of(bytes_of(file))  # first: it sees whether the file is too large
            return read_csv(file), content
        values = torch.as_tensor(data.data, dtype=torch.float64)
        columns = [
            Column(str(name), column.contiguous())
            for name, column in zip(data.feature_names, values.T, strict=True)
        ]
        target = torch.as_tensor(data.target, dtype=torch.float64)
        known = getattr(data, "target_names", None)
        classes = None if known is None else tuple(map(str, known))
        digest = hashlib.sha256(values.numpy().tobytes() + target.numpy().tobytes()).hexdigest()
        return [*columns, Column("target", target, classes)], digest[:16]

    def _check(self, columns: list[Column]) -> None:
        if not columns:
            raise DataError(f"{self.path}: no column is left beside the target")
        for column in columns:
            if column.categories is not None and len(column.categories) > MOST_CATEGORIES:
                raise DataError(
                    f"{self.path}: column {column.name!r} has more than {MOST_CATEGORIES} "
                    f"different texts; leave it out with --set ignore={column.name}"
                )

    def _targets(self, column: Column) -> tuple[Tensor, tuple[str, ...], list[str]]:
        """The targets, the names of the classes, and how that was decided."""
        if column.values.isnan().any():
            row = int(column.values.isnan().nonzero()[0, 0]) + 1
            many = column.categories is not None and len(column.categories) > MOST_CATEGORIES
            why = (
                f"has more than {MOST_CATEGORIES} different texts"
                if many
                else f"is missing in row {row}; leave such rows out"
            )
            raise DataError(f"{self.path}: the target {column.name!r} {why}")
        kind = self.answer_kind
        if kind == "auto":
            kind = "class" if column.categories is not None or _few(column.values) else "number"
        if kind == "number":
            if column.categories is not None:
                raise DataError(
                    f"{self.path}: the target {column.name!r} holds texts, such as "
                    f"{column.categories[0]!r}, so answer=number does not fit; allowed: class"
                )
            return column.values[:, None], (), [f"{column.name} is a number: regression"]
        column = column.as_categories()
        classes = column.categories or ()
        counts = column.values.long().bincount(minlength=len(classes)).tolist()
        shown = ", ".join(f"{n} {k}" for n, k in list(zip(classes, counts, strict=True))[:10])
        note = f"{column.name} is a class, {len(classes)} of them: {shown}"
        return column.values.long(), classes, [note + (" ..." if len(classes) > 10 else "")]

    def _given(self, column: Column) -> Tensor:
        where = f"{self.path}: column {column.name!r}"
        if column.categories is None or column.values.isnan().any():
            raise DataError(f"{where}: every row must say train, valid or test")
        numbers = torch.tensor([split_number(name, where) for name in column.categories])
        return numbers[column.values.long()]

    def fit(self, loaded: Loaded, train: Tensor) -> tuple[Inputs, Fields]:
        """Places `slot` and what stands there, `value`, both (N, columns)."""
        slots, values, size = [], [], 0
        for column in loaded.raw:
            slot, value, used = _slots(column, train)
            slots.append(slot + size)
            values.append(value)
            size += used
        fields = {"slot": torch.stack(slots, 1), "value": torch.stack(values, 1).float()}
        return Inputs("vector", size, len(slots) + 1), fields

    def encode(self, instances: Fields) -> Batch:
        """The columns as vectors (B, columns + 1, size), the query last."""
        slot, value = instances["slot"], instances["value"]
        tokens = torch.zeros(*slot.shape, self.inputs.size)
        tokens.scatter_(2, slot[..., None], value[..., None])
        return with_query(tokens, self.answers(instances))

    def show(self, prepared: Prepared, row: int) -> TableRow:
        """The cells of a row, and its target."""
        cells = tuple((column.name, column.text(row)) for column in prepared.loaded.raw)
        return TableRow(cells, self.target, self.answer(prepared, row))


def _slots(column: Column, train: Tensor) -> tuple[Tensor, Tensor, int]:
    """Where each cell of a column stands, what stands there, and how many places there are."""
    values = column.values
    seen = values[train]
    seen = seen[~seen.isnan()]
    unknown = values.isnan()
    if column.categories is None:
        centre = seen.mean() if len(seen) else torch.tensor(0.0)
        spread = seen.std(correction=0) if len(seen) else torch.tensor(0.0)
        scaled = (values - centre) / (spread if spread > 0 else 1.0)
        size = 1
        slot, value = torch.zeros(len(values), dtype=torch.int64), scaled
    else:
        known = torch.unique(seen.long())
        size = len(known)
        unknown = unknown | ~torch.isin(values.nan_to_num().long(), known)
        slot = torch.searchsorted(known, values.nan_to_num().long())
        value = torch.ones(len(values), dtype=torch.float64)
    if not unknown.any():
        return slot, value, size
    return slot.masked_fill(unknown, size), value.masked_fill(unknown, 1.0), size + 1


def _few(values: Tensor) -> bool:
    return bool((values == values.round()).all()) and len(torch.unique(values)) <= (
        _MOST_CLASSES_OF_NUMBERS
    )


def names(text: object) -> tuple[str, ...]:
    """`a,b` as names."""
    return tuple(part.strip() for part in str(text).split(",") if part.strip())


@dataclass(frozen=True)
class TableRow:
    """The named cells of a row, and its target."""

    cells: tuple[tuple[str, str], ...]
    target: str
    answer: str

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.cells)
        lines = [f"{name.ljust(width)}  {text}" for name, text in self.cells]
        return "\n".join([*lines, f"-> {self.target}: {self.answer}"])
