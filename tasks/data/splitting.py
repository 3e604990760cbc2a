"""Which row of a finite set belongs to which split: by shares and a seed, or as it is given.

No two splits share a row: rows whose inputs are equal, to the bit, stand in one split alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from attenergy.registry import DataError, TaskOptionError
from attenergy.tasks.core.contents import row_codes
from attenergy.tasks.core.streams import seed_of

SPLITS = ("train", "valid", "test")
FEWEST = 2  # rows of a split
_AT_ONCE = 1 << 22  # numbers that are hashed at a time
#: What a user may call a split.
_NAMES = {"train": 0, "training": 0, "valid": 1, "val": 1, "validation": 1, "dev": 1, "test": 2}


def split_number(name: str, where: str) -> int:
    """0, 1 or 2 for a user's name of a split.

    Raises:
        ArgumentError: it is no name of one; `where` begins the text.
    """
    number = _NAMES.get(name.strip().lower())
    if number is None:
        raise DataError(f"{where}: a split is train, valid or test, got {name!r:.60}")
    return number


def check_shares(valid: object, test: object) -> None:
    """Raise ArgumentError unless both are shares in (0, 1) that leave something to train with."""
    for name, share in (("valid", valid), ("test", test)):
        number = isinstance(share, (int, float)) and not isinstance(share, bool)
        if not (number and 0 < share < 1):  # type: ignore[operator]
            raise TaskOptionError(
                f"'{name}' must be a share of the rows in (0, 1), got {share!r:.40}"
            )
    assert isinstance(valid, (int, float))
    assert isinstance(test, (int, float))
    if valid + test >= 1:
        raise TaskOptionError(
            f"'valid' and 'test' must leave rows to train with, got {valid:g} + {test:g}"
        )


def row_keys(rows: Tensor) -> Tensor:
    """One int64 (N,) for each row of (N, ...); rows that are equal, to the bit, have equal ones.

    0 and -0 are equal, and so are all NaN.
    """
    flat = rows.flatten(1) if rows.ndim > 1 else rows[:, None]
    step = max(1, _AT_ONCE // max(1, flat.shape[1]))
    return torch.cat([row_codes(_bits(part)) for part in torch.split(flat, step)])


def _bits(rows: Tensor) -> Tensor:
    if not rows.is_floating_point():
        return rows.long()
    whole = (rows + 0.0).double()
    return torch.where(whole.isnan(), torch.nan, whole).view(torch.int64)


def split_rows(
    keys: Tensor,
    strata: Tensor,
    shares: Mapping[str, float],
    split_seed: int,
    given: Tensor | None = None,
) -> tuple[dict[str, Tensor], list[str]]:
    """The rows of each split, in an order that does not depend on theirs, and what is to be said.

    Without `given`, every class is divided by the shares. Rows with equal keys count as one and go
    to one split. With `given`, what stands in training and elsewhere too is left out of training,
    what stands in valid and test out of valid; a split that nobody is given to is taken from
    training by its share.

    Args:
        keys: (N,), equal where inputs are.
        strata: (N,), whole numbers from 0: the classes, or 0 for all.
        shares: of valid and test.
        split_seed: decides who falls to which.
        given: (N,), 0 for train, 1 for valid, 2 for test, -1 for none.

    Raises:
        ArgumentError: a split has fewer than two rows.
    """
    if given is None:
        parts, notes = _by_shares(keys, strata, shares, split_seed)
    else:
        parts, notes = _as_given(keys, given)
        missing = [name for name in SPLITS[1:] if not len(parts[name])]
        if missing and len(parts["train"]):
            train = parts["train"]
            left = {name: shares[name] if name in missing else 0.0 for name in SPLITS[1:]}
            drawn, more = _by_shares(keys[train], strata[train], left, split_seed)
            parts |= {name: train[drawn[name]] for name in ("train", *missing)}
            notes += [f"{' and '.join(missing)} taken from training by the seed", *more]
    sizes = {name: len(rows) for name, rows in parts.items()}
    if min(sizes.values()) < FEWEST:
        said = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise DataError(
            f"{len(keys)} rows ({len(torch.unique(keys))} different) give {said}; each split needs "
            f"at least {FEWEST}: bring more rows, or larger shares 'valid' and 'test'"
        )
    return parts, notes


def _by_shares(
    keys: Tensor, strata: Tensor, shares: Mapping[str, float], split_seed: int
) -> tuple[dict[str, Tensor], list[str]]:
    unique, group = torch.unique(keys, return_inverse=True)
    stratum = torch.full((len(unique),), torch.iinfo(torch.int64).max)
    stratum.scatter_reduce_(0, group, strata, "amin")
    generator = Generator().manual_seed(seed_of("rows", split_seed))
    order = torch.randperm(len(unique), generator=generator)
    order = order[stratum[order].argsort(stable=True)]
    _, counts = torch.unique(stratum, return_counts=True)
    split = torch.zeros(len(unique), dtype=torch.int64)
    for groups in torch.split(order, counts.tolist()):
        size, start = len(groups), 0
        for number in (2, 1):
            end = start + math.floor(shares[SPLITS[number]] * size + 0.5)
            split[groups[start : min(end, size - 1)]] = number  # one is left to train with
            start = end
    # By their keys, so that a file whose lines are shuffled gives the same splits.
    rows = group.argsort(stable=True)
    of_row = split[group]
    equal = len(keys) - len(unique)
    notes = [f"{equal} rows equal others in their inputs: such stand in one split"] if equal else []
    return {name: rows[of_row[rows] == k] for k, name in enumerate(SPLITS)}, notes


def _as_given(keys: Tensor, given: Tensor) -> tuple[dict[str, Tensor], list[str]]:
    of = {name: keys[given == k] for k, name in enumerate(SPLITS)}
    twice = (given == 0) & (torch.isin(keys, of["valid"]) | torch.isin(keys, of["test"]))
    twice |= (given == 1) & torch.isin(keys, of["test"])
    order = keys.argsort(stable=True)
    chosen = given.masked_fill(twice, -1)[order]
    notes = [
        f"{count} rows of {name} are left out: their inputs stand in a later split, too"
        for k, name in enumerate(SPLITS[:2])
        if (count := int((twice & (given == k)).sum()))
    ]
    return {name: order[chosen == k] for k, name in enumerate(SPLITS)}, notes
