"""Evolution on an objective that is known: it comes nearer to a planted update than chance does."""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest
import torch

from attenergy.energies.language import PUBLIC
from attenergy.search.discovery.filters.evaluate import update_of
from attenergy.search.discovery.filters.fingerprint import Fingerprint
from attenergy.search.discovery.formulas.candidate import PARAMETERS, Candidate
from attenergy.search.discovery.formulas.grammar import Grammar
from attenergy.search.discovery.population.individual import Arm, Individual, by_merit
from attenergy.search.discovery.population.proposals import propose
from attenergy.search.discovery.population.selection import Selection

RUNGS = ("planted",)
ARMS: tuple[Arm, ...] = ("evolved", "random")
TARGETS = (
    "0.5*|xi|^2 - sum_n(softplus(2*(X @ xi) - 1)) - 2*sqrt(1 + |xi|^2)",
    "|xi|^2 - sum_n(relu(X @ xi)^3)/3 + 2*sqrt(1 + |xi|^2)",
)
#: Without what would be the target at once, or nearly.
NEAR = ("lse", "softmax", "sparsemax", "entmax", "normmax", "ksubsets")
GRAMMAR = Grammar.of(
    without=[name for name in PUBLIC if name.removesuffix("_conj") in NEAR], most_nodes=24
)


def inputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    drawn = {"xi": (6, 1, 4), "X": (6, 5, 4)}
    values = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in drawn.items()
    }
    return {**values, **dict.fromkeys(PARAMETERS, torch.ones(1, 1, 1, dtype=torch.float64))}


INPUTS = inputs()


def alignment(candidate: Candidate, target: str) -> float:
    """Cosine between the candidate's update and the planted one: 1 for the same but for a scale."""
    wanted = update_of(Candidate.from_formula(target).tree, INPUTS)[1].flatten()
    try:
        update = update_of(candidate.tree, INPUTS)[1].flatten()
    except RuntimeError:  # it does not depend on the state
        return -math.inf
    value = float(update @ wanted / (update.norm() * wanted.norm()))
    return value if math.isfinite(value) else -math.inf


def discover(arm: Arm, target: str, seed: int, count: int) -> list[Individual]:
    """A population of one arm; formulas with one score are one behaviour."""
    population: list[Individual] = []
    for number in range(count):
        rng, selection = random.Random(f"{seed} {number}"), Selection.of(population, arm, RUNGS)
        for _ in range(20):
            proposal = propose(selection, GRAMMAR, rng)
            score = round(alignment(proposal.candidate, target), 6)
            mark = Fingerprint((score,), (round(4 * score) if math.isfinite(score) else -9,))
            if mark.key not in selection.known:
                break
        population.append(
            Individual(
                number,
                arm,
                proposal.candidate,
                mark,
                operation=proposal.operation,
                parents=proposal.parents,
                scores={"planted": score},
            )
        )
    return population


@pytest.mark.slow
def test_evolution_comes_nearer_to_planted_truths_than_chance() -> None:
    errors = {
        arm: fmean(
            1 - by_merit(discover(arm, target, seed, 150), RUNGS)[0].scores["planted"]
            for target in TARGETS
            for seed in range(2)
        )
        for arm in ARMS
    }
    assert errors["evolved"] < 0.85 * errors["random"]


def test_the_same_seed_gives_the_same_population() -> None:
    one, two = (discover("evolved", TARGETS[0], 5, 20) for _ in range(2))
    assert [each.candidate.formula for each in one] == [each.candidate.formula for each in two]
    assert any(each.parents for each in one)
