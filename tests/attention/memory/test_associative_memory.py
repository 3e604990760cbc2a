"""Recall from an associative memory: stops, spins, and what it refuses."""

from __future__ import annotations

import doctest
import itertools
import sys

import pytest
import torch

import attenergy
from attenergy.attention import AssociativeMemory, relax
from attenergy.attention.memory import spin_updates
from attenergy.energies import make_energy
from attenergy.registry import EnergySpec, load_registry

REGISTRY = load_registry(plugins=False)
HOPFIELD = EnergySpec(title="pairs", formula="-0.5*sum_n((X @ xi)^2)", domain="spin")
#: The same on spins, written so that no scores are seen.
HIDDEN = EnergySpec(title="pairs", formula="-0.5*|X @ (xi^3)|^2", domain="spin")
CUBIC = EnergySpec(title="cubic", formula="-sum_n((X @ xi)^3)/3", domain="spin")


def signs(*shape, seed=0):
    draws = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.where(draws < 0.5, -1.0, 1.0).double()


def noisy(states, flips, seed=1):
    generator = torch.Generator().manual_seed(seed)
    ranks = torch.rand(states.shape, generator=generator).argsort(-1)
    return torch.where(ranks < flips, -states, states)


def sphere(count, dim):
    return torch.nn.functional.normalize(torch.randn(count, dim, dtype=torch.float64), dim=-1)


def test_the_first_example():
    patterns = torch.randn(20, 64)
    memory = attenergy.AssociativeMemory("lse", beta=8.0).store(patterns)
    recalled = memory.recall(patterns + 0.5 * torch.randn(20, 64), steps=3)
    torch.testing.assert_close(recalled.state, patterns)
    assert len(memory) == 20
    assert recalled.converged.all()


def test_the_examples_of_the_docstring():
    module = sys.modules[AssociativeMemory.__module__]
    result = doctest.testmod(module)
    assert result.attempted >= 6
    assert result.failed == 0


def test_no_states():
    memory = AssociativeMemory(HOPFIELD).store(signs(3, 5))
    for mode in ("parallel", "sequential"):
        recalled = memory.recall(signs(0, 5), mode=mode, trace=True, steps=2)
        assert recalled.state.shape == (0, 5)
        assert recalled.energies.shape == (3, 0)


def test_steps_are_those_of_relax():
    patterns, states = torch.randn(6, 4).double(), torch.randn(2, 3, 4).double()
    memory = AssociativeMemory("lse", dim=4, beta=0.7).store(patterns)
    recalled = memory.recall(states, steps=4, step_size=0.8, tolerance=0.0, trace=True)
    energy = make_energy("lse", dim=4, beta=0.7, registry=REGISTRY)
    want = relax(energy, states, patterns, steps=4, step_size=0.8, trace=True)
    torch.testing.assert_close(recalled.state, want.state)
    torch.testing.assert_close(recalled.energies, want.energies.detach())
    # The quadratic part is 1: a step of size 0.8 moves by 0.8 gradients.
    torch.testing.assert_close(recalled.residuals, 0.8 * want.residuals.detach())
    torch.testing.assert_close(memory.energy(states), want.energies[0].detach())
    assert not recalled.state.requires_grad


def test_patterns_are_added_and_forgotten():
    first, second = torch.randn(3, 4), torch.randn(2, 4)
    memory = AssociativeMemory("lse").store(first).store(second)
    assert torch.equal(memory.patterns, torch.cat([first, second]))
    first.zero_()  # the memory has a copy
    assert not (memory.patterns[:3] == 0).any()
    assert len(memory.clear()) == 0
    assert len(memory.store(second)) == 2


def test_samples_stop_alone_and_do_not_depend_on_each_other():
    X = sphere(30, 8)
    memory = AssociativeMemory("lse", beta=15.0).store(X)
    states = X[:12] + 0.3 * torch.randn(12, 8)
    together = memory.recall(states, steps=60, tolerance=1e-8, trace=True)
    assert together.steps_taken.unique().numel() > 1
    for index, state in enumerate(states):
        alone = memory.recall(state, steps=60, tolerance=1e-8, trace=True)
        torch.testing.assert_close(alone.state, together.state[index], rtol=1e-12, atol=1e-12)
        assert alone.steps_taken == together.steps_taken[index]
        assert alone.energies.shape == together.energies[:, index].shape
    longer = memory.recall(states, steps=200, tolerance=1e-8)
    rested = together.converged
    assert rested.any()
    assert torch.equal(longer.state[rested], together.state[rested])
    for index in rested.nonzero().flatten():
        taken = int(together.steps_taken[index])
        assert (together.residuals[taken:, index] == 0).all()
        assert (together.energies[taken:, index] == together.energies[-1, index]).all()
        assert together.residuals[taken - 1, index] <= 1e-8 * 8**0.5


def test_states_that_interact_are_one_sample():
    memory = AssociativeMemory("graph_hopfield", beta=4.0, coupling=0.05, registry=REGISTRY)
    memory.store(sphere(5, 6))
    states = torch.randn(3, 4, 6).double()
    recalled = memory.recall(states, steps=200, tolerance=1e-9, trace=True)
    assert recalled.converged.shape == (3,)
    assert recalled.converged.all()
    torch.testing.assert_close(
        memory.recall(states[1], steps=200, tolerance=1e-9).state, recalled.state[1]
    )
    assert (recalled.energies.diff(dim=0) <= 1e-12).all()
    with pytest.raises(ValueError, match=r"states must be floating point \(\.\.\., L, D\)"):
        memory.recall(states[0, 0])


def by_hand(X, state, at_once, sweeps):
    """Hopfield's rule with couplings J = X'X without their diagonal."""
    couplings = X.mT @ X
    couplings.fill_diagonal_(0.0)
    state = state.clone()
    for _ in range(sweeps):
        seen = state.clone() if at_once else state
        for i in range(len(state)):
            drive = couplings[i] @ seen
            state[i] = seen[i] if drive == 0 else torch.sign(drive)
    return state


@pytest.mark.parametrize("spec", [HOPFIELD, HIDDEN], ids=["scores", "energies"])
@pytest.mark.parametrize("mode", ["parallel", "sequential"])
def test_pairs_of_spins_follow_hopfields_rule(spec, mode):
    X, states = signs(5, 15), signs(8, 15, seed=2)
    memory = AssociativeMemory(spec).store(X)
    for sweeps in (1, 2, 3):
        recalled = memory.recall(states, mode=mode, order="fixed", steps=sweeps)
        want = torch.stack([by_hand(X, s, mode == "parallel", sweeps) for s in states])
        torch.testing.assert_close(recalled.state[~recalled.cycling], want[~recalled.cycling])


def test_the_two_ways_of_comparing_energies_agree():
    assert spin_updates.score_readout(make_energy(HIDDEN, dim=4)) is None
    X, states = signs(6, 12), signs(9, 12, seed=3)
    for mode in ("parallel", "sequential"):
        fast, slow = (
            AssociativeMemory(s).store(X).recall(states, mode=mode, seed=4, trace=True)
            for s in (HOPFIELD, HIDDEN)
        )
        assert torch.equal(fast.state, slow.state)
        torch.testing.assert_close(fast.energies, slow.energies)


@pytest.mark.parametrize("order", ["random", "fixed"])
def test_sequential_updates_descend_and_end_in_a_minimum(order):
    """At rest no single turned spin has less energy, found by trying them all."""
    X = signs(9, 12)
    memory = AssociativeMemory(CUBIC).store(X)
    recalled = memory.recall(signs(20, 12, seed=5), order=order, seed=3, trace=True)
    assert recalled.converged.all()
    assert not recalled.cycling.any()
    assert (recalled.energies.diff(dim=0) <= 0).all()
    rest = memory.energy(recalled.state)
    for site in range(12):
        turned = recalled.state.clone()
        turned[:, site] *= -1
        assert (memory.energy(turned) >= rest - 1e-9).all()


def test_a_cycle_of_two_states_is_told():
    """Two spins that want to be equal, started opposite: at once they swap for ever."""
    X = torch.ones(1, 2, dtype=torch.float64)
    memory = AssociativeMemory(HOPFIELD).store(X)
    start = torch.tensor([[1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
    recalled = memory.recall(start, mode="parallel", steps=50)
    assert recalled.cycling.tolist() == [True, False]
    assert recalled.converged.tolist() == [False, True]
    assert recalled.steps_taken.tolist() == [2, 1]
    assert torch.equal(recalled.state, start)
    sequential = memory.recall(start)
    assert sequential.converged.all()
    assert (sequential.state[0, 0] == sequential.state[0, 1]).all()


@pytest.mark.parametrize("mode", ["parallel", "sequential"])
@pytest.mark.parametrize("name", ["lse", "polynomial"])
def test_any_energy_recalls_binary_patterns(mode, name):
    X = signs(10, 60)
    memory = AssociativeMemory(name, registry=REGISTRY).store(X)
    recalled = memory.recall(noisy(X, 6), mode=mode)
    assert torch.equal(recalled.state, X)
    assert recalled.converged.all()


def test_a_tie_does_not_turn_a_spin():
    """Equal energies up to rounding: the state rests at once."""
    flat = EnergySpec(title="flat", formula="0.1*|xi|^2 + 0.3*sum_n(0*(X @ xi))", domain="spin")
    memory = AssociativeMemory(flat).store(signs(3, 7).float())
    recalled = memory.recall(signs(4, 7).float(), steps=3)
    assert (recalled.steps_taken == 1).all()
    assert recalled.converged.all()


def test_a_large_problem_is_cut_into_blocks(monkeypatch):
    X, states = signs(7, 10), noisy(signs(7, 10), 2)
    memory = AssociativeMemory(CUBIC).store(X)
    want = [memory.recall(states, mode=m, trace=True) for m in ("parallel", "sequential")]
    monkeypatch.setattr("attenergy.attention.memory.spin_updates.BLOCK", 16)
    monkeypatch.setattr("attenergy.attention.memory.associative_memory.BLOCK", 4)
    got = [memory.recall(states, mode=m, trace=True) for m in ("parallel", "sequential")]
    for mine, theirs in zip(got, want, strict=True):
        assert torch.equal(mine.state, theirs.state)
        assert torch.equal(mine.energies, theirs.energies)
    assert memory.energy(states.reshape(7, 1, 10)).shape == (7, 1)


def test_states_are_taken_by_their_signs():
    X = signs(2, 6)
    memory = AssociativeMemory(HOPFIELD).store(X)
    half = 0.1 * X
    half[:, 0] = 0.0
    assert torch.equal(memory.recall(half, steps=0).state[:, 1:], X[:, 1:])
    assert (memory.recall(half, steps=0).state[:, 0] == 1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "paralel"}, r"no mode 'paralel' \(did you mean 'parallel'\?\)"),
        ({"mode": "parallel"}, r"mode 'parallel' needs binary patterns, all entries \+1 or -1"),
        ({"mode": "sequential", "step_size": 0.5}, "step_size belongs to mode 'continuous'"),
        ({"steps": -1}, "steps must be a whole number from 0, got -1"),
        ({"tolerance": -1.0}, "tolerance must be a number from 0, got -1.0"),
        ({"order": "given"}, "order must be one of .*, got 'given'"),
        ({"step_size": 0.0}, "step_size must be above 0"),
    ],
)
def test_recall_refuses(options, message):
    memory = AssociativeMemory("lse", registry=REGISTRY).store(torch.randn(4, 3))
    with pytest.raises(ValueError, match=message):
        memory.recall(torch.randn(2, 3), **options)


def test_the_rest_is_refused_too():
    memory = AssociativeMemory("lse", dim=3, registry=REGISTRY)
    for use in (lambda: memory.recall(torch.randn(2, 3)), lambda: memory.energy(torch.randn(3))):
        with pytest.raises(ValueError, match="the memory is empty"):
            use()
    with pytest.raises(ValueError, match="patterns must be 3 wide as the memory, got 4"):
        memory.store(torch.randn(2, 4))
    bad = [torch.randn(3), torch.randn(0, 3), torch.ones(2, 3, dtype=torch.int64)]
    for patterns in bad:
        with pytest.raises(ValueError, match=r"patterns must be floating point \(N, D\)"):
            memory.store(patterns)
    with pytest.raises(ValueError, match="patterns must be finite"):
        memory.store(torch.full((1, 3), torch.nan))
    memory.store(torch.randn(2, 3))
    with pytest.raises(ValueError, match=r"states must be floating point .* D = 3, got \(2, 4\)"):
        memory.recall(torch.randn(2, 4))
    with pytest.raises(ValueError, match="a memory has no heads, the energy has 2"):
        AssociativeMemory(make_energy("lse", dim=3, num_heads=2, registry=REGISTRY))
    with pytest.raises(ValueError, match="already has its own dim and settings"):
        AssociativeMemory(make_energy("lse", dim=3, registry=REGISTRY), beta=1.0)
    with pytest.raises(ValueError, match="spins have no continuous steps"):
        AssociativeMemory(HOPFIELD).store(signs(2, 3)).recall(signs(2, 3), mode="continuous")


def test_all_states_of_a_small_memory():
    """From every one of the 2^6 states: rest, and never above the start."""
    X = signs(2, 6)
    memory = AssociativeMemory(HOPFIELD).store(X)
    every = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=6)), dtype=torch.float64)
    recalled = memory.recall(every)
    assert recalled.converged.all()
    assert (memory.energy(recalled.state) <= memory.energy(every)).all()
