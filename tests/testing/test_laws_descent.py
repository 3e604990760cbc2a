"""Law 4 and the entry's own step sizes."""

from __future__ import annotations

import pytest

from attenergy.registry import EnergySpec
from attenergy.testing import LAWS, check_law

DESCENT = next(law for law in LAWS if law[0] == "4")


def entry(**step_size: object) -> EnergySpec:
    return EnergySpec.model_validate(
        {
            "title": "Mine",
            "formula": "0.5*|xi|^2 - lse(X @ xi)",
            "quadratic": 1.0,
            "step_size": step_size,
        }
    )


@pytest.mark.parametrize(
    ("step_size", "warning"),
    [
        ({"default": 2.5}, "the default step size of 2.5 may raise the energy"),
        ({"default": 1.0, "search": {"low": 0.1, "high": 3.0}}, "the search of steps to 3 may"),
        ({"default": 1.0, "search": {"choices": [1.0, 4.0]}}, "the search of steps to 4 may"),
        ({"default": 2.0}, ""),
        ({"default": 1.0, "search": {"low": 0.1, "high": 2.0}}, ""),
        ({"default": 1.0, "search": {"choices": [0.5, 1.0]}}, ""),
    ],
)
def test_step_sizes_beyond_the_promised_range_are_warned_of(
    step_size: dict[str, object], warning: str
) -> None:
    result = check_law(DESCENT, entry(**step_size))
    assert result.passed
    assert result.warning.startswith(warning)
    assert bool(result.warning) == bool(warning)


def test_an_entry_without_a_promise_is_not_warned() -> None:
    free = EnergySpec(title="Mine", formula="0.5*|xi|^4 - lse(X @ xi)")
    assert check_law(DESCENT, free).passed is None
