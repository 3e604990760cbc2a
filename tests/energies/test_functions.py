"""Energies that are plain functions: against the same energies as formulas, and by the laws."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import attenergy
from attenergy.attention import EnergyAttention, gradient, relax
from attenergy.energies import make_energy, source_of
from attenergy.energies.factory import CLASSES
from attenergy.registry import Parameter
from attenergy.testing import check_law

FORMULA = "0.5*|xi|^2 - lse(beta * X @ xi + h)/beta"


def plain(xi, X, beta=0.7):
    return 0.5 * (xi * xi).sum(-1) - torch.logsumexp(beta * (X @ xi), -1) / beta


def masked(xi, X, mask, h, beta=0.7):
    drive = (beta * (X @ xi) + h).masked_fill(~mask, -torch.inf)
    return 0.5 * (xi * xi).sum(-1) - torch.logsumexp(drive, -1) / beta


def all_states(xi, X, *, beta=0.7):
    drive = beta * torch.einsum("ld,nd->ln", xi, X)
    return 0.5 * xi.square().sum(1) - drive.logsumexp(1) / beta


def scaled(xi, X, scale):
    """Half of the squared length of the state, each component with a weight of its own."""
    return 0.5 * (scale * xi * xi).sum() - X.mean(0) @ xi


FUNCTIONS = {"plain": plain, "masked": masked, "all_states": all_states}
MASKS = {
    "none": None,
    "padding": torch.tensor([[True] * 5, [True] * 3 + [False] * 2])[:, None, None],
    "one row": torch.arange(5) < 4,
    "causal": torch.ones(3, 5, dtype=torch.bool).tril(1),
    "of heads": torch.rand(2, 1, 5, generator=torch.Generator().manual_seed(0)) < 0.6,
    "of all": torch.rand(2, 2, 3, 5, generator=torch.Generator().manual_seed(1)) < 0.6,
    "with empty rows": torch.rand(2, 1, 3, 5, generator=torch.Generator().manual_seed(2)) < 0.2,
}


def draws():
    generator = torch.Generator().manual_seed(3)
    draw = torch.randn(2, 2, 8, 4, dtype=torch.float64, generator=generator)
    return draw[..., :3, :], draw[..., 3:, :]


def pair(function, heads=2):
    """The function and the formula, with the same beta for every head but not for all."""
    energies = [make_energy(e, dim=4, num_heads=heads, beta=0.7) for e in (function, FORMULA)]
    for energy in energies:
        energy.double()
        with torch.no_grad():
            raw = energy.parameters_.raw["beta"]
            raw += torch.arange(raw.numel()).view_as(raw)
    return energies


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_the_formula(function, mask):
    xi, X = draws()
    ours, formula = pair(FUNCTIONS[function])
    mask = MASKS[mask]
    torch.testing.assert_close(ours(xi, X, mask=mask), formula(xi, X, mask=mask))
    slopes = [gradient(e, xi, X, mask=mask) for e in (ours, formula)]
    torch.testing.assert_close(*slopes)
    betas = [
        torch.autograd.grad(e(xi, X, mask=mask).sum(), e.parameters_.raw["beta"])[0]
        for e in (ours, formula)
    ]
    torch.testing.assert_close(*betas)


def test_shapes_broadcast_and_what_is_hidden_may_be_anything():
    xi, X = draws()
    ours, formula = pair(plain)
    torch.testing.assert_close(ours(xi, X[:1, :1]), formula(xi, X[:1, :1]))
    torch.testing.assert_close(ours(xi[:, :, :1], X), formula(xi[:, :, :1], X))
    assert ours(xi[:0], X[:0]).shape == (0, 2, 3)
    seen = torch.arange(5) < 3
    spoilt = torch.where(seen[:, None], X, torch.nan)
    torch.testing.assert_close(ours(xi, spoilt, mask=seen), formula(xi, X[..., :3, :]))


def test_a_field_reaches_the_function_that_takes_one():
    xi, X = draws()
    ours, formula = pair(masked)
    h = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    assert ours.reads_field
    assert not make_energy(plain, dim=4).reads_field
    for mask in (None, MASKS["causal"]):
        values = [e(xi, X, mask=mask, field=h) for e in (ours, formula)]
        torch.testing.assert_close(*values)


def test_parameters_may_be_vectors():
    scale = {"init": 2.0, "constraint": "positive", "shape": ["D"], "learnable": "per_head"}
    energy = make_energy(scaled, dim=4, num_heads=2, scale=scale).double()
    assert energy.parameters_.raw["scale"].shape == (2, 1, 4)
    xi, X = draws()
    torch.testing.assert_close(gradient(energy, xi, X), 2 * xi - X.mean(-2, keepdim=True))
    assert "squared length" in str(type(energy).__doc__)


def test_copies_and_pickles_are_the_same_energy():
    xi, X = (t.float() for t in draws())
    layer = EnergyAttention(8, 2, plain, steps=2)
    x = torch.randn(2, 3, 8)
    again = EnergyAttention(8, 2, plain, steps=2)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), copy.deepcopy(layer)(x))
    assert torch.equal(layer(x), again(x))
    assert type(copy.deepcopy(layer).energy) is type(layer.energy)
    energy = make_energy(torch.dist, dim=4)  # of a module that is found again
    pickled = pickle.loads(pickle.dumps(energy))  # noqa: S301
    assert torch.equal(pickled(xi, X[..., :1, :]), energy(xi, X[..., :1, :]))


def test_it_is_compiled_without_a_mask_and_says_that_it_is_not_with_one():
    energy = make_energy(plain, dim=4, num_heads=2)
    xi, X = (t.float() for t in draws())
    fast = torch.compile(lambda s: relax(energy, s, X).state, fullgraph=True, backend="eager")
    torch.testing.assert_close(fast(xi), relax(energy, xi, X).state)
    mask = MASKS["causal"].expand(2, 2, 3, 5)
    with pytest.raises(ValueError, match=r"gets only .* seen.*let it take `mask`"):
        torch.vmap(lambda s, x, m: energy(s, x, mask=m))(xi, X, mask)


LAWS = ["1 the energy is the truth", "2 masking equals deleting", "5 no cross-talk"]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("function", [plain, masked])
def test_the_laws_hold(function, law):
    result = check_law(law, source_of(function).spec)
    assert result.passed, result.note


def test_what_acts_on_other_states_is_refused():
    def mixes(xi, X):
        assert xi.ndim == 2
        return xi.sum() * X.sum() + 0 * xi[:, 0]

    with pytest.raises(ValueError, match="its states act on each other"):
        make_energy(mixes, dim=4)


def test_a_registered_function_is_a_class_of_the_registry(tmp_path):
    attenergy.register_energy(scaled, name="ScaledLength")
    try:
        layer = EnergyAttention(8, 2, scaled, scale=2.0, steps=2)
        assert layer.energy.spec.class_ == "ScaledLength"
        layer.save_pretrained(tmp_path / "saved")
        x = torch.randn(2, 3, 8)
        assert torch.equal(attenergy.load(tmp_path / "saved")(x), layer(x))
        spec = layer.energy.spec.model_copy(update={"parameters": {"beta": Parameter(init=1.0)}})
        with pytest.raises(ValueError, match="takes no parameter 'beta'; it takes scale"):
            make_energy(spec, dim=4)
    finally:
        del CLASSES["ScaledLength"], CLASSES.owners["ScaledLength"]


def test_what_is_not_registered_says_so_when_it_is_saved(tmp_path):
    layer = EnergyAttention(8, 2, plain)
    with pytest.raises(ValueError, match=r"function of yours, 'plain'.*register_energy"):
        layer.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_what_writes_into_its_arguments_or_remembers_is_refused():
    calls = []

    def writes_xi(xi, X):
        return xi.mul_(2).sum() + X.sum()

    def writes_patterns(xi, X):
        X[0] = 0
        return (X @ xi).sum()

    def remembers(xi, X):
        calls.append(0)
        return len(calls) * (X @ xi).sum()

    for function in (writes_xi, writes_patterns):
        with pytest.raises(ValueError, match="changes xi or X in place"):
            make_energy(function, dim=4)
    with pytest.raises(ValueError, match="another number when it is called again"):
        make_energy(remembers, dim=4)
