from __future__ import annotations

import pytest
import torch

from attenergy.energies import make_energy
from attenergy.energies.language import FIELD, PATTERNS, XI, Symbol
from attenergy.registry import EnergySpec
from attenergy.testing.cases import float64


@pytest.fixture(scope="session")
def symbols():
    """xi, X, h, a positive scalar, a real scalar, a vector and a matrix."""
    return {
        "xi": XI,
        "X": PATTERNS,
        "h": FIELD,
        "beta": Symbol((), name="beta", positive=True),
        "c": Symbol((), name="c"),
        "w": Symbol(("D",), name="w"),
        "M": Symbol(("D", "D"), name="M"),
    }


@pytest.fixture(scope="session")
def entry():
    """Maker of an entry from a formula; parameters as `name=dict(...)`."""

    def make(formula, *, choices=None, **parameters):
        data = {"title": "test", "formula": formula, "parameters": parameters}
        return EnergySpec.model_validate({**data, "choices": choices or {}})

    return make


@pytest.fixture(scope="session")
def energy_of(entry):
    """Maker of a float64 energy from a formula."""

    def make(formula, dim=4, num_heads=None, *, choices=None, settings=None, **parameters):
        spec = entry(formula, choices=choices, **parameters)
        with float64():
            return make_energy(spec, dim=dim, num_heads=num_heads, **(settings or {}))

    return make


@pytest.fixture(scope="session")
def point():
    """Values of all symbols at one point: 3 states, 5 patterns, D = 4; two patterns hidden."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return 0.7 * torch.randn(*shape, generator=generator, dtype=torch.float64)

    xi, X = draw(3, 4), draw(5, 4)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 0, 0, 1, 0]], dtype=torch.bool)
    return {
        "xi": xi,
        "X": X,
        "h": draw(3, 5),
        "s": xi @ X.mT,
        "q": (xi * xi).sum(-1, keepdim=True),
        "mask": mask,
        "beta": torch.tensor(0.8, dtype=torch.float64),
        "c": torch.tensor(-0.6, dtype=torch.float64),
        "w": draw(4),
        "M": draw(4, 4),
    }


@pytest.fixture(scope="session")
def stored():
    """The patterns that suit an energy: those given, or the states if it reads the states alone."""
    return lambda energy, xi, X: X if energy.reads_patterns else xi
