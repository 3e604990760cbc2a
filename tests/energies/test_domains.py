"""Domains: what each of them says of itself is true of its maps."""

from __future__ import annotations

import pytest
import torch

from attenergy.energies import DOMAINS, Domain, domain_of, guarantee_of, make_energy
from attenergy.registry import EnergySpec, UnknownName


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def entry(**changes: object) -> EnergySpec:
    return EnergySpec.model_validate({"title": "T", "formula": "-lse(X @ xi)", **changes})


@pytest.mark.parametrize("name", DOMAINS)
def test_the_maps_of_a_domain(name: str) -> None:
    """Points stay where they are, steps end in points, tangents lie along the domain."""
    domain, x, d = DOMAINS[name], draw(20, 6), draw(20, 6, seed=1)
    for inside in (domain.project(x), domain.from_real(x), domain.retract(domain.project(x), d)):
        torch.testing.assert_close(domain.project(inside), inside)
    if domain.discrete:
        return
    xi, size = domain.from_real(x), 1e-6
    tangent = domain.project_tangent(xi, d)
    torch.testing.assert_close(domain.project_tangent(xi, tangent), tangent)
    off = domain.project(xi + size * tangent) - (xi + size * tangent)
    assert off.abs().max() < 1e-9  # of second order


@pytest.mark.parametrize("name", DOMAINS)
def test_what_a_domain_says_of_itself(name: str) -> None:
    domain, x = DOMAINS[name], draw(20, 6)
    xi, turn = domain.from_real(x), torch.linalg.qr(draw(6, 6, seed=2))[0]

    def holds(points: torch.Tensor) -> bool:
        return torch.allclose(domain.project(points), points)

    assert holds(x) != domain.constrained
    assert holds(xi @ turn) == domain.rotation_invariant
    alone = torch.where(torch.arange(6) == 2, 0.9 * xi, xi)  # one component moves
    assert holds(alone) == (not (domain.tied or domain.discrete))
    balanced = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    assert torch.allclose(domain.project(balanced), balanced, atol=1e-6) == domain.signs


def test_a_domain_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks for the domain asks the object: a new one needs no second place."""

    class Half(Domain):
        largest_step = 0.5
        constrained = True
        concave_descent = True

        def project(self, xi: torch.Tensor) -> torch.Tensor:
            return xi.clamp_min(0.0)

    monkeypatch.setitem(DOMAINS, "half", Half())
    energy = make_energy(entry(domain="half"), dim=6)
    assert (energy.guarantee, energy.largest_step_size()) == ("parallel", 0.5)
    assert energy.from_real(draw(3, 6)).min() == 0.0


def test_an_unknown_domain() -> None:
    with pytest.raises(UnknownName, match=r"no domain 'spere' \(did you mean 'sphere'\?\)"):
        make_energy(entry(domain="spere"), dim=4)


def test_where_a_guarantee_comes_from() -> None:
    assert guarantee_of(entry()) == "none"
    assert guarantee_of(entry(quadratic=1.0)) == "parallel"
    assert guarantee_of(entry(domain="sphere")) == "parallel"
    assert guarantee_of(entry(domain="sphere", descends="sequential")) == "sequential"
    assert domain_of(entry()) is DOMAINS["real"]
