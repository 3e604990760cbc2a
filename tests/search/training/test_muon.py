"""Muon over all matrices of one shape at once."""

from __future__ import annotations

import copy

import torch
from torch import nn

from attenergy.search.training.muon import BatchedMuon

_SHAPES = ((6, 4), (4, 6), (4, 4), (6, 4), (4, 4), (8, 2))


def _matrices() -> list[nn.Parameter]:
    draws = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=draws)) for shape in _SHAPES]


def _train(matrices: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    target = torch.Generator().manual_seed(1)
    wanted = [torch.randn(m.shape, generator=target) for m in matrices]
    for step in range(4):
        optimizer.zero_grad()
        chosen = matrices if step != 2 else matrices[1:]  # one has no gradient for once
        sum(
            (m - w).pow(2).sum() for m, w in zip(chosen, wanted[-len(chosen) :], strict=True)
        ).backward()
        optimizer.step()


def test_it_gives_what_muon_gives() -> None:
    plain, batched = _matrices(), _matrices()
    recipe = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.95}
    theirs = torch.optim.Muon(plain, **recipe)
    ours = BatchedMuon(batched, **recipe)
    _train(plain, theirs)
    _train(batched, ours)
    for one, other, start in zip(plain, batched, _matrices(), strict=True):
        # bfloat16 has 8 bits, and kernels may add in another order.
        torch.testing.assert_close(one, other, rtol=0, atol=2e-3)
        assert (one - start).abs().max() > 0.02
    wanted, given = theirs.state_dict(), ours.state_dict()
    assert wanted["state"].keys() == given["state"].keys()
    for name, state in wanted["state"].items():
        torch.testing.assert_close(state, given["state"][name], rtol=0, atol=2e-3)


def test_what_muon_saved_is_read() -> None:
    matrices = _matrices()
    optimizer = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1)
    _train(matrices, optimizer)
    other = BatchedMuon(copy.deepcopy(matrices), lr=0.1, weight_decay=0.0)
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["lr"] == 0.02
    assert len(other.state) == len(matrices)
