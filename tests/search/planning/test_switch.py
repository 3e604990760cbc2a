"""Settings that are true or false, from the registry to the layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from attenergy.attention.mixers import CLASSES, NoMixing
from attenergy.registry import (
    MixerSpec,
    Range,
    Registry,
    Tunable,
)
from attenergy.search.cli.parameters.values import assignments
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.model import build_model
from attenergy.tasks import make_task

PlanMaker = Callable[..., SearchPlan]

pytestmark = pytest.mark.usefixtures("quiet")


class Switched(NoMixing):
    """A mixer with a switch."""

    def __init__(self, *sizes: Any, causal: bool = False, **more: Any) -> None:
        if not isinstance(causal, bool):
            raise ValueError(f"'causal' must be true or false, got {causal!r}")
        super().__init__(*sizes, **more)
        self.causal = causal


@pytest.fixture
def switched(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setitem(CLASSES, "Switched", Switched)
    both = Range(choices=(True, False))
    causal = {"causal": Tunable(default=False, search=both)}
    registry.mixers["switched"] = MixerSpec(title="A switch", class_="Switched", options=causal)
    return registry


def test_a_switch_is_searched(switched: Registry, make_plan: PlanMaker, tmp_path: Path) -> None:
    space = Space(switched, make_plan(variants=("switched",), baseline="switched"))
    assert space.baseline()["switched.causal"] is False
    url = f"sqlite:///{tmp_path / 'study.db'}"  # the values go through JSON and back
    study = optuna.create_study(storage=url, sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial({"variant": "switched", "switched.causal": True})
    values = []
    for _ in range(8):
        trial = study.ask()
        config = space.suggest(trial)
        again = RunConfig.model_validate_json(config.model_dump_json(by_alias=True))
        assert again.run_key() == config.run_key()
        assert study.trials[-1].params["switched.causal"] is again.settings["causal"]
        model = build_model(again, make_task(again.task_spec))
        assert [m.causal for m in model.modules() if isinstance(m, Switched)] == [
            again.settings["causal"]
        ]
        values.append(again.settings["causal"])
    assert values[0] is True
    assert set(values) == {True, False}


def test_a_switch_is_fixed_and_enqueued_by_true_and_false(
    switched: Registry, make_plan: PlanMaker
) -> None:
    def space(**changes: Any) -> Space:
        return Space(switched, make_plan(variants=("switched",), **changes))

    (value,) = assignments(["switched.causal=true"], "--fix").values()
    fixed = space(fix={"switched.causal": value}, baseline="switched")
    assert fixed.reference().settings == {"causal": True}
    for wrong in (1, "yes"):
        message = f"cannot fix switched.causal to {wrong!r}; known: true, false"
        with pytest.raises(ValueError, match=message):
            space(fix={"switched.causal": wrong})
    with pytest.raises(ValueError, match=r"cannot fix lse\.steps to true; known: 1 to 4"):
        Space(switched, make_plan(variants=("lse",), fix={"lse.steps": True}))
    assert space(enqueue=({"switched.causal": False},)).wishes[0]["switched.causal"] is False
    with pytest.raises(ValueError, match=r"cannot enqueue switched\.causal = 1"):
        space(enqueue=({"switched.causal": 1},))
