from __future__ import annotations

import pytest

from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.results.ablation import ablations


def parts(text: str) -> dict[str, str]:
    return {one.what: one.formula for one in ablations(Candidate.from_formula(text))}


def test_every_part_is_left_out_once() -> None:
    assert parts("0.5*|xi|^2 - lse(beta*X @ xi)/beta") == {
        "nothing": "0.5*|xi|^2 - lse((beta*X) @ xi)/beta",
        "the term 0.5*|xi|^2": "-lse((beta*X) @ xi)/beta",
        "the term -lse((beta*X) @ xi)/beta": "0.5*|xi|^2",
        "the factor 0.5": "|xi|^2 - lse((beta*X) @ xi)/beta",
        "the factor 1/beta": "0.5*|xi|^2 - lse((beta*X) @ xi)",
        "lse, sum_n in its place": "0.5*|xi|^2 - sum_n((beta*X) @ xi)/beta",
        "the factor beta": "0.5*|xi|^2 - lse(X @ xi)/beta",
    }


def test_functions_give_way_to_their_arguments() -> None:
    left = parts("|xi|^2 - sum_n(tanh((X @ xi)^3))")
    assert left["tanh of (X @ xi)^3"] == "|xi|^2 - sum_n((X @ xi)^3)"
    assert left["the exponent 3 of X @ xi"] == "|xi|^2 - sum_n(tanh(X @ xi))"


@pytest.mark.parametrize("text", ["|xi|^2", "0.5*|xi|^2 + 0.5*|xi|^2"])
def test_what_is_left_is_an_energy_and_not_the_same(text: str) -> None:
    whole, *others = ablations(Candidate.from_formula(text))
    assert whole.what == "nothing"
    for one in others:
        assert "xi" in one.candidate.tree.names
        assert one.candidate.normal_form != whole.candidate.normal_form
    assert len({one.candidate.key for one in others}) == len(others)


def test_large_parts_come_first_and_only_so_many() -> None:
    candidate = Candidate.from_formula("|xi|^2 - lse(beta*X @ xi + tanh(X @ xi)*alpha)/beta")
    few = ablations(candidate, most=3)
    assert len(few) == 4
    assert [len(one.formula) for one in few[1:]] == sorted(len(one.formula) for one in few[1:])


def test_equal_parts_in_two_places_have_two_names() -> None:
    names = [one.what for one in ablations(Candidate.from_formula(
        "0.5*|xi|^2 - 0.5*lse(beta*X @ xi) - 0.5*sum_n(tanh(X @ xi))"
    ))]  # fmt: skip
    assert len(names) == len(set(names))
    assert {"the factor 0.5", "the factor 0.5 (2)", "the factor 0.5 (3)"} <= set(names)


def test_parts_that_move_no_state_are_not_left_out() -> None:
    names = parts("0.5*|xi|^2 - (lse(X @ xi) + beta - 0.316)/beta")
    assert "the term beta" not in names
    assert "the term -0.316" not in names
