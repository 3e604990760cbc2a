from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import optuna
import pytest

from attenergy.search.discovery.formulas import Candidate
from attenergy.search.discovery.ladder.rungs import Ladder, with_settings
from attenergy.search.discovery.ladder.settings import SettingsSearch
from attenergy.search.training.train import train

SOFTMAX = Candidate.from_formula("0.5*|xi|^2 - lse(beta * X @ xi)/beta")
SCALED = Candidate.from_formula("0.5*|xi|^2 - 3*sum_n(softplus(X @ xi)^2.5)")
MOVED = Candidate.from_formula("0.5*|xi|^2 - lse(beta*(X @ xi)/|xi|)/beta")

Score = Callable[[Mapping[str, float]], float]


def run(search: SettingsSearch, score: Score) -> list[dict[str, float]]:
    """All settings that are asked for."""
    asked = []
    while (settings := search.ask()) is not None:
        assert search.ask() == settings  # until it is told
        asked.append(dict(settings))
        search.tell(settings, score(settings))
    return asked


def near(best: float) -> Score:
    """Highest at that beta; a default of 0.25."""
    return lambda settings: 1 - abs(math.log(settings.get("beta", 0.25) / best))


def test_the_first_ones_are_its_own_then_sharper_ones(ladder: Ladder) -> None:
    asked = run(SettingsSearch(SOFTMAX, ladder.rungs[0], 0), near(2.0))
    assert [each.get("beta") for each in asked[:5]] == [None, 1.0, 0.5, 2.0, 4.0]
    assert asked[0] == {}
    assert len(asked) == 8
    assert all(set(each) == {"beta"} for each in asked[1:])
    assert all(2 / 1.5 - 0.01 < each["beta"] < 2 * 1.5 + 0.01 for each in asked[5:])


def test_the_best_settings_are_the_result(ladder: Ladder) -> None:
    search = SettingsSearch(SOFTMAX, ladder.rungs[0], 0)
    assert (search.best, search.best_score) == ({}, -math.inf)
    asked = run(search, near(1.8))
    assert search.best in asked
    assert search.best_score == near(1.8)(search.best) == max(map(near(1.8), asked))
    assert search.best_score >= near(1.8)({"beta": 2.0})


@pytest.mark.parametrize("at", [0.6, 1.31, 1.76, 2.9])
def test_a_smooth_score_is_searched_for_its_top(ladder: Ladder, at: float) -> None:
    def score(settings: Mapping[str, float]) -> float:
        away = math.log(settings.get("beta", 0.25) / at)
        return 1 - 0.1 * away**2 + 0.02 * away**3

    search = SettingsSearch(SOFTMAX, ladder.rungs[0], 0)
    run(search, score)
    assert 1 - search.best_score < 2e-4, "the first tries alone come to 1e-2"
    assert search.best["beta"] == pytest.approx(at, rel=0.03)


def test_the_top_of_a_plateau_may_lie_further_from_the_best_than_later_ones(ladder: Ladder) -> None:
    """Of equals the first is best, here 1.0, and the first in size is the parabola's middle."""
    search = SettingsSearch(SOFTMAX, ladder.rungs[0], 0)
    asked = run(search, lambda settings: float(0.5 <= settings.get("beta", 0.25) <= 1))
    assert [each["beta"] for each in asked[5:7]] == [0.707, 0.595]
    assert search.best == {"beta": 1.0}


def test_of_equals_the_first_is_best(ladder: Ladder) -> None:
    search = SettingsSearch(SOFTMAX, ladder.rungs[0], 0)
    run(search, lambda settings: 0.5)
    assert search.best == {}


@pytest.mark.parametrize("candidate", [SOFTMAX, SCALED, MOVED])
def test_the_same_scores_bring_the_same_proposals(candidate: Candidate, ladder: Ladder) -> None:
    def score(settings: Mapping[str, float]) -> float:
        return -sum(abs(math.log(value)) for value in settings.values())

    def asked(seed: int) -> list[dict[str, float]]:
        return run(SettingsSearch(candidate, ladder.rungs[0], seed), score)

    assert asked(0) == asked(0)
    assert asked(0) != asked(1)


def test_numbers_are_tuned_by_a_factor(ladder: Ladder) -> None:
    search = SettingsSearch(SCALED, ladder.rungs[0], 0)
    asked = run(search, lambda settings: -abs(settings.get("number_1", 3) - 6))
    # 0.5 and the step size do not matter to a single step that reads its weights
    assert all(set(each) == {"number_1", "number_2"} for each in asked[1:])
    assert SCALED.numbers == (0.5, 3.0, 2.5)
    assert all(0.75 <= each["number_1"] <= 12 for each in asked[1:])
    assert all(value == float(f"{value:.3g}") for each in asked for value in each.values())
    tuned, own = with_settings(SCALED, search.best)
    assert tuned.numbers[1] == pytest.approx(6, rel=0.4)
    assert own == {}


def test_what_moves_the_state_is_tuned_where_it_is_read(ladder: Ladder) -> None:
    asked = run(SettingsSearch(MOVED, ladder.rungs[0], 0), lambda settings: 0.0)
    assert set(asked[-1]) == {"beta", "step_size", "number_0"}
    assert len(asked) == 14


def test_numbers_that_break_a_law_are_not_tried(ladder: Ladder) -> None:
    seen: list[Candidate] = []

    def accepts(candidate: Candidate) -> bool:
        seen.append(candidate)
        return candidate.numbers[-1] <= 2.5

    asked = run(SettingsSearch(SCALED, ladder.rungs[0], 0, accepts=accepts), lambda s: 0.0)
    assert any(candidate.numbers[-1] > 2.5 for candidate in seen)
    assert all(with_settings(SCALED, each)[0].numbers[-1] <= 2.5 for each in asked)
    search = SettingsSearch(SCALED, ladder.rungs[0], 0, accepts=lambda candidate: False)
    assert run(search, lambda settings: 0.0) == [{}]


def test_who_is_far_behind_is_given_up(ladder: Ladder) -> None:
    def asked(score: float, bar: float | None) -> int:
        search = SettingsSearch(SOFTMAX, ladder.rungs[0], 0, bar=bar)
        return len(run(search, lambda settings: score))

    assert asked(0.2, 0.9) == 5
    assert asked(0.2, 0.5) == asked(0.2, None) == asked(0.95, 0.9) == 8
    assert asked(-math.inf, -0.5) == 5


def test_runs_without_a_score(ladder: Ladder) -> None:
    search = SettingsSearch(SOFTMAX, ladder.rungs[0], 0)
    run(search, lambda settings: 0.3 if settings.get("beta") == 2.0 else -math.inf)
    assert search.best == {"beta": 2.0}


def test_a_score_of_other_settings_is_refused(ladder: Ladder) -> None:
    search = SettingsSearch(SOFTMAX, ladder.rungs[0], 0)
    with pytest.raises(ValueError, match="settings that are not tried now"):
        search.tell({}, 0.1)
    search.ask()
    with pytest.raises(ValueError, match="settings that are not tried now"):
        search.tell({"beta": 3.0}, 0.1)


def test_nothing_to_tune(ladder: Ladder) -> None:
    plain = Candidate.from_formula("0.5*|xi|^2 - lse(X @ xi)")
    assert run(SettingsSearch(plain, ladder.rungs[0], 0), lambda settings: 0.0) == [{}]


def test_nobody_reads_of_it_in_a_log(ladder: Ladder, caplog: pytest.LogCaptureFixture) -> None:
    before = optuna.logging.get_verbosity()
    run(SettingsSearch(SOFTMAX, ladder.rungs[0], 0), near(2.0))
    assert not caplog.records
    assert optuna.logging.get_verbosity() == before


def test_the_planted_truth_is_tuned_to_the_ceiling(ladder: Ladder) -> None:
    rung = ladder.rungs[0]
    search = SettingsSearch(SOFTMAX, rung, 0)
    run(search, lambda settings: rung.score(train(rung.config(SOFTMAX, settings, 0))))
    assert search.best_score > 0.98
    assert search.best["beta"] == pytest.approx(1.5625, rel=0.3)


def test_a_step_size_whose_range_is_even_is_drawn_evenly_near_the_best_too(ladder: Ladder) -> None:
    candidate = Candidate.from_formula("0.5*|xi|^2 - max_n(X @ xi) - lse(beta*X @ xi)")
    assert candidate.entry(title="").step_size.search is not None
    asked = run(SettingsSearch(candidate, ladder.rungs[0], 0), near(1.0))
    assert len({each["step_size"] for each in asked[5:]}) > 1
