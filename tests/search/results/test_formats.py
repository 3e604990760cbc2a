from __future__ import annotations

import copy
import json

import pytest

from attenergy.search.results import formats
from attenergy.search.results.statistics import Interval


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0, "0"), (7, "7"), (945, "945"), (999, "999"), (1000, "1.0k"), (12345, "12.3k")],
        *[(99_940, "99.9k"), (99_960, "100k"), (655_360, "655k"), (999_600, "1.0M")],
        *[(1.2e6, "1.2M"), (3.4e9, "3.4G"), (5e12, "5T"), (None, "-")],
    ],
)
def test_counts_take_at_most_five_characters(value: float | None, text: str) -> None:
    assert formats.count(value) == text
    assert len(text) <= 5


def test_scores_show_half_of_the_interval() -> None:
    assert formats.score(Interval(0.9123, 0.90, 0.9246, 3)) == "0.912±.012"
    assert formats.score(Interval(0.5, -1.0, 2.0, 3)) == "0.500±1.500"
    assert formats.score(Interval(0.5, None, None, 1)) == "0.500"
    assert formats.score(None) == "-"


def test_an_interval_that_ends_at_a_bound_shows_both_ends() -> None:
    assert formats.score(Interval(0.983, 0.942, 1.0, 3)) == "0.983 [.942,1]"
    assert formats.score(Interval(0.05, 0.0, 0.25, 3)) == "0.050 [0,.25]"
    assert formats.score(Interval(-0.5, -2.0, 1.0, 3)) == "-0.500±1.500"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.7314, "0.731"), (-12.0, "-12.000"), (999_999.0, "999999.000"), (1e6, "1e+06"),
     (-1.25e300, "-1.25e+300"), (float("inf"), "inf"), (float("nan"), "nan")],
)  # fmt: skip
def test_a_number_of_any_size_is_short(value: float, text: str) -> None:
    assert formats.fixed(value) == text
    assert formats.signed(value).lstrip("+") == text


def test_differences_have_a_sign() -> None:
    assert formats.difference(Interval(0.021, 0.004, 0.038, 3)) == "+0.021±.017"
    assert formats.difference(Interval(-0.2, None, None, 1)) == "-0.200"
    assert formats.difference(None) == "-"


def test_what_rounds_to_zero_has_no_minus() -> None:
    assert [formats.signed(x) for x in (-0.0001, 0.0, 0.012, -0.24)] == [
        "+0.000",
        "+0.000",
        "+0.012",
        "-0.240",
    ]


def test_an_exact_estimate_has_no_error() -> None:
    assert formats.estimate(1.0, 0.0) == "1.000"
    assert formats.estimate(0.928, 0.0012) == "0.928±.001"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (42.4, "0:42"), (725, "12:05"), (3723, "1:02:03")]
)
def test_durations(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


def test_settings_in_short() -> None:
    values = {"beta": 1 / 8**0.5, "steps": 2, "prior": "spin", "lr": 3e-3}
    assert formats.settings(values) == "beta=0.354 steps=2 prior=spin lr=0.003"
    assert formats.settings({}) == "defaults"


def test_a_pause_reads_as_words_and_is_a_number_in_json() -> None:
    pause = copy.deepcopy(formats.Pause(200, 1600))
    assert formats.settings({"lr": 0.1, "pause": pause}) == "lr=0.1 paused at step 200 of 1600"
    assert json.dumps({"pause": pause}) == '{"pause": 200}'


def test_a_markdown_table_escapes_bars() -> None:
    table = formats.markdown_table(["a", "formula"], [["1", "|xi|^2"]])
    assert table.splitlines() == ["| a | formula  |", "|---|----------|", r"| 1 | \|xi\|^2 |"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (5, "5 s"), (99, "99 s"), (480, "8 min"), (51000, "14 h"), (460000, "5 days")],
)
def test_times_are_told_in_their_largest_unit(seconds: float | None, text: str) -> None:
    assert formats.rough_time(seconds) == text
