from __future__ import annotations

from attenergy.registry import EnergySpec
from attenergy.search.discovery.results.known import laws_of
from attenergy.testing import LAWS


def test_all_laws_are_looked_at_and_a_broken_one_fails() -> None:
    spec = EnergySpec(title="falls", formula="-|xi|^2 - lse(X @ xi)")
    laws = {law.law: law for law in laws_of(spec)}
    assert list(laws) == list(LAWS)
    assert laws["9 it is bounded"].passed is False
    assert laws["2 masking equals deleting"].passed
