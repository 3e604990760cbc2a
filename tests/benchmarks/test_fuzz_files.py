"""A small share of the fuzz of files: registries, exports and studies that nobody should trust."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz"


@pytest.fixture(scope="module")
def fuzz() -> Any:
    sys.path.insert(0, str(FOLDER))
    try:
        import fuzz_files
    finally:
        sys.path.remove(str(FOLDER))
    return fuzz_files


@pytest.fixture(scope="module")
def cases(fuzz: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return fuzz.Cases(tmp_path_factory.mktemp("fuzz"), seed=1)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "count"), [("registry", 40), ("folder", 20)])
def test_nothing_but_documented_errors(fuzz: Any, cases: Any, kind: str, count: int) -> None:
    case = getattr(cases, kind)
    outcomes, texts = set(), []
    for number in range(1, count + 1):
        try:
            outcomes.add(case(number))
        except fuzz.DOCUMENTED as error:
            texts.append(str(error))
    assert all(texts), "every refusal says something"
    assert texts, "some are refused"
    assert outcomes, "some are taken"


def test_a_case_is_always_the_same(fuzz: Any, tmp_path: Path) -> None:
    from random import Random

    from fuzz_inputs import registry

    texts = [[registry(Random(f"x-{n}"), "a: 1\nb: 2\n") for n in range(30)] for _ in range(2)]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 25


def test_what_a_batch_says_of_bad_cases(fuzz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def case(number: int) -> str:
        if number == 1:
            raise ZeroDivisionError
        if number == 2:
            os._exit(3)
        if number == 3:
            raise ValueError("documented")
        return "fine"

    monkeypatch.setattr(fuzz, "BATCH", 3)
    result = fuzz.nothing_yet()
    fuzz.run(case, 2, result)
    fuzz.run(case, 5, result)
    assert result["cases"] == 5
    assert [line["number"] for line in result["bad"]] == [1, 2]
    assert result["outcomes"]["fine"] == 2
    assert result["outcomes"]["refused: ValueError"] == 1
