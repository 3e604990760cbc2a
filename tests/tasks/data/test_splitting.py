from __future__ import annotations

from itertools import combinations

import pytest
import torch

from attenergy.tasks.core.streams import Epochs
from attenergy.tasks.data.splitting import (
    SPLITS,
    check_shares,
    row_keys,
    split_number,
    split_rows,
)

SHARES = {"valid": 0.15, "test": 0.25}


def split(keys, strata=None, seed=0, given=None, shares=SHARES):
    keys = torch.as_tensor(keys)
    strata = torch.zeros_like(keys) if strata is None else torch.as_tensor(strata)
    given = None if given is None else torch.as_tensor(given)
    return split_rows(keys, strata, shares, seed, given)


def test_every_row_belongs_to_one_split_by_the_shares_of_each_class() -> None:
    keys = torch.randperm(1 << 20)[:200]
    strata = torch.arange(200) % 4 // 3  # 150 and 50
    parts, notes = split(keys, strata)
    assert sorted(torch.cat(list(parts.values())).tolist()) == list(range(200))
    counts = {name: strata[rows].bincount(minlength=2).tolist() for name, rows in parts.items()}
    assert counts == {"train": [89, 29], "valid": [23, 8], "test": [38, 13]}
    assert not notes
    other, _ = split(keys, strata, seed=1)
    assert set(other["test"].tolist()) != set(parts["test"].tolist())


def test_the_order_of_the_rows_has_no_say() -> None:
    keys = torch.randperm(1 << 20)[:100]
    order = torch.randperm(100)
    parts, _ = split(keys)
    moved, _ = split(keys[order])
    for name in SPLITS:
        assert keys[parts[name]].tolist() == keys[order][moved[name]].tolist()


def test_equal_rows_stand_in_one_split_whatever_their_class() -> None:
    keys = torch.arange(40).repeat(3)
    parts, notes = split(keys, torch.arange(120) % 2)
    sets = [set(keys[rows].tolist()) for rows in parts.values()]
    assert all(not a & b for a, b in combinations(sets, 2))
    assert sum(map(len, parts.values())) == 120
    assert notes == ["80 rows equal others in their inputs: such stand in one split"]


def test_given_splits_lose_what_a_later_one_has() -> None:
    keys = [0, 1, 2, 3, 4, 5, 5, 1, 6, 2, 7, 8]
    given = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, -1]
    parts, notes = split(keys, given=given)
    assert {name: sorted(rows.tolist()) for name, rows in parts.items()} == {
        "train": [0, 3, 4], "valid": [6, 7, 8], "test": [9, 10],
    }  # fmt: skip
    assert notes == ["3 rows of train are left out: their inputs stand in a later split, too"]


def test_a_split_that_nobody_is_given_to_comes_out_of_training() -> None:
    parts, notes = split(range(50), given=[0] * 40 + [2] * 10)
    assert parts["test"].tolist() == list(range(40, 50))
    assert (len(parts["train"]), len(parts["valid"])) == (34, 6)
    assert not set(parts["train"].tolist()) & set(parts["valid"].tolist())
    assert notes == ["valid taken from training by the seed"]


@pytest.mark.parametrize(
    ("keys", "given", "said"),
    [
        ([1, 2, 3, 4, 5], None, r"5 rows \(5 different\) give train 3, valid 1, test 1"),
        ([1] * 50, None, r"50 rows \(1 different\) give train 50, valid 0, test 0"),
        ([1, 2, 3, 4], [1, 1, 2, 2], "train 0"),
    ],
)
def test_too_few_rows_are_refused(keys, given, said) -> None:
    with pytest.raises(ValueError, match=said):
        split(keys, given=given)


def test_keys_are_those_of_the_bits() -> None:
    rows = torch.tensor([[0.0, torch.nan], [-0.0, -torch.nan], [0.0, 1.0], [0.0, 1.0 + 2e-16]])
    keys = row_keys(rows.double())
    assert keys[0] == keys[1]
    assert len(keys.unique()) == 3 - 1  # 1 + 2e-16 is 1 in single precision
    assert len(row_keys(torch.arange(5000))) == len(row_keys(torch.arange(5000)).unique())
    blocks = torch.arange(24).view(4, 2, 3)
    assert torch.equal(row_keys(blocks), row_keys(blocks.view(4, 6)))


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan"), "a", True, None])
def test_shares_are_shares(share) -> None:
    for name, pair in (("valid", (share, 0.1)), ("test", (0.1, share))):
        with pytest.raises(ValueError, match=f"'{name}' must be a share of the rows"):
            check_shares(*pair)
    with pytest.raises(ValueError, match=r"must leave rows to train with, got 0.5 \+ 0.5"):
        check_shares(0.5, 0.5)


def test_names_of_splits() -> None:
    assert [split_number(n, "") for n in ("train", "Val", " test ", "dev")] == [0, 1, 2, 1]
    with pytest.raises(ValueError, match="here: a split is train, valid or test, got 'tets'"):
        split_number("tets", "here")


def test_an_epoch_has_every_row_once_and_orders_differ() -> None:
    def read(start: int, size: int, seed: int = 0, shuffled: bool = True) -> list[int]:
        stream = Epochs(lambda rows: {"x": rows}, 10, "key", seed, shuffled=shuffled)
        return stream.read(start, size)["x"].tolist()

    whole = read(0, 35)
    epochs = [whole[k : k + 10] for k in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert [row for k in range(0, 35, 7) for row in read(k, 7)] == whole
    assert read(0, 35, seed=1) != whole
    assert read(8, 5, shuffled=False) == [8, 9, 0, 1, 2]
    with pytest.raises(ValueError, match="start >= 0 and size >= 1, got -1 and 2"):
        read(-1, 2)
