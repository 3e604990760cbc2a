from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from attenergy.search.discovery.results.discovery import Discovery
from attenergy.search.discovery.results.family import Place, family, places
from tests.search.discovery.results.conftest import LSE, formula


def tree(parents: Mapping[int, tuple[int, ...]]) -> list[Place]:
    population = tuple(formula(n, "evolved", LSE, parents=of) for n, of in parents.items())
    discovery = Discovery(name="tree", tasks=("t",), population=population)
    return places(discovery, sorted(population, key=lambda f: -f.number))


def connected(placed: list[Place]) -> bool:
    """Whether what goes on below one row comes from above in the next."""
    return all(above.after == below.before for above, below in pairwise(placed))


def test_a_chain_is_one_line() -> None:
    placed = tree({0: (), 1: (0,), 2: (1,)})
    assert [place.lane for place in placed] == [0, 0, 0]
    assert connected(placed)


def test_a_second_parent_has_a_line_of_its_own_until_it_stands() -> None:
    placed = tree({0: (), 1: (), 2: (0,), 3: (2, 1)})
    assert [(p.formula.number, p.lane) for p in placed] == [(3, 0), (2, 0), (1, 1), (0, 0)]
    assert connected(placed)
    assert not placed[-1].after


def test_lines_to_one_parent_join() -> None:
    placed = tree({0: (), 1: (0,), 2: (0,), 3: (2, 1)})
    assert connected(placed)
    assert placed[2].formula.number == 1
    assert placed[2].parents == placed[1].parents  # both lead to 0
    assert not placed[-1].after


def test_the_page_has_a_row_for_every_ancestor(discovery: Discovery) -> None:
    drawn = family(discovery, discovery.by_number[5])
    assert [row["name"] for row in drawn["rows"]] == ["5", "3", "quadratic", "lse"]
    assert drawn["rows"][0]["how"] == "crossover of 3 and quadratic"
    assert drawn["rows"][0]["winner"]
    assert all(row["mathml"].startswith("<math") for row in drawn["rows"])
    assert drawn["rows"][-1]["lines"]["below"] == ""


def test_a_long_line_is_cut_at_its_oldest(discovery: Discovery) -> None:
    population = tuple(formula(n, "evolved", LSE, parents=(n - 1,)) for n in range(60))
    long = discovery.model_copy(update={"population": population})
    drawn = family(long, population[-1])
    assert (len(drawn["rows"]), drawn["older"]) == (40, 20)
    assert drawn["rows"][-1]["lines"]["below"] == ""
