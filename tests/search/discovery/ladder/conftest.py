"""Populations whose scores are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from attenergy.registry import load_registry
from attenergy.search.discovery.filters.fingerprint import Fingerprint
from attenergy.search.discovery.formulas import Candidate
from attenergy.search.discovery.ladder.rungs import Ladder
from attenergy.search.discovery.population.individual import Arm, Individual

SOFTMAX = Candidate.from_formula("0.5*|xi|^2 - lse(beta * X @ xi)/beta")
NOWHERE = Fingerprint((0.0,), (0,))

Scored = Callable[..., Individual]


@pytest.fixture(scope="session")
def ladder() -> Ladder:
    """Of three rungs: denoising, raven-small@400, raven-small."""
    return Ladder.of(["raven-small"], load_registry(plugins=False))


@pytest.fixture
def scored() -> Scored:
    def make(number: int, scores: Mapping[str, float], arm: Arm = "evolved") -> Individual:
        return Individual(number, arm, SOFTMAX, NOWHERE, scores=dict(scores))

    return make
