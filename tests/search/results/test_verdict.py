"""The four verdicts, in words and as data, from records of known scores."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from attenergy.search.planning.plan import SearchPlan
from attenergy.search.results.leaderboard import Leaderboard, leaderboard
from attenergy.search.results.next_step import next_step
from attenergy.search.results.sequential import anytime_interval
from attenergy.search.results.verdict import calls, learned


@pytest.fixture
def board(make_record, known_task):
    """A leaderboard from a list of scores on valid for each variant."""

    def make(**scores: Sequence[float]) -> Leaderboard:
        records = [
            make_record(variant, (score, score, score), seed=seed, purpose="final")
            for variant, values in scores.items()
            for seed, score in enumerate(values)
        ]
        return leaderboard(records, known_task)

    return make


BASE = [0.50, 0.52, 0.48, 0.51, 0.49, 0.53, 0.47, 0.50]


def plus(gap: float, noise: float = 0.0) -> list[float]:
    return [b + gap + noise * (-1) ** i for i, b in enumerate(BASE)]


def test_one_that_beats_and_one_that_loses(board) -> None:
    verdict = board(softmax=BASE, lse=plus(0.05), linear=plus(-0.1)).verdict
    assert verdict.kind == "beats"
    assert verdict.sentence.startswith("On `valid`, `lse` beats `softmax` by 0.050 (95 %: 0.050")
    assert "`linear` loses to `softmax` by 0.100" in verdict.sentence
    assert {row.variant: row.call for row in verdict.rows} == {"lse": "beats", "linear": "loses"}
    assert all(row.p <= 0.05 and row.more_seeds is None for row in verdict.rows)


def test_with_too_few_seeds_it_says_so_and_how_many_are_the_fewest(board) -> None:
    verdict = board(softmax=BASE[:3], lse=plus(0.02, 0.03)[:3], linear=plus(-0.2)[:3]).verdict
    assert verdict.kind == "undecided"
    few = "On `valid`, 3 seeds are too few to call (7 are the fewest) "
    assert verdict.sentence.startswith(few)
    assert "`linear` at -0.200" in verdict.sentence
    assert "`lse` at +0.030" in verdict.sentence
    assert re.search(r"; about \d more are likely to decide `linear`", verdict.sentence)


def test_undecided_says_how_many_seeds_more(board) -> None:
    verdict = board(softmax=BASE, lse=plus(0.02, 0.03)).verdict
    assert verdict.kind == "undecided"
    (row,) = verdict.rows
    assert row.more_seeds
    assert f"about {row.more_seeds} more are likely to decide" in verdict.sentence
    even = board(softmax=BASE, lse=plus(0.0, 0.03)).verdict
    assert "no number of seeds that would decide is in sight" in even.sentence


def test_the_interval_holds_the_mean_of_lopsided_differences(board) -> None:
    """Some seeds solve the task, and are far off the others."""
    gaps = [0.01, 0.011, 0.012, 0.01, 0.011, 0.012, 0.01, 0.4]
    lopsided = [score + gap for score, gap in zip(BASE, gaps, strict=True)]
    assert anytime_interval(gaps)[1] < sum(gaps) / len(gaps)
    (row,) = board(softmax=BASE, lse=lopsided).verdict.rows
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.difference <= row.high


def test_all_that_differ_lose(board) -> None:
    verdict = board(softmax=BASE, linear=plus(-0.1)).verdict
    assert verdict.kind == "loses"
    assert verdict.sentence.startswith("On `valid`, `linear` loses to `softmax` by 0.100")


def test_one_that_loses_beside_an_undecided_one(board) -> None:
    """Something was decided, and the badge says so; the command still asks for the other."""
    verdict = board(softmax=BASE, linear=plus(-0.1), lse=plus(0.02, 0.03)).verdict
    assert verdict.kind == "loses"
    assert "`linear` loses to `softmax`" in verdict.sentence
    assert "`lse` and `softmax` are undecided" in verdict.sentence
    plan = SearchPlan(study="s", folder="runs/s", task="t")
    assert next_step(plan, verdict, (), Path("runs/s")).endswith("seeds --resume")


def test_near_chance_nobody_learned_whatever_the_differences(board, known_task) -> None:
    chance = known_task.chance["accuracy"]
    near = [chance + 0.01 + i / 1e4 for i in range(9)]
    verdict = board(softmax=near, lse=[score + 0.01 for score in near]).verdict
    assert verdict.kind == "unlearned"
    assert verdict.sentence.startswith("Nobody learned: the best finalist, `lse`, has ")


def test_without_finals_or_others_nothing_is_decided(board, make_record, known_task) -> None:
    trials = leaderboard([make_record("lse", (0.5, 0.5, 0.5))], known_task).verdict
    assert (trials.kind, trials.rows) == ("none", ())
    assert trials.sentence.startswith("Trials of one seed decide nothing")
    alone = board(softmax=BASE).verdict
    assert alone.sentence == "Nothing is decided: no finalist but the baseline `softmax`."
    without = board(lse=BASE).verdict
    assert without.sentence.startswith("Nothing is decided: the baseline has no finished runs")


@pytest.mark.parametrize(
    ("gap", "noise", "words"),
    [(0.1, 0.0, "4 more beat"), (-0.1, 0.0, "4 more lose to"), (0.0, 0.03, "4 more are undecided")],
)
def test_of_many_alike_a_few_are_named_and_the_others_counted(board, gap, noise, words) -> None:
    names = [f"other_{i}" for i in range(10)]
    many = board(softmax=BASE * 3, **{name: plus(gap, noise) * 3 for name in names}).verdict
    assert words in many.sentence
    assert sum(f"`{name}`" in many.sentence for name in names) == 6
    assert {row.variant for row in many.rows} == set(names)
    few = board(softmax=BASE[:3], **{name: plus(gap)[:3] for name in names}).verdict
    assert " and 4 more beside `softmax`" in few.sentence
    assert len(few.sentence) < 700


def test_the_verdict_is_in_markdown_and_json(board) -> None:
    made = board(softmax=BASE, lse=plus(0.05))
    assert made.verdict.sentence in made.markdown()
    assert json.loads(made.json())["verdict"]["rows"][0]["call"] == "beats"


def test_two_finalists_of_one_variant_are_told_apart_by_their_rows(make_record, known_task) -> None:
    records = [
        make_record(variant, (score, score, score), seed=seed, purpose="final", **settings)
        for variant, gap, settings in (
            ("softmax", 0.0, {}),
            ("lse", 0.05, {"beta": 0.5}),
            ("lse", 0.1, {"beta": 2.0}),
        )
        for seed, score in enumerate(plus(gap))
    ]
    sentence = leaderboard(records, known_task).verdict.sentence
    assert "`lse` (row 1) beats `softmax`" in sentence
    assert "`lse` (row 2) beats `softmax`" in sentence


def test_looking_at_every_moment_calls_equal_contenders_different_in_one_of_twenty_at_most() -> (
    None
):
    random = np.random.default_rng(8)
    wrong = 0
    for _ in range(100):
        scores = random.normal(0.5, 0.05, size=(4, 12))
        looks = [
            calls(
                {f"{i}": dict(enumerate(row[:n])) for i, row in enumerate(scores[1:])},
                dict(enumerate(scores[0][:n])),
            )
            for n in (8, 10, 12)
        ]
        wrong += any(call != "undecided" for look in looks for call, _ in look.values())
    assert wrong / 100 <= 0.05 + 3 * 0.0218


@pytest.mark.parametrize(
    ("score", "chance", "ceiling", "expected"),
    [
        (0.12, 0.016, 0.985, True),
        (0.10, 0.016, 0.985, False),
        (0.2, None, None, True),
        (0.55, 0.5, 1.0, True),
        (0.54, 0.5, 1.0, False),
    ],
)
def test_a_tenth_of_the_way_to_the_ceiling_is_learned(score, chance, ceiling, expected) -> None:
    assert learned(score, chance, ceiling) is expected


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("broken", [1, 2])
def test_a_direction_is_called_where_most_seeds_and_the_mean_agree(
    board, sign: int, broken: int
) -> None:
    """Ahead with most seeds, and behind in the mean, for one or two that collapsed."""
    gaps = [0.01, 0.011, 0.012, 0.009] * 4
    base = [0.9 + 0.001 * (i % 3) for i in range(len(gaps))]
    gaps[len(gaps) - broken :] = [-0.55] * broken
    rival = [score + sign * gap for score, gap in zip(base, gaps, strict=True)]
    verdict = board(softmax=base, lse=rival).verdict
    (row,) = verdict.rows
    assert row.p <= 0.05
    assert row.difference * sign < 0
    assert (row.call, verdict.kind, row.more_seeds) == ("undecided", "undecided", None)
    words = ("ahead with most seeds, behind in the mean", "behind with most seeds, ahead in the")
    assert words[sign < 0] in verdict.sentence
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.difference <= row.high


@pytest.mark.parametrize(("sign", "words"), [(1, "beats"), (-1, "loses to")])
def test_a_sentence_has_the_ends_of_the_interval_on_their_side(
    board, sign: int, words: str
) -> None:
    gaps = [0.02, 0.05, 0.03, 0.06, 0.04, 0.03, 0.05, 0.04]
    rival = [score + sign * gap for score, gap in zip(BASE, gaps, strict=True)]
    verdict = board(softmax=BASE, lse=rival).verdict
    (row,) = verdict.rows
    low, high = sorted((sign * (row.low or 0.0), sign * (row.high or 0.0)))
    assert f"`lse` {words} `softmax` by 0.040 (95 %: {low:.3f} to {high:.3f}" in verdict.sentence


def test_bounds_of_scores_that_are_no_accuracies(make_record, known_task) -> None:
    base = [-2.6, -2.4, -2.7, -2.5, -2.6, -2.5, -2.4, -2.6]
    rival = [score + gap for score, gap in zip(base, [3.4, 3.5, 3.6, 3.5] * 2, strict=True)]
    records = [
        make_record(variant, (score, score, score), seed=seed, purpose="final")
        for variant, values in (("softmax", base), ("lse", rival))
        for seed, score in enumerate(values)
    ]
    (row,) = leaderboard(records, known_task).verdict.rows
    assert row.call == "beats"
    assert 3.3 < (row.low or 0.0) < row.difference < (row.high or 0.0) < 3.7
