"""Batches, splits and permutations of symbolic Raven matrices against the reference arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attenergy.tasks import IGNORE, Raven
from attenergy.tasks.raven.prior import all_combinations
from attenergy.tasks.raven.task import permute_columns, tokenise

REFERENCE = ("train_0", "train_1", "ood_0", "ood_1")


@pytest.mark.parametrize(
    "batch", [*REFERENCE, "test_unpermuted_0", "test_unpermuted_1", "ood_unpermuted_1"]
)
def test_tokens_and_targets_are_those_of_the_reference(golden, batch: str) -> None:
    arrays = golden("sraven_batches")
    ours = tokenise(torch.tensor(arrays[f"{batch}_instances"]).long(), 8)
    np.testing.assert_array_equal(ours.inputs.numpy(), arrays[f"{batch}_x"])
    np.testing.assert_array_equal(ours.targets[:, -4:].numpy(), arrays[f"{batch}_y"])
    assert (ours.targets[:, :-4] == IGNORE).all()


@pytest.mark.parametrize("batch", REFERENCE)
def test_columns_are_permuted_as_in_the_reference(golden, batch: str) -> None:
    arrays = golden("sraven_batches")
    before, order = (
        torch.tensor(arrays[f"{batch}_{name}"]).long() for name in ("instances_unpermuted", "perms")
    )
    np.testing.assert_array_equal(
        permute_columns(before, order).numpy(), arrays[f"{batch}_instances"]
    )


def test_combinations_are_those_of_the_reference(golden) -> None:
    np.testing.assert_array_equal(
        all_combinations(8, 4).numpy(), golden("sraven_splits")["latents_all"]
    )


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 2024])
def test_splits_have_the_sizes_of_the_reference(golden, seed: int) -> None:
    arrays, task = golden("sraven_splits"), Raven(split_seed=seed)
    seen, held_out = (
        arrays["latents_all"][arrays[f"idx_{part}_seed{seed}"]] for part in ("in", "ood")
    )
    assert task.in_distribution.shape == seen.shape
    assert task.held_out.shape == held_out.shape
    ours = torch.cat([task.in_distribution, task.held_out]).tolist()
    assert sorted(ours) == sorted([*seen.tolist(), *held_out.tolist()])


@pytest.mark.parametrize("batch", REFERENCE)
def test_the_rule_behind_each_target_of_the_reference(golden, batch: str) -> None:
    arrays, task = golden("sraven_batches"), Raven()
    fields = {
        ours: torch.tensor(arrays[f"{batch}_{theirs}"]).long()
        for ours, theirs in (
            ("panels", "instances"),
            ("rules", "latents"),
            ("permutations", "perms"),
        )
    }
    rules = task.encode(fields).rules
    plain = torch.tensor(arrays[f"{batch}_instances_unpermuted"]).long()
    for place in range(4):
        feature = fields["permutations"][:, 2, place]
        grids = plain.gather(-1, feature[:, None, None, None].expand(-1, 3, 3, 1))[..., 0]
        for number, rule in enumerate(task.rules):
            assert rule.holds(grids[rules[:, place] == number], 8).all()
