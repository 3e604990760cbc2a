"""The table of solvers: names, earlier names, and what entries say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from attenergy.attention import EnergyAttention, relax
from attenergy.attention.solvers.base import Rest, Solver
from attenergy.attention.solvers.catalogue import (
    SOLVERS,
    check_solver,
    solver_name,
    solver_problems,
    trainable,
)
from attenergy.energies import make_energy
from attenergy.registry import UnknownName, load_registry
from attenergy.registry.plugins import Plugin

REGISTRY = load_registry(plugins=False)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("earlier", "name"), [("implicit", "semi_implicit"), ("sequential", "coordinate_descent")]
)
def test_earlier_names_are_accepted(earlier: str, name: str) -> None:
    assert (solver_name(earlier), solver_name(name)) == (name, name)
    energy = make_energy("graph_hopfield", dim=4, registry=REGISTRY).double()
    xi, X = draw(3, 4), draw(5, 4, seed=1)
    old, new = (relax(energy, xi, X, steps=2, solver=one).state for one in (earlier, name))
    assert torch.equal(old, new)
    layer = EnergyAttention(8, 2, "graph_hopfield", registry=REGISTRY, solver=earlier)
    assert layer.solver == name
    layer.solver = "descent"
    layer.solver = earlier
    assert layer.solver == name


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match=r"no solver 'decent' \(did you mean 'descent'\?\)"):
        check_solver("decent")
    assert {"descent", "coordinate_descent", "semi_implicit", "fixed_point"} <= {*trainable()}
    assert "langevin" not in trainable()


def test_a_solver_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One class and one entry: `relax` and layers take it, with its options and its guarantee."""

    class Bold(Solver):
        summary = "plain steps, `boldness` times as long"
        options = ("damping", "boldness")
        default_steps = 3

        def run(self, problem, xi, gammas, record=None, *, steps, damping=0.0, boldness=1.0):  # type: ignore
            for gamma in (boldness * gamma for gamma in gammas):
                xi = problem.moved(xi, (1 - damping) * gamma * problem.direction(xi))
            return Rest(xi)

    monkeypatch.setitem(SOLVERS, "bold", Bold())
    energy = make_energy("lse", dim=4, registry=REGISTRY).double()
    xi, X = draw(3, 4), draw(5, 4, seed=1)
    got = relax(energy, xi, X, solver="bold", damping=0.5)
    torch.testing.assert_close(got.state, relax(energy, xi, X, steps=3, step_size=0.5).state)
    assert got.guarantee
    twice = relax(energy, xi, X, solver="bold", damping=0.5, boldness=2.0)  # type: ignore[call-arg]
    torch.testing.assert_close(twice.state, relax(energy, xi, X, steps=3, step_size=1.0).state)
    with pytest.raises(UnknownName, match=r"did you mean 'boldness'\?"):
        relax(energy, xi, X, solver="bold", boldnes=2.0)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="are for 'descent' and 'semi_implicit' and 'bold'"):
        relax(energy, xi, X, solver="fixed_point", damping=0.5)
    assert EnergyAttention(8, 2, "lse", registry=REGISTRY, solver="bold").steps == 3


def test_what_entries_say_of_solvers_is_checked_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "version: 1\nenergies:\n"
        "  a: {title: A, formula: -lse(X @ xi), solver: {default: decent}}\n"
        "  b: {title: B, formula: -lse(X @ xi), solver: {search: {choices: [descent, langevin]}}}\n"
        "  c: {title: C, formula: -lse(X @ xi), solver: {default: implicit}}\n"
    )
    problems = solver_problems(load_registry(path, builtin=False, plugins=False))
    assert [str(problem).removeprefix(f"{path}:") for problem in problems] == [
        "3:58: energies.a.solver.default: no solver 'decent' (did you mean 'descent'?); known: "
        f"{', '.join(SOLVERS)}",
        "4:77: energies.b.solver.search.choices.1: no solver that trains 'langevin'; known: "
        f"{', '.join(trainable())}",
    ]


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (lambda xi: xi, "got Tensor"),
        (lambda xi: None, "got NoneType"),
        (lambda xi: Rest(None), "got Rest"),
        (lambda xi: Rest(xi[..., :1]), r"got Rest with a state \(3, 1\)"),
    ],
)
def test_what_a_solver_of_a_users_own_returns_is_checked(
    returned: Any, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd(Solver):
        summary = "odd"

        def run(self, problem: Any, xi: torch.Tensor, *_: Any, steps: int) -> Any:
            return returned(xi)

    monkeypatch.setitem(SOLVERS, "odd", Odd())
    monkeypatch.setitem(SOLVERS.owners, "odd", Plugin("odd", "odd"))
    energy = make_energy("lse", dim=4, registry=REGISTRY).double()
    with pytest.raises(TypeError, match=rf"solver 'odd' must return Rest.* \(3, 4\), {got}$"):
        relax(energy, draw(3, 4), draw(5, 4, seed=1), solver="odd")
