"""Reading in blocks against weights that are written out."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import gradient
from attenergy.attention.gradients import blocked
from attenergy.attention.gradients.gradient import read_values
from attenergy.energies import make_energy
from attenergy.energies.rows import apply
from attenergy.testing.cases import draw, float64

HEADS, STATES, STORED, DIM = 2, 5, 6, 3
ENERGIES = {
    "sparsemax": {},
    "entmax": {},
    "rbm": {"c": 0.4},
    "rbm, spin": {"prior": "spin"},
    "rbm, rectified": {"prior": "rectified"},
    "et_memory": {},
    "exponential": {},
}
MASKS = ("none", "causal", "padding", "empty rows", "for each head")

each_energy = pytest.mark.parametrize("name", ENERGIES)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few scores, so that samples, heads and rows are all cut."""
    monkeypatch.setattr(blocked, "LEAST_ROWS", 2)
    return lambda size: monkeypatch.setattr(blocked, "BLOCK", size)


@pytest.fixture
def written_out(monkeypatch):
    """Switch to weights that are written out, by the references of the kernels."""

    def switch():
        for module in (blocked, apply):
            monkeypatch.setattr(module, "fast_here", lambda *_: False)

    return switch


def energy_of(name):
    with float64():
        energy = make_energy(name.split(",")[0], dim=DIM, num_heads=HEADS, **ENERGIES[name])
    assert energy.has_row_form
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.add_(0.3 * draw(1, *parameter.shape))
    return energy


def mask_of(kind):
    if kind == "none":
        return None
    if kind == "causal":
        return torch.ones(STATES, STORED, dtype=torch.bool).tril()
    mask = torch.ones(3, 1, 1, STORED, dtype=torch.bool)
    if kind == "padding":
        mask[1, ..., 4:] = False
        return mask
    mask = draw(2, 3, HEADS if kind == "for each head" else 1, STATES, STORED) > -0.5
    mask[..., 0] = True
    if kind == "empty rows":
        mask[1, :, 2] = False
        mask[2] = False
    return mask


def problem(with_field):
    tensors = {
        "xi": 1.5 * draw(3, 3, HEADS, STATES, DIM),
        "X": draw(4, 3, HEADS, STORED, DIM),
        "values": draw(5, 3, HEADS, STORED, 4),
    }
    if with_field:
        tensors["field"] = draw(6, HEADS, STATES, STORED)
    return {name: tensor.requires_grad_() for name, tensor in tensors.items()}


def results(energy, tensors, mask):
    """What is read, the gradient of the energy, and first and second derivatives of both."""
    read = read_values(energy, **tensors, mask=mask, backend="scores")
    states = {name: t for name, t in tensors.items() if name != "values"}
    slope = gradient(energy, **states, mask=mask, backend="scores")
    inputs = [*tensors.values(), *energy.parameters()]
    loss = read.square().sum() + (slope * slope.detach().cos()).sum()
    first = torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)
    graph = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True)
    again = sum((g.square().sum() for g in graph if g is not None), start=torch.zeros(()))
    second = torch.autograd.grad(again, inputs, allow_unused=True)
    return [read, slope, *first, *second]


@each_energy
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("with_field", [False, True])
def test_equals_weights_written_out(name, kind, with_field, small_blocks, written_out):
    energy, tensors, mask = energy_of(name), problem(with_field), mask_of(kind)
    small_blocks(70)
    got = results(energy, tensors, mask)
    written_out()
    want = results(energy, tensors, mask)
    for one, other in zip(got, want, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@each_energy
@pytest.mark.parametrize("size", [1, 13, 31, 61, 200])
def test_any_cut_gives_the_same(name, size, small_blocks):
    energy, tensors = energy_of(name), problem(True)
    mask = mask_of("causal") if "spin" not in name else None
    whole = results(energy, tensors, mask)
    small_blocks(size)
    for one, other in zip(results(energy, tensors, mask), whole, strict=True):
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_patterns_shared_by_samples_and_states_without_heads():
    with float64():
        energy = make_energy("sparsemax", dim=DIM)
    xi, X = draw(7, 4, STATES, DIM).requires_grad_(), draw(8, STORED, DIM).requires_grad_()
    torch.autograd.gradcheck(lambda a, b: gradient(energy, a, b, backend="scores"), (xi, X))
    torch.autograd.gradcheck(lambda b: gradient(energy, xi[0], b, backend="scores"), (X,))


def test_more_batch_axes_are_written_out():
    with float64():
        energy = make_energy("rbm", dim=DIM)
    xi, X = draw(9, 2, 3, 2, STATES, DIM), draw(10, 2, 3, 2, STORED, DIM)
    eager = gradient(energy, xi, X, backend="eager")
    torch.testing.assert_close(gradient(energy, xi, X, backend="scores"), eager)


@each_energy
def test_autocast_gives_the_type_of_autocast(name):
    energy, tensors = energy_of(name).float(), problem(False)
    half = {n: t.detach().to(torch.bfloat16).requires_grad_() for n, t in tensors.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        read = read_values(energy, **half, backend="scores")
    assert read.dtype == torch.bfloat16
    wide = {n: t.detach().float() for n, t in half.items()}
    torch.testing.assert_close(
        read.float(), read_values(energy, **wide, backend="scores"), rtol=0.05, atol=0.05
    )
    read.float().sum().backward()
    assert half["xi"].grad.dtype == torch.bfloat16
