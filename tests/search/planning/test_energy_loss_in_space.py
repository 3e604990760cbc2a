"""A term on energies in a search: for the variants that can have it, and for no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest

from attenergy.registry import ArgumentError, Range, Registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space

PlanMaker = Callable[..., SearchPlan]


def varied(registry: Registry, *values: Any) -> Registry:
    spaces = {n: {**s, "energy_loss": Range(choices=values)} for n, s in registry.spaces.items()}
    return replace(registry, spaces=spaces)


def asked(space: Space, variant: str) -> tuple[str, bool]:
    """The term of a run of a variant, and whether the trial was asked for it."""
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    for _ in range(200):
        one = trial.ask()
        config = space.suggest(one)
        if config.variant == variant:
            return config.training.energy_loss, "energy_loss" in one.params
    raise AssertionError(variant)


def test_a_search_asks_for_it_only_where_layers_have_energies(
    registry: Registry, make_plan: PlanMaker
) -> None:
    plan = make_plan(variants=("softmax", "lse", "linear", "energy_transformer"))
    space = Space(varied(registry, "contrast:0.5"), plan)
    assert space.choices["energy_loss"].choices == ("contrast:0.5", "none")
    assert not space.left_out
    for variant, is_asked in (
        *(("softmax", True), ("lse", True)),
        *(("linear", False), ("energy_transformer", False)),
    ):
        term, was_asked = asked(space, variant)
        assert was_asked == is_asked
        assert is_asked or term == "none"


def test_a_term_for_all_leaves_out_those_that_cannot_have_it(
    registry: Registry, make_plan: PlanMaker
) -> None:
    space = Space(registry, make_plan(variants=(), fix={"energy_loss": "minimise:0.01"}))
    assert "energy_loss minimise:0.01: HypernetworkAttention" in space.left_out["linear"]
    assert {"softmax", "lse", "energy_transformer"} <= set(space.variants)
    assert not {"linear", "performer"} & set(space.variants)
    assert all(run.training.energy_loss == "minimise:0.01" for run in space.each())
    contrast = Space(registry, make_plan(variants=(), fix={"energy_loss": "contrast:1"}))
    assert "use minimise" in contrast.left_out["energy_transformer"]
    assert "lse" in contrast.variants


def test_variants_that_somebody_named_are_refused(registry: Registry, make_plan: PlanMaker) -> None:
    with pytest.raises(ArgumentError, match=r"linear: energy_loss minimise:1: .* has no energy"):
        Space(registry, make_plan(variants=("linear", "lse"), fix={"energy_loss": "minimise:1"}))
    with pytest.raises(ArgumentError, match=r"cannot fix energy_loss.*did you mean 'minimise'"):
        Space(registry, make_plan(fix={"energy_loss": "minimize:1"}))
    assert not Space(registry, make_plan(variants=())).left_out
