from __future__ import annotations

import pytest

from attenergy.registry import EnergySpec, Registry
from attenergy.search.discovery.results.discovery import Discovery
from attenergy.search.discovery.results.known import laws_of, with_nearest
from attenergy.testing import LAWS

pytestmark = pytest.mark.long  # whole searches or processes


def test_all_laws_are_looked_at_and_a_broken_one_fails() -> None:
    spec = EnergySpec(title="promises", formula="0.5*|xi|^2 - lse(X @ xi)", quadratic=0.1)
    laws = {law.law: law for law in laws_of(spec)}
    assert list(laws) == list(LAWS)
    assert laws["4 descent"].passed is False
    assert laws["3 known answers"].passed is None
    assert laws["2 masking equals deleting"].passed


def test_the_best_are_told_the_known_energy_that_is_nearest(
    discovery: Discovery, known: Registry
) -> None:
    old = discovery.by_number[5].model_copy(update={"nearest": "rbm", "distance": 0.5})
    population = tuple(old if f.number == 5 else f for f in discovery.population)
    result = with_nearest(discovery.model_copy(update={"population": population}), known)
    assert result.by_number[3].nearest in known.energies
    assert result.by_number[3].distance is not None
    assert 0 <= result.by_number[3].distance < 0.5
    assert result.by_number[5].nearest == "rbm"  # it is known already
    assert not result.by_number[0].nearest  # of the registry
    assert result.by_number[2].nearest


def test_a_text_that_is_no_formula_is_near_to_nothing(
    discovery: Discovery, known: Registry
) -> None:
    broken = discovery.by_number[3].model_copy(update={"formula": "no formula"})
    only = Discovery(name="one", tasks=("mqar",), rungs=discovery.rungs, population=(broken,))
    assert with_nearest(only, known) == only
