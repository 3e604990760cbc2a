"""Candidates from text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from attenergy.search.discovery.formulas import Candidate


@pytest.fixture
def candidate() -> Callable[[str], Candidate]:
    """A candidate from its formula."""
    return Candidate.from_formula
