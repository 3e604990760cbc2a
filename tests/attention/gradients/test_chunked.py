"""Splitting over states: when, how many rows, and that memory follows."""

from __future__ import annotations

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from attenergy.attention import gradient
from attenergy.attention.gradients import chunked
from attenergy.attention.gradients import gradient as update
from attenergy.attention.gradients.chunked import can_chunk, chunks_pay, in_chunks
from attenergy.energies import make_energy
from attenergy.registry import load_registry
from attenergy.testing.cases import float64
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)


def make(name, **options):
    with float64():
        return make_energy(name, dim=4, registry=REGISTRY, **options)


def test_states_that_interact_are_not_split():
    for name, can in (("rbm", True), ("elliptical", True), ("energy_transformer", False)):
        assert can_chunk(make(name)) is can
    with pytest.raises(ValueError, match=r"no backend 'chunked'; it has eager, traced$"):
        gradient(make("energy_transformer"), draw(2, 3, 4), draw(2, 3, 4), backend="chunked")


def test_auto_splits_from_the_threshold_on(monkeypatch):
    calls = []

    def spy(*args):
        calls.append(args)
        return in_chunks(*args)

    monkeypatch.setattr(update, "in_chunks", spy)
    xi, X = draw(2, 3, 6, 4), draw(2, 3, 5, 4)
    names = ("polynomial", "elliptical", "energy_transformer", "lse")
    energies = [make(name) for name in names]
    monkeypatch.setattr(chunked, "THRESHOLD", 2 * 3 * 6 * 5 * 8 + 1)
    for energy in energies:
        gradient(energy, xi, X)
    assert not chunks_pay(xi, X)
    assert not calls
    monkeypatch.setattr(chunked, "THRESHOLD", 2 * 3 * 6 * 5 * 8)
    assert chunks_pay(xi, X)
    for energy in energies:
        gradient(energy, xi, X)
    assert [call[1] for call in calls] == [energies[0], energies[1], energies[3]]
    calls.clear()
    gradient(make("rbm"), xi, X)  # what is read in blocks holds no scores either
    assert not calls
    monkeypatch.setattr(update, "fused_pays", lambda X, field: True)
    gradient(energies[3], xi, X, field=draw(6, 5))  # the fused kernel keeps no scores
    assert not calls
    gradient(
        energies[3], xi, X, field=draw(6, 5).requires_grad_()
    )  # with a field that learns, it does
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("least", "most", "sizes"), [(128, 1, [128, 128, 44]), (4, 900, [30] * 10)]
)
def test_rows_of_a_chunk(least, most, sizes, monkeypatch):
    monkeypatch.setattr(chunked, "LEAST_ROWS", least)
    monkeypatch.setattr(chunked, "CHUNK", most)
    seen = []

    def rows(energy, xi, mask, field, X):
        seen.append((xi.shape[-2], mask.shape[-2], field.shape[-2]))
        return xi

    xi, X, field = draw(2, 3, 300, 4), draw(5, 4), draw(1, 5)
    mask = torch.ones(300, 5, dtype=torch.bool)
    out = in_chunks(rows, make("rbm"), xi, (X,), mask, field)
    assert torch.equal(out, xi)
    assert seen == [(n, n, 1) for n in sizes]  # an axis of length 1 is not split


def test_under_vmap_checkpoint_and_no_grad(monkeypatch):
    monkeypatch.setattr(chunked, "LEAST_ROWS", 2)
    monkeypatch.setattr(chunked, "CHUNK", 1)
    for name in ("rbm", "elliptical"):
        energy, xi, X = make(name), draw(2, 5, 4).requires_grad_(), draw(2, 6, 4)

        def step(xi, X, energy=energy):
            return gradient(energy, xi, X, backend="chunked")

        want = step(xi, X)
        torch.testing.assert_close(torch.vmap(step)(xi, X), want)
        with torch.no_grad():
            assert not step(xi, X).requires_grad
        outs = want, checkpoint(step, xi, X, use_reentrant=False)
        wanted, again = (torch.autograd.grad(out.square().sum(), xi) for out in outs)
        torch.testing.assert_close(again, wanted)


class _Saved(torch.utils._python_dispatch.TorchDispatchMode):
    """The largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return out


@pytest.mark.parametrize("name", ["rbm", "elliptical"])
def test_no_tensor_grows_with_states_times_patterns(name, monkeypatch):
    monkeypatch.setattr(chunked, "LEAST_ROWS", 8)
    monkeypatch.setattr(chunked, "CHUNK", 1)
    energy = make(name)
    for backend, largest in (("chunked", 8 * 200), ("auto", 200 * 200)):
        xi, X = draw(200, 4).requires_grad_(), draw(200, 4).requires_grad_()
        with _Saved() as seen:
            gradient(energy, xi, X, backend=backend).square().sum().backward()
        assert seen.largest == largest
