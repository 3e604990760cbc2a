"""Spaces of stacks: blocks with one variant, or each with its own."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from attenergy.registry import ArgumentError, load_registry
from attenergy.search.planning.space import Space
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.events import Listener
from attenergy.search.study.earlier import as_proposal
from attenergy.search.study.recording import parameters_of
from attenergy.search.study.run import run_search

REGISTRY = load_registry(plugins=False)
STACKS = {
    "task": "stacked-recall", "space": "stacks", "fix": {"layers": 2, "heads": 2},
    "variants": ("softmax", "lse", "linear", "lse+rbm"),
}  # fmt: skip


@pytest.fixture
def space(make_plan: Any) -> Any:
    return lambda **changes: Space(REGISTRY, make_plan(**{**STACKS, **changes}))


def drawn(space: Space, count: int, seed: int = 0) -> list[tuple[dict[str, Any], RunConfig]]:
    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(sampler=sampler)
    trials = [study.ask() for _ in range(count)]
    configs = [space.suggest(trial) for trial in trials]
    return [(trial.params, config) for trial, config in zip(trials, configs, strict=True)]


def test_every_trial_is_a_stack_and_its_parameters_lead_back(space: Any, quiet: None) -> None:
    here, names = space(), set()
    forms = here.distributions()
    for params, config in drawn(here, 60):
        names.add(config.variant)
        again = here.suggest(optuna.trial.FixedTrial(params))
        assert again == config
        known = {n: v for n, v in parameters_of(config).items() if n in forms}
        if "/" in config.variant:
            assert params["blocks"] == "own"
            assert config.variant == "/".join(params[f"variant.{k}"] for k in (1, 2))
            assert {**params, "variant": config.variant} == {**known, "variant": config.variant}
        assert here.takes(config)
        # What a block has not is not asked for.
        asked = [n.split(".")[:2] for n in params if n[0].isdigit()]
        assert all(params[f"variant.{k}"] == variant for k, variant in asked)
    assert {"lse", "linear/lse", "lse+rbm/lse"} <= names


def test_equal_blocks_are_the_variant_itself(space: Any) -> None:
    here = space()
    own = {"blocks": "own", "learning_rate": 0.002}
    trial = optuna.trial.FixedTrial({**own, "variant.1": "softmax", "variant.2": "softmax"})
    alike = {"blocks": "alike", "variant": "softmax", "learning_rate": 0.002}
    config = here.suggest(trial)
    assert config == here.suggest(optuna.trial.FixedTrial(alike))
    assert config.variant == "softmax"
    betas = {"1.lse.beta": 0.5, "2.lse.beta": 2.0, "1.lse.steps": 1, "2.lse.steps": 1}
    two = here.suggest(
        optuna.trial.FixedTrial({**own, **betas, "variant.1": "lse", "variant.2": "lse"})
    )
    assert two.variant == "lse/lse"
    assert two.settings == {"1.beta": 0.5, "1.steps": 1, "2.beta": 2.0, "2.steps": 1}


def test_a_space_without_it_is_as_before(space: Any) -> None:
    assert not {"blocks", "variant.1"} & set(space(space="default").choices)
    alike = space(fix={**STACKS["fix"], "blocks": "alike"})
    assert "variant.1" not in alike.choices
    own = ("variant", "lse.beta", "lse.steps", "lse.step_size")
    single, both = (here.defaults("lse") for here in (space(space="default"), alike))
    assert [single[name] for name in own] == [both[name] for name in own]


def test_what_is_fixed_holds_in_every_block(space: Any, quiet: None) -> None:
    fix = {**STACKS["fix"], "blocks": "own", "lse.steps": 2, "variant.1": "lse"}
    here = space(fix=fix)
    assert "variant" not in here.distributions()
    for _, config in drawn(here, 8):
        steps = {n: v for n, v in config.settings.items() if n in ("steps", "1.steps")}
        assert set(steps.values()) == {2}
        assert config.variant.split("/")[0] == "lse"
    assert here.suggest(optuna.trial.FixedTrial(here.defaults("lse"))).variant == "lse"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"fix": {"heads": 2}}, "1 block: give it more"),
        ({"fix": {"layers": 2, "heads": 1}}, "1 heads cannot be shared"),
        ({"fix": {**STACKS["fix"], "variant.1": "lsee"}}, "variant.1 to 'lsee'"),
        ({"fix": {**STACKS["fix"], "blocks": "mixed"}}, "alike, own"),
        ({"enqueue": ({"variant": "lse", "variant.1": "lse"},)}, "got both"),
    ],
)
def test_mistakes(space: Any, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        space(**changes)


def test_enqueued_stacks(space: Any) -> None:
    wishes = space(enqueue=({"variant.2": "linear"}, {"lse.beta": 1.0})).wishes
    assert wishes[0] == {"variant.2": "linear", "blocks": "own"}
    assert wishes[1] == {"lse.beta": 1.0, "variant": "lse", "blocks": "alike"}


@pytest.mark.long
@pytest.mark.parametrize("best", ["lse", "linear/lse"])
@pytest.mark.parametrize(
    "task", ["stacked-recall", pytest.param("raven-small", marks=pytest.mark.slow)]
)
def test_a_search_finds_what_is_planted_as_best(
    make_plan: Any, play: Any, tmp_path: Any, task: str, best: str
) -> None:
    wanted = (best.split("/") * 2)[:2]

    def planted(config: RunConfig) -> list[float]:
        layers = (config.variant.split("/") * 2)[:2]
        return [0.2 + 0.3 * sum(a == b for a, b in zip(layers, wanted, strict=True))]

    play(planted)
    variants = ("softmax", "lse", "linear")
    changes = {"task": task, "variants": variants, "trials": 30, "finalists": 2, "seeds": 2}
    plan = make_plan(**{**STACKS, **changes, "fix": {"layers": 2}})
    run_search(plan, REGISTRY, Listener())
    study = read_study(tmp_path / "runs")
    finals = [row for row in study.leaderboard().rows if row.final]
    # Blocks of one variant with settings of their own are the same single energy here.
    assert "/".join(dict.fromkeys(finals[0].variant.split("/"))) == best
    assert {"softmax", "lse", "linear"} <= {r.config.variant for r in study.records}
    assert sum(r.proposer == "control" for r in study.records) >= 3
    assert finals[-1].variant == "softmax"


def test_an_earlier_study_of_stacks_gives_its_best(space: Any, quiet: None) -> None:
    here = space()
    for _, config in drawn(here, 20, seed=1):
        params, again = as_proposal(config, here)
        assert again == config
        assert params["blocks"] == ("own" if "/" in config.variant else "alike")
    other = space(variants=("softmax", "linear"))
    stack = next(c for _, c in drawn(here, 20, seed=1) if "lse" in c.variant)
    with pytest.raises(ValueError, match="does not take part"):
        as_proposal(stack, other)
