"""Columns of a table: from a CSV file, or from a set that scikit-learn brings."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from attenergy.registry import DataError
from attenergy.registry.errors import clipped
from attenergy.registry.files import open_regular
from attenergy.tasks.data.facts import LARGEST

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})  # in any case of letters
MOST_CATEGORIES = 1000
_MOST_CELLS = 1 << 25
_MOST_COLUMNS = 2000
_DELIMITERS = ",;\t|"
_SHOWN = 60


@dataclass(frozen=True)
class Column:
    """Numbers of all rows, float64 (N,); NaN where missing. With `categories` they are places."""

    name: str
    values: Tensor
    categories: tuple[str, ...] | None = None

    def text(self, row: int) -> str:
        """A cell as people write it."""
        value = self.values[row].item()
        if math.isnan(value):
            return "missing"
        return f"{value:.6g}" if self.categories is None else self.categories[int(value)]

    def as_categories(self) -> Column:
        """The column with each different number as a category."""
        if self.categories is not None:
            return self
        known = ~self.values.isnan()
        different, places = torch.unique(self.values[known], return_inverse=True)
        if len(different) > MOST_CATEGORIES:
            raise DataError(
                f"column {self.name!r} has {len(different)} different numbers; at most "
                f"{MOST_CATEGORIES} are categories"
            )
        values = self.values.clone()
        values[known] = places.double()
        return Column(self.name, values, tuple(f"{x:.15g}" for x in different.tolist()))


@dataclass
class _Kind:
    """What is seen of a column in a first reading."""

    numeric: bool = True
    texts: set[str] = field(default_factory=set)

    def look(self, cell: str) -> None:
        if cell.lower() in MISSING:
            return
        if self.numeric:
            self.numeric = _number(cell) is not None
        if len(self.texts) <= MOST_CATEGORIES:
            self.texts.add(cell)


def read_csv(path: Path) -> list[Column]:
    """The columns of a CSV file (UTF-8) whose first line names them.

    The first line says what separates cells: a comma, semicolon, tab or bar. A column of which
    every cell is a number or missing holds numbers, any other one categories, in the order of
    their texts. Missing is what is empty, NA, N/A, NaN, null, None or ?.

    Raises:
        ArgumentError: it is no such file, or too large; the text says in which line.
    """
    names = _header(path)
    kinds = [_Kind() for _ in names]
    count = 0
    for line, cells in _rows(path, names):
        count += 1
        if count * len(names) > _MOST_CELLS:
            raise DataError(f"{path}:{line}: more than {_MOST_CELLS:,} cells, the limit")
        for kind, cell in zip(kinds, cells, strict=True):
            kind.look(cell)
    if not count:
        raise DataError(f"{path}: has no rows below the names of its columns")
    texts = [None if kind.numeric else sorted(kind.texts) for kind in kinds]
    return _encoded(path, names, texts)


def _encoded(path: Path, names: list[str], texts: Sequence[list[str] | None]) -> list[Column]:
    # A column of more texts than can be categories is left empty: it may be one to be ignored.
    places = [
        None if words is None else {word: float(k) for k, word in enumerate(words)}
        for words in texts
    ]
    values = [array("d") for _ in names]
    for line, cells in _rows(path, names):
        for name, column, known, cell in zip(names, values, places, cells, strict=True):
            if cell.lower() in MISSING:
                column.append(math.nan)
            elif known is not None:
                column.append(known.get(cell, math.nan))
            else:
                number = _number(cell)
                if number is None or not abs(number) <= LARGEST:
                    raise DataError(
                        f"{path}:{line}: column {name!r}: {clipped(repr(cell), _SHOWN)} is no "
                        f"finite number up to {LARGEST:g}"
                    )
                column.append(number)
    return [
        Column(
            name,
            torch.frombuffer(column, dtype=torch.float64),
            None if words is None else tuple(words),
        )
        for name, column, words in zip(names, values, texts, strict=True)
    ]


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _header(path: Path) -> list[str]:
    line, cells = next(_lines(path), (1, []))
    names = [cell.strip() for cell in cells]
    where = f"{path}:{line}"
    if len(names) < 2:
        raise DataError(
            f"{where}: the first line must name the columns, two or more, separated by one of "
            f"{' '.join(map(repr, _DELIMITERS))}; got {clipped(repr(','.join(names)), _SHOWN)}"
        )
    if len(names) > _MOST_COLUMNS:
        raise DataError(f"{where}: {len(names)} columns; at most {_MOST_COLUMNS} are read")
    for place, name in enumerate(names, 1):
        if not name or _number(name) is not None:
            raise DataError(
                f"{where}: the first line must name the columns; that of column {place} is "
                f"{clipped(repr(name), _SHOWN)}"
            )
        if name in names[: place - 1]:
            raise DataError(f"{where}: two columns are named {clipped(repr(name), _SHOWN)}")
    return names


def _rows(path: Path, names: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Every row with its line; empty lines are passed over."""
    lines = _lines(path)
    next(lines)
    for line, cells in lines:
        if not cells:
            continue
        if len(cells) != len(names):
            raise DataError(
                f"{path}:{line}: {len(cells)} cells, and the first line names {len(names)} columns"
            )
        yield line, [cell.strip() for cell in cells]


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with open_regular(path) as raw:
            first = raw.readline(1 << 20).decode("utf-8-sig")
            raw.seek(0)
            delimiter = max(_DELIMITERS, key=first.count)
            text = (line.decode("utf-8-sig" if k == 0 else "utf-8") for k, line in enumerate(raw))
            reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
            for cells in reader:
                yield reader.line_num, cells
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 text ({error.reason}); save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num + 1}: {error}") from None
