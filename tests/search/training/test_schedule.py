from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from attenergy.registry import TrainingSpec
from attenergy.search.training.schedule import constant_tail, learning_rate, tail_start


@pytest.mark.parametrize(
    "tag", ["logic", "raven10M_w1000", "raven20M_w1000", "raven20M_w3000", "raven40M_w1000", "tiny"]
)
def test_the_schedule_is_the_reference(
    golden: Callable[[str], dict[str, np.ndarray]], tag: str
) -> None:
    arrays = golden("lr_schedule")
    peak, warmup, total = arrays[f"{tag}/args"]
    rates = [
        learning_rate(int(step), peak=peak, warmup=int(warmup), total=int(total))
        for step in arrays[f"{tag}/step"]
    ]
    # The reference is in single precision, and far from its peak it loses digits.
    np.testing.assert_allclose(rates, arrays[f"{tag}/lr"], rtol=1e-5, atol=2e-7 * peak)


def test_rates_that_can_be_said_in_words() -> None:
    def rate(step: int) -> float:
        return learning_rate(step, peak=1.0, warmup=10, total=100)

    assert rate(0) == 0.0
    assert rate(5) == 0.5
    assert rate(10) == pytest.approx(1.0)
    assert rate(50) == pytest.approx(0.55)  # half of the cosine
    assert [rate(s) for s in range(90, 100)] == pytest.approx([0.1] * 10)


def test_without_a_warm_up_the_first_rate_is_the_peak() -> None:
    assert learning_rate(0, peak=0.5, warmup=0, total=3) == pytest.approx(0.5)


def test_a_warm_up_as_long_as_the_training_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a warm-up of 5 updates needs more than 10 .* got 10"):
        learning_rate(0, peak=1.0, warmup=5, total=10)


def test_a_constant_rate_with_a_tail_in_words() -> None:
    def rate(step: int, total: int = 100) -> float:
        return constant_tail(step, peak=2.0, warmup=10, total=total, tail=0.2)

    assert [rate(s) for s in (0, 5, 10, 79, 80)] == [0.0, 1.0, 2.0, 2.0, 2.0]
    assert rate(85) == pytest.approx(1.0)  # a quarter of the tail: 1 - sqrt(1/4)
    assert rate(99) == pytest.approx(2 - 2 * (19 / 20) ** 0.5)
    tail = [rate(s) for s in range(80, 100)]
    assert tail == sorted(tail, reverse=True)
    assert [rate(s) for s in range(80)] == [rate(s, total=1000) for s in range(80)]


def test_where_the_tail_begins() -> None:
    def start(steps: int, **fields: object) -> int | None:
        return tail_start(TrainingSpec.model_validate({"steps": steps, **fields}))

    assert start(100) is None
    assert start(0, schedule="constant_tail") is None
    assert start(100, schedule="constant_tail") == 80
    assert start(100, schedule="constant_tail", tail=0.001) == 99, "there is a tail"
    assert start(1, schedule="constant_tail") == 0


def test_a_tail_that_leaves_no_room_for_the_warm_up_is_refused() -> None:
    with pytest.raises(ValueError, match="a warm-up of 81 updates and a tail of 20 do not fit"):
        constant_tail(0, peak=1.0, warmup=81, total=100)
