"""The solver of one matrix and the paper's check, against plain loops over all they sum over."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import combinations_with_replacement, permutations, product

import pytest
import torch

from attenergy.tasks import Raven
from attenergy.tasks.raven.ceiling import wholly_ambiguous
from attenergy.tasks.raven.enumerate import Hypotheses, explain

ORDERS = list(permutations(range(2)))


def completions(grids: list) -> dict[tuple[int, ...], tuple[int, Fraction]]:
    """Context of one feature -> its completion and its probability, from all grids of a rule."""
    return {sum(g, ())[:-1]: (g[2][2], Fraction(1, len(grids))) for g in grids}


def lines(shown: list, columns) -> list[tuple[tuple[int, ...], int]]:
    """For each feature its entries but the last, and its place in the last panel."""
    complete = []
    for feature in range(2):
        place = [column.index(feature) for column in columns]
        entries = [shown[r][c][place[c]] for r, c in product(range(3), range(3))]
        complete.append((tuple(entries[:-1]), place[2]))
    return complete


@pytest.mark.parametrize(("prior", "permute"), [("all", True), ("test", True), ("all", False)])
def test_posterior_of_one_matrix(obeying, prior: str, permute: bool) -> None:
    task = Raven(features=2, values=4, rules=10, permute=permute)
    names = [rule.name for rule in task.rules]
    known = [completions(obeying(name, 4)) for name in names]
    orders = ORDERS if permute else ORDERS[:1]
    for index in range(25):
        matrix = task.sample("test", index)
        answers, rules, alignments = (defaultdict(Fraction) for _ in range(3))
        for combination in task.split_of_combinations(prior).tolist():
            for columns in product(orders, repeat=3):
                weight, panel = Fraction(1), [0, 0]
                for rule, (seen, place) in zip(
                    combination, lines(matrix.shown.tolist(), columns), strict=True
                ):
                    panel[place], chance = known[rule].get(seen, (0, Fraction(0)))
                    weight *= chance
                if weight:
                    answers[tuple(panel)] += weight
                    rules[tuple(names[rule] for rule in combination)] += weight
                    places = tuple(tuple(c.index(f) for f in columns[2]) for c in columns)
                    alignments[places] += weight
        total = sum(answers.values())
        posterior = task.solve(matrix, prior=prior)
        for ours, mass in (
            (posterior.answers, answers),
            (posterior.combinations, rules),
            (posterior.alignments, alignments),
        ):
            assert ours == pytest.approx({key: float(m / total) for key, m in mass.items()})
            assert list(ours.values()) == sorted(ours.values(), reverse=True)
        assert posterior.ambiguous == (len(answers) > 1)
        assert answers[posterior.map_answer] == max(answers.values())
        assert posterior.confidence == pytest.approx(float(max(answers.values()) / total))
        assert matrix.answer in posterior.answers
        assert matrix.rules in posterior.combinations


def test_one_matrix_and_many_have_the_same_solution() -> None:
    task = Raven()
    many = task.solve_many("ood", 0, 40, prior="all")
    for index in range(40):
        one = task.solve(task.sample("ood", index))
        assert one.confidence == pytest.approx(many.confidence[index].item())
        assert one.ambiguous == (many.answers[index] > 1)
        answer = tuple(many.answer[index].tolist())
        assert one.answers[answer] == pytest.approx(one.confidence)


@pytest.mark.parametrize("permute", [True, False])
def test_rounding_does_not_decide_between_equals(monkeypatch, permute: bool) -> None:
    """Last bits differ between processors: here they are shaken, and the order stays."""
    task = Raven(features=2, values=4, rules=10, permute=permute)
    matrices = [task.sample("test", index) for index in range(40)]
    known = [task.solve(matrix, prior="all") for matrix in matrices]
    assert any(list(one.answers.values())[:1] == list(one.answers.values())[1:2] for one in known)

    def shaken(*args, **options) -> Hypotheses:
        result = explain(*args, **options)
        noise = 1 + 4e-15 * torch.randn(len(result.likelihood), dtype=torch.float64)
        return replace(result, likelihood=result.likelihood * noise)

    monkeypatch.setattr("attenergy.tasks.raven.posterior.explain", shaken)
    monkeypatch.setattr("attenergy.tasks.raven.ceiling.explain", shaken)
    for matrix, first in zip(matrices, known, strict=True):
        again = task.solve(matrix, prior="all")
        for part in ("answers", "combinations", "alignments"):
            assert list(getattr(again, part)) == list(getattr(first, part))
            ordered = list(getattr(again, part).values())
            assert ordered == sorted(ordered, reverse=True)
    together = task.solve_many("test", 0, 40, prior="all").answer.tolist()
    assert [tuple(answer) for answer in together] == [one.map_answer for one in known]


@pytest.mark.parametrize("values", [3, 4])
def test_the_check_of_the_paper_asks_for_every_feature_to_be_wrong(obeying, values: int) -> None:
    task = Raven(features=2, values=values)
    known = [completions(obeying(rule.name, values)) for rule in task.rules]
    panels = task.instances("test", 0, 300)["panels"]
    expected = []
    for shown in panels.tolist():
        expected.append(
            any(
                all(
                    any(seen in rule and rule[seen][0] != shown[2][2][place] for rule in known)
                    for seen, place in lines(shown, columns)
                )
                for columns in product(ORDERS, repeat=3)
            )
        )
    ambiguous = wholly_ambiguous(panels, task.rules, values, permute=True)
    assert ambiguous.tolist() == expected
    assert 0 < sum(expected) < 100
    assert (task.solve_many("test", 0, 300, prior="all").answers[ambiguous] > 1).all()


def test_the_check_of_the_paper_counts_what_the_paper_counts() -> None:
    task = Raven()
    panels = task.instances("test", 0, 4096)["panels"]
    share = wholly_ambiguous(panels, task.rules, 8, permute=True).double().mean().item()
    assert share == pytest.approx(0.0032, abs=3 * 0.0012)  # Table A2; both counts have an error
    assert share > 0


def test_a_posterior_can_be_read() -> None:
    task = Raven(features=2, values=4)
    posteriors = [task.solve(task.sample("test", index)) for index in range(40)]
    for posterior in posteriors:
        text = str(posterior)
        assert f"{posterior.confidence:6.1%}  {' '.join(map(str, posterior.map_answer))}" in text
        assert next(iter(posterior.combinations))[0] in text
        assert f"%  {' '.join(map(str, next(iter(posterior.alignments))))}" in text
        assert {type(n) for one in posterior.alignments for place in one for n in place} == {int}
    longest = max(posteriors, key=lambda posterior: len(posterior.combinations))
    assert len(longest.combinations) > 5
    assert f"  and {len(longest.combinations) - 5} more" in str(longest)


def test_what_the_prior_excludes_cannot_be_solved() -> None:
    task = Raven(features=1, rules="constant,addition", ood_fraction=0.5)
    assert {len(task.in_distribution), len(task.held_out)} == {1}
    matrices = [task.sample("ood", index) for index in range(20)]
    with pytest.raises(ValueError, match="no combination of rules in the prior explains"):
        [task.solve(matrix, prior="test") for matrix in matrices]
    with pytest.raises(ValueError, match="no split 'everything'"):
        task.solve(task.sample("ood", 0), prior="everything")


def test_every_multiset_of_ten_rules_is_a_combination() -> None:
    task = Raven(features=3, rules=10)
    assert task.combinations.tolist() == [
        list(c) for c in combinations_with_replacement(range(10), 3)
    ]
    drawn = task.instances("train", 0, 2048)
    for number, rule in enumerate(task.rules):
        plain = drawn["panels"].gather(
            -1, drawn["permutations"].argsort(-1)[:, None].expand(-1, 3, -1, -1)
        )
        grids = plain.movedim(-1, 1)[drawn["rules"] == number]
        assert len(grids) > 100
        assert rule.holds(grids, 8).all()
    assert torch.equal(task.combinations, task.combinations.sort(-1).values)
