"""Law 9 sees an energy that falls without bound, and no other."""

from __future__ import annotations

import pytest

from attenergy.energies import CLASSES, DOMAINS, Domain, Energy
from attenergy.registry import EnergySpec
from attenergy.testing import LAWS, check_law

BOUNDED = next(law for law in LAWS if law[0] == "9")


def entry(formula=None, cls=None, **changes):
    data = {"title": "test", **changes}
    data |= {"formula": formula} if cls is None else {"class": cls}
    return EnergySpec.model_validate(data)


def test_an_energy_without_bound_says_so():
    silent = entry("-sum_n((X @ xi)^4)/4")
    assert check_law(BOUNDED, silent).passed is None
    assert "WARNING: the energy falls without bound" in check_law(BOUNDED, silent).note
    said = entry("0.5*|xi|^2 - sum_n((X @ xi)^2)", quadratic=1.0, doc="It is unbounded below.")
    assert check_law(BOUNDED, said).passed is None
    strong = entry(
        "0.5*|xi|^2 - 0.5*c*|X @ xi|^2",
        parameters={"c": {"init": 0.001, "search": {"low": 0.001, "high": 10}}},
    )
    assert "falls without bound at c 0.1" in check_law(BOUNDED, strong).note
    assert check_law(BOUNDED, entry("0.5*|xi|^2 - lse(X @ xi + h)")).passed
    assert check_law(BOUNDED, entry("-|X @ xi|^2", domain="sphere")).passed


FALLING = {
    "like a logarithm": "-log(1 + |xi|^2)",
    "like a root": "-sqrt(1 + |xi|^2)",
    "along one pattern": "0.5*|xi|^2 - 0.5*relu(max_n(X @ xi))^2",
    "in a narrow cone": "0.5*|xi|^2 - 10*relu(sum_d(xi)/count_d()^0.5 - 0.9*|xi|)*|xi|",
    "far away only": "0.5*|xi|^2 - 1e-6*|xi|^4",
    "very far away only": "0.5*|xi|^2 - 1e-10*sum_n((X @ xi)^4)/4",
    "with many patterns": "0.5*|xi|^2 - 0.02*sum_n((X @ xi)^2)",
}


@pytest.mark.parametrize("name", FALLING)
def test_an_energy_that_falls_is_seen(name):
    assert "WARNING" in check_law(BOUNDED, entry(FALLING[name])).note


def test_a_choice_that_falls_at_the_end_of_a_range_is_seen():
    """A choice alone does not, the range alone neither; what is learned may grow beyond 1."""
    choices = {"F": {"default": "zero", "options": {"zero": "0*z", "same": "z"}}}
    scale = {"init": 0.1, "learnable": "no", "search": {"low": 0.1, "high": 10}}
    formula = "0.5*|xi|^2 - 0.5*scale*F(|xi|^2)"
    both = entry(formula, choices=choices, parameters={"scale": scale})
    assert "falls without bound at F same, scale 10" in check_law(BOUNDED, both).note
    small = entry(
        formula,
        choices=choices,
        parameters={"scale": scale | {"search": {"low": 0.1, "high": 0.5}}},
    )
    assert check_law(BOUNDED, small).passed
    grown = entry("0.5*|xi|^2 - 0.5*a*|xi|^2 - lse(X @ xi)", parameters={"a": {"init": 0.05}})
    assert "falls without bound at a 10" in check_law(BOUNDED, grown).note


def test_an_energy_of_the_states_alone_that_falls_is_seen(monkeypatch):
    class Apart(Energy):
        states_interact = True
        reads_patterns = False
        reads_field = False

        def energy(self, xi, X, mask, field):
            return -xi.sum(-2).square().sum(-1)

    monkeypatch.setitem(CLASSES, "Broken", Apart)
    result = check_law(BOUNDED, entry(cls="Broken"))
    assert "WARNING" in result.note, str(result)


@pytest.mark.parametrize(
    "formula",
    [
        "cos(7*|xi|)",
        "exp(-|xi|^2)",
        "1/(1 + |xi|)",
        "cos(sum_d(xi))",
        "0*(xi @ xi) + tanh(sum_d(xi))",
    ],
)
def test_an_energy_within_bounds_passes(formula):
    result = check_law(BOUNDED, entry(formula))
    assert result.passed, str(result)


@pytest.mark.parametrize(
    ("formula", "note"),
    [
        ("0.5*|xi|^2 - lse(X @ xi + h)", "the energy far from the origin"),
        ("-|X @ xi|^2", "WARNING: the energy falls without bound"),
    ],
)
def test_a_domain_of_a_users_own_may_reach_far(formula, note, monkeypatch):
    class Plane(Domain):
        constrained = tied = True

        def project(self, xi):
            return xi - xi.mean(-1, keepdim=True)

    monkeypatch.setitem(DOMAINS, "plane", Plane())
    assert check_law(BOUNDED, entry(formula, domain="plane")).note.startswith(note)
