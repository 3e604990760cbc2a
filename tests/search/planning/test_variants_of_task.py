"""What a search says of its plan beforehand, and which variants its task cannot take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from attenergy.registry import ArgumentError, Registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.study.parts import SearchParts

PlanMaker = Callable[..., SearchPlan]
SMALL = {"length": 16, "pairs": 2}  # of a task whose model is causal


def said(registry: Registry, plan: SearchPlan) -> str:
    return " ".join(SearchParts.of(plan, registry).said(plan))


def test_fewer_trials_than_variants_are_told(registry: Registry, make_plan: PlanMaker) -> None:
    plan = make_plan(trials=2, variants=("lse", "rbm"))
    assert "2 trials are too few for 3 variants: 1 of them" in said(registry, plan)
    for change in ({"trials": 3}, {"baseline": "rbm"}, {"fix": {"variant": "lse"}}):
        assert "too few" not in said(registry, plan.model_copy(update=change))


def test_variants_that_the_task_cannot_take_are_left_out(
    registry: Registry, make_plan: PlanMaker
) -> None:
    plan = make_plan(task="mqar", task_options=SMALL, variants=(), trials=2)
    space = Space(registry, plan)
    assert {"place_rbm", "energy_transformer", "potts", "graph_hopfield"} <= set(space.left_out)
    assert {"softmax", "lse", "linear", "attention_sh", "token_mixing"} <= set(space.variants)
    assert all("cannot be causal" in reason for reason in space.left_out.values())
    every = len(registry.energies) + len(registry.mixers)
    told = said(registry, plan)
    assert f"for {every - len(space.left_out)} variants" in told
    assert "left out: " in told
    assert "place_rbm cannot answer mqar" in space.left_out["place_rbm"]


@pytest.mark.parametrize("named", ["place_rbm", "softmax/place_rbm"])
def test_one_that_is_named_is_refused_before_anything_is_trained(
    registry: Registry, make_plan: PlanMaker, named: str
) -> None:
    fields = {"task": "mqar", "task_options": SMALL, "variants": ("lse", named)}
    with pytest.raises(ArgumentError, match=f"{named} cannot answer mqar: .*cannot be causal"):
        Space(registry, make_plan(**fields))
    assert named in Space(registry, make_plan(**fields, fix={"causal": False})).variants


def test_tasks_that_are_not_causal_take_all(registry: Registry, make_plan: PlanMaker) -> None:
    options = {"features": 1, "rules": 4, "ood_fraction": 0.25}
    plan = make_plan(task="raven-small", task_options=options, variants=())
    assert not Space(registry, plan).left_out
