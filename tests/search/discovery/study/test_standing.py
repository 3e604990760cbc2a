from __future__ import annotations

from attenergy.search.discovery.filters.fingerprint import Fingerprint
from attenergy.search.discovery.formulas import Candidate
from attenergy.search.discovery.population.individual import Individual
from attenergy.search.discovery.study.attributes import Rejections
from attenergy.search.discovery.study.standing import standing

SOFTMAX = Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")
NOWHERE = Fingerprint((0.0,), (0,))


def test_the_best_of_every_arm_and_what_was_rejected() -> None:
    population = [
        Individual(0, "registry", SOFTMAX, NOWHERE, "lse", scores={"a": 0.4}),
        Individual(1, "evolved", SOFTMAX, NOWHERE, scores={"a": 0.3}),
        Individual(2, "evolved", SOFTMAX, NOWHERE, scores={"a": 0.2, "b": 0.25}),
        Individual(3, "random", SOFTMAX, NOWHERE),
    ]
    rejections = Rejections()
    rejections.add("types", 1.0, 2)
    rejections.add("bounded", 3.0)
    assert standing(population, ["a", "b"], rejections) == (
        "best: registry lse 0.400 on a, evolved 0.250 on b: 0.5*|xi|^2 - lse((beta*X) @ xi)/beta; "
        "rejected 3 (types 2, bounded 1)"
    )


def test_before_there_is_anything() -> None:
    assert standing([], ["a"], Rejections()) == "no score yet"
