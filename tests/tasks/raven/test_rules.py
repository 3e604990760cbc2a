from __future__ import annotations

import pytest
import torch
from torch import Generator

from attenergy.tasks.raven.rules import RULES, choose_rules

NAMES = (
    "constant",
    "progression_plus_1",
    "progression_plus_2",
    "progression_minus_1",
    "progression_minus_2",
    "addition",
    "subtraction",
    "distribute_three",
    "maximum",
    "minimum",
)
GOLDEN = ("constant", "prog_p1", "prog_p2", "prog_m1", "prog_m2", *NAMES[5:8])


def draw(name: str, count: int, values: int, grid: int = 3) -> torch.Tensor:
    return RULES[name].draw(count, values, grid, Generator().manual_seed(0))


def number(grids: torch.Tensor, values: int) -> torch.Tensor:
    """Grids (N, R, C) of numbers below `values`, each as one number with those as its digits."""
    digits = grids.flatten(1)
    assert digits.min() >= 0
    assert digits.max() < values
    return (digits * values ** torch.arange(digits.shape[1])).sum(1)


def test_ids_are_those_of_the_paper() -> None:
    assert tuple(RULES) == NAMES
    assert all(rule.name == name for name, rule in RULES.items())


@pytest.mark.parametrize(("number", "name"), list(enumerate(NAMES[:8])))
def test_reference_grids_obey_the_rule(golden, obeys, number: int, name: str) -> None:
    arrays = golden("sraven_rules")
    assert tuple(arrays["rule_names"]) == GOLDEN
    grids = arrays[f"grids_{number}_{GOLDEN[number]}"]
    assert RULES[name].holds(torch.tensor(grids), 8).all()
    assert all(obeys(name, grid, 8) for grid in grids.tolist())


@pytest.mark.parametrize("name", NAMES)
def test_holds_agrees_with_plain_python_on_every_grid(obeys, name: str) -> None:
    grids = torch.cartesian_prod(*[torch.arange(3)] * 9).view(-1, 3, 3)
    expected = torch.tensor([obeys(name, grid, 3) for grid in grids.tolist()])
    assert torch.equal(RULES[name].holds(grids, 3), expected)


@pytest.mark.parametrize("values", [3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_draws_are_uniform_over_the_grids_that_obey(
    obeying, looks_uniform, name: str, values: int
) -> None:
    grids = number(torch.tensor(obeying(name, values)), values).sort().values
    drawn = number(draw(name, 20_000, values), values)
    ids = torch.searchsorted(grids, drawn).clamp(max=len(grids) - 1)
    assert torch.equal(grids[ids], drawn), "the rule is broken"
    assert looks_uniform(ids, len(grids))


@pytest.mark.parametrize("values", [3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_completion_restores_the_hidden_entry_and_knows_its_probability(
    obeying, name: str, values: int
) -> None:
    grids = torch.tensor(obeying(name, values))
    hidden = grids.clone()
    hidden[:, -1, -1] = -1
    done = RULES[name].complete(hidden, values)
    assert torch.equal(done.answer, grids[:, -1, -1])
    torch.testing.assert_close(
        done.probability, torch.full((len(grids),), 1 / len(grids), dtype=torch.float64)
    )


@pytest.mark.parametrize("name", NAMES)
def test_completion_gives_no_probability_to_what_breaks_the_rule(obeying, name: str) -> None:
    seen = torch.cartesian_prod(*[torch.arange(3)] * 8)
    grids = torch.cat([seen, torch.zeros(len(seen), 1, dtype=torch.int64)], 1).view(-1, 3, 3)
    contexts = {tuple(sum(grid, ()))[:-1] for grid in obeying(name, 3)}
    expected = torch.tensor([tuple(row) in contexts for row in seen.tolist()])
    assert torch.equal(RULES[name].complete(grids, 3).probability > 0, expected)


@pytest.mark.parametrize("grid", [2, 4, 5])
@pytest.mark.parametrize("name", NAMES[:5])
def test_progressions_on_other_grids(obeys, name: str, grid: int) -> None:
    grids = draw(name, 50, 6, grid)
    assert grids.shape == (50, grid, grid)
    assert all(obeys(name, g, 6) for g in grids.tolist())
    assert RULES[name].holds(grids, 6).all()


@pytest.mark.parametrize(
    "chosen", ["addition, constant", ["addition", "constant"], ("constant", "addition")]
)
def test_named_rules_come_in_the_order_of_their_ids(chosen) -> None:
    assert [rule.name for rule in choose_rules(chosen, 4, 3)] == ["constant", "addition"]


def test_a_number_takes_the_first_rules() -> None:
    assert [rule.name for rule in choose_rules(3, 4, 3)] == list(NAMES[:3])
    assert [rule.name for rule in choose_rules(10, 4, 3)] == list(NAMES)


@pytest.mark.parametrize(
    ("rules", "values", "grid", "message"),
    [
        (11, 8, 3, "'rules' is 11, but there are only 10"),
        (0, 8, 3, "'rules' must be a whole number >= 1, got 0"),
        (True, 8, 3, "'rules' must be a whole number >= 1, got True"),
        (2.0, 8, 3, "'rules' must be a whole number"),
        ("adition", 8, 3, "no rule 'adition' .did you mean 'addition'"),
        ("constant,constant", 8, 3, "must name each rule once, got constant, constant"),
        ([], 8, 3, "must name each rule once, got none"),
        (8, 2, 3, "rule 'distribute_three' needs values >= 3, got 2"),
        (6, 8, 4, "rule 'addition' needs grid 3, got 4"),
    ],
)
def test_bad_choices_are_refused(rules, values: int, grid: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_rules(rules, values, grid)
