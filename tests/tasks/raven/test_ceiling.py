from __future__ import annotations

import math
import statistics
from collections import defaultdict
from fractions import Fraction
from itertools import combinations_with_replacement, permutations, product

import pytest
import torch

from attenergy.tasks import Estimate, Raven
from attenergy.tasks.raven.ceiling import solve, wholly_ambiguous
from attenergy.tasks.raven.posterior import posterior
from attenergy.tasks.raven.prior import Prior, split_combinations
from attenergy.tasks.raven.rules import RULES, choose_rules

Joint = dict[tuple[int, ...], dict[tuple[int, ...], int]]


def every_outcome(grids_of: dict[str, list], features: int, permute: bool) -> Joint:
    """Weight of each (context, answer): run the generator over everything it can draw."""
    joint: Joint = defaultdict(lambda: defaultdict(int))
    tasks = list(combinations_with_replacement(grids_of, features))
    orders = list(permutations(range(features))) if permute else [tuple(range(features))]
    whole = math.lcm(*(math.prod(len(grids_of[rule]) for rule in task) for task in tasks))
    for task in tasks:
        draws = list(product(*(grids_of[rule] for rule in task)))
        share = whole // len(draws)  # every task has the same weight in all
        for grids in draws:
            for columns in product(orders, repeat=3):
                shown = [
                    grids[columns[c][f]][r][c]
                    for r, c, f in product(range(3), range(3), range(features))
                ]
                joint[tuple(shown[:-features])][tuple(shown[-features:])] += share
    return joint


def posterior_of(panels: torch.Tensor, names: list[str], values: int, permute: bool):
    rules = choose_rules(names, values, 3)
    tasks = torch.tensor(list(combinations_with_replacement(range(len(rules)), panels.shape[-1])))
    prior = Prior(tasks, len(rules), shuffled=permute)
    return solve(panels, rules, prior, values, permute=permute)


@pytest.mark.parametrize(
    ("names", "features", "values", "permute"),
    [
        (list(RULES), 1, 4, True),
        (["addition", "maximum", "minimum"], 1, 3, True),
        pytest.param(
            ["constant", "progression_plus_1", "progression_minus_1"],
            2,
            3,
            True,
            marks=pytest.mark.slow,
        ),
        (["constant", "progression_plus_2", "progression_minus_2"], 2, 4, False),
    ],
)
def test_posterior_equals_the_enumeration_of_all_outcomes(
    obeying, names: list[str], features: int, values: int, permute: bool
) -> None:
    grids_of = {name: obeying(name, values) for name in names}
    joint = every_outcome(grids_of, features, permute)
    weight_of_all = sum(p for answers in joint.values() for p in answers.values())
    cases = [(context, answer) for context, answers in joint.items() for answer in answers]
    panels = torch.tensor([[*c, *a] for c, a in cases]).view(-1, 3, 3, features)
    solution = posterior_of(panels, names, values, permute)
    totals = {context: sum(answers.values()) for context, answers in joint.items()}
    best = {c: max(answers.values()) for c, answers in joint.items()}
    expected = {
        "truth": [joint[c][a] / totals[c] for c, a in cases],
        "confidence": [best[c] / totals[c] for c, _ in cases],
    }
    for name, numbers in expected.items():
        torch.testing.assert_close(
            getattr(solution, name), torch.tensor(numbers, dtype=torch.float64), rtol=1e-12, atol=0
        )
    assert solution.answers.tolist() == [len(joint[c]) for c, _ in cases]
    guesses = solution.answer.tolist()
    for (context, _), guess in list(zip(cases, guesses, strict=True))[::7]:
        assert joint[context][tuple(guess)] == best[context]
    weights = torch.tensor([joint[c][a] for c, a in cases], dtype=torch.float64)
    ceiling = sum(best.values()) / weight_of_all
    assert (solution.confidence @ weights).item() / weight_of_all == pytest.approx(ceiling)


SPLITS = ("train", "valid", "test", "ood")


def lines_of(grids: list) -> dict[tuple[int, ...], tuple[int, Fraction]]:
    """Context of one feature -> its completion and its probability, from all grids of a rule."""
    return {sum(g, ())[:-1]: (g[2][2], Fraction(1, len(grids))) for g in grids}


@pytest.mark.parametrize("split", ["test", "ood"])
def test_posterior_equals_a_plain_sum_over_tasks_and_column_orders(obeying, split):
    task = Raven(features=2, values=4)
    names = [rule.name for rule in task.rules]
    lines = {name: lines_of(obeying(name, 4)) for name in names}
    orders = list(permutations(range(2)))
    drawn = task.instances(split, 0, 60)["panels"]
    solutions = task.solve_many(split, 0, 60)
    for n, shown in enumerate(drawn.tolist()):
        mass: dict[tuple[int, ...], Fraction] = defaultdict(Fraction)
        for rules in task.split_of_combinations(split).tolist():
            for columns in product(orders, repeat=3):
                weight, hidden = Fraction(1), {}
                for feature, rule in enumerate(rules):
                    places = [columns[c].index(feature) for c in range(3)]
                    line = [shown[r][c][places[c]] for r, c in product(range(3), range(3))]
                    answer, p = lines[names[rule]].get(tuple(line[:-1]), (0, Fraction(0)))
                    weight *= p
                    hidden[places[2]] = answer
                if weight:
                    mass[tuple(hidden[place] for place in range(2))] += weight
        total = sum(mass.values())
        assert solutions.confidence[n].item() == pytest.approx(float(max(mass.values()) / total))
        assert solutions.truth[n].item() == pytest.approx(float(mass[tuple(shown[2][2])] / total))
        assert solutions.answers[n].item() == len(mass)


@pytest.mark.parametrize(
    ("features", "split"),
    [
        *((features, split) for features in (1, 2) for split in SPLITS),
        (3, "ood"),
        *(pytest.param(3, split, marks=pytest.mark.slow) for split in SPLITS[:3]),
    ],
)
def test_solver_is_right_as_often_as_it_is_confident(features: int, split: str) -> None:
    task = Raven(features=features)
    solutions = task.solve_many(split, 0, 4096)
    truth = task.instances(split, 0, 4096)["panels"][:, -1, -1]
    right = (solutions.answer == truth).all(-1).double()
    gap = Estimate.of(right - solutions.confidence)
    assert abs(gap.value) < 4 * gap.error + 1e-12
    assert (solutions.truth > 0).all()
    assert (solutions.truth <= solutions.confidence + 1e-12).all()
    assert task.ceiling(split).value == pytest.approx(solutions.confidence.mean().item(), abs=0.02)


PUBLISHED = {  # 20,480 matrices, standard errors 0.002 to 0.003: own prior, all tasks, ambiguous
    "test": (0.935, 0.929, 0.248),
    "ood": (0.946, 0.927, 0.241),
}


@pytest.mark.long
@pytest.mark.parametrize("split", [pytest.param("test", marks=pytest.mark.slow), "ood"])
def test_ceiling_at_the_paper_size_with_the_reference_split(golden, split: str) -> None:
    arrays = golden("sraven_splits")
    task = Raven()
    latents = torch.tensor(arrays["latents_all"]).long()
    task.in_distribution = latents[torch.tensor(arrays["idx_in_seed0"]).long()]
    task.held_out = latents[torch.tensor(arrays["idx_ood_seed0"]).long()]
    own = task.solve_many(split, 0, 10_240)
    every = task.solve_many(split, 0, 10_240, prior="all")
    expected_own, expected_all, ambiguous = PUBLISHED[split]
    assert own.confidence.mean().item() == pytest.approx(expected_own, abs=0.009)
    truth = task.instances(split, 0, 10_240)["panels"][:, -1, -1]
    accuracy = (every.answer == truth).all(-1).double().mean().item()
    assert accuracy == pytest.approx(expected_all, abs=0.011)
    assert (every.answers > 1).double().mean().item() == pytest.approx(ambiguous, abs=0.02)


@pytest.mark.parametrize("shuffled", [True, False])
def test_prior_is_a_distribution_over_ordered_rules(shuffled: bool) -> None:
    tasks = torch.tensor([[0, 0, 2], [0, 1, 2], [1, 1, 1]])
    prior = Prior(tasks, 3, shuffled=shuffled)
    ordered = torch.tensor(list(product(range(3), repeat=3)))
    weights = dict(zip(map(tuple, ordered.tolist()), prior(ordered).tolist(), strict=True))
    assert sum(weights.values()) == pytest.approx(1)
    if shuffled:
        assert weights[2, 0, 0] == pytest.approx(1 / 9)
        assert weights[2, 0, 1] == pytest.approx(1 / 18)
        assert weights[1, 1, 1] == pytest.approx(1 / 3)
    else:
        assert {rules for rules, p in weights.items() if p} == set(map(tuple, tasks.tolist()))


def test_an_estimate_is_a_mean_with_its_standard_error() -> None:
    values = [0.25, 1.0, 0.5, 1.0, 0.0]
    estimate = Estimate.of(torch.tensor(values))
    assert estimate.value == pytest.approx(statistics.mean(values))
    assert estimate.error == pytest.approx(statistics.stdev(values) / math.sqrt(5))
    assert estimate.instances == 5


@pytest.mark.parametrize("split", ["train", "valid", "test", "ood"])
def test_ceiling_is_an_estimate_that_is_made_once(split: str) -> None:
    """The mean confidence of a solver that knows the combinations of this split, no others."""
    task = Raven(features=1, rules=10, ood_fraction=0.4)
    ceiling = task.ceiling(split)
    assert ceiling is task.ceiling(split)
    panels = task.instances(split, 0, 8192)["panels"]
    prior = Prior(task.split_of_combinations(split), 10, shuffled=True)
    confidence = solve(panels, task.rules, prior, 8, permute=True).confidence.tolist()
    assert ceiling.value == pytest.approx(statistics.mean(confidence))
    assert ceiling.error == pytest.approx(statistics.stdev(confidence) / math.sqrt(8192))
    assert ceiling.instances == 8192
    other = Prior(task.combinations, 10, shuffled=True)
    assert solve(panels, task.rules, other, 8, permute=True).confidence.mean() < ceiling.value


def test_what_does_not_fit_in_64_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="8 rules on 21 features are too many"):
        Prior(torch.zeros(1, 21, dtype=torch.int64), 8, shuffled=True)
    prior = Prior(torch.zeros(1, 32, dtype=torch.int64), 2, shuffled=True)
    panels = torch.zeros(1, 3, 3, 32, dtype=torch.int64)
    for ask in (
        lambda: solve(panels, (), prior, 4, permute=True),
        lambda: wholly_ambiguous(panels, (), 4, permute=True),
        lambda: posterior(panels[0], (), prior, 4, permute=True),
    ):
        with pytest.raises(ValueError, match="32 features on a grid of 3 are too many"):
            ask()


def test_both_sides_of_a_split_are_disjoint_and_seeded() -> None:
    tasks = torch.arange(40)[:, None]
    seen, held_out = split_combinations(tasks, 0.3, split_seed=5)
    assert len(held_out) == 12
    assert sorted(torch.cat([seen, held_out]).flatten().tolist()) == list(range(40))
    again = split_combinations(tasks, 0.3, split_seed=5)[1]
    other = split_combinations(tasks, 0.3, split_seed=6)[1]
    assert torch.equal(held_out, again)
    assert not torch.equal(held_out, other)
