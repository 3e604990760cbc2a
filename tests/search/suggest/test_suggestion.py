"""`suggest` in loops that are not ours: what a trial is asked for, and what is built of it."""

from __future__ import annotations

import optuna
import pytest
import torch
from optuna.trial import FixedTrial

import attenergy
from attenergy.attention import EnergyAttention, make_layer
from attenergy.energies import make_energy
from attenergy.registry import EnergySpec, load_registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.suggest import suggest

REGISTRY = load_registry(plugins=False)
FORMULA = "0.5*|xi|^2 - lse(beta * X @ xi)/beta"


def own(xi, X, beta=2.0):
    return 0.5 * xi @ xi - torch.logsumexp(beta * (X @ xi), 0) / beta


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def test_it_is_the_space_of_the_search(tmp_path):
    """The names and ranges that a study of `attenergy search` has."""
    layers = ("lse", "rbm", "window")
    plan = SearchPlan(
        task="stacked-recall", variants=layers, baseline="lse", study="s", folder=str(tmp_path)
    )
    space = Space(REGISTRY, plan)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    asked = {}
    for _ in range(25):
        trial = study.ask()
        suggest(trial, layers, registry=REGISTRY)
        asked |= trial.distributions
    known = space.distributions()
    of_layers = {n: known[n] for n in known if n.split(".")[0] in layers}
    assert asked.pop("variant").choices == layers
    assert asked == of_layers


def test_what_is_chosen_is_built():
    fixed = {"variant": "lse", "lse.beta": 0.5, "lse.steps": 3, "lse.solver": "descent",
             "lse.step_size": 0.8}  # fmt: skip
    chosen = suggest(FixedTrial(fixed), ["softmax", "lse"], registry=REGISTRY)
    layer = chosen.build(16, 4, dropout=0.1)
    assert isinstance(layer, EnergyAttention)
    assert (layer.steps, layer.step_size, layer.dropout) == (3, 0.8, 0.1)
    torch.testing.assert_close(
        layer.energy.values()["beta"], torch.full((4, 1, 1), 0.5), rtol=1e-6, atol=0
    )
    assert str(chosen).startswith("lse beta=0.5 steps=3")
    assert chosen.build(16, 4) is not chosen.build(16, 4)
    softmax = suggest(FixedTrial({"variant": "softmax"}), ["softmax", "lse"], registry=REGISTRY)
    assert type(softmax.build(16, 4)) is type(make_layer("softmax", embed_dim=16, num_heads=4))


def test_groups_of_heads_are_one_layer():
    names = ("lse+softmax.a.beta", "lse+softmax.a.steps")
    chosen = suggest(FixedTrial(dict(zip(names, (0.5, 1), strict=True))), "lse+softmax")
    assert chosen.settings == {"a.beta": 0.5, "a.steps": 1}
    assert chosen.build(16, 4)(torch.randn(1, 3, 16)).shape == (1, 3, 16)


def test_prefixes_keep_several_layers_apart():
    trial = FixedTrial(
        {"a.variant": "lse", "a.lse.beta": 0.5, "a.lse.steps": 1, "b.variant": "softmax"}
    )
    first, second = (suggest(trial, ["lse", "softmax"], prefix=p) for p in "ab")
    assert (first.variant, second.variant) == ("lse", "softmax")


def test_ones_own_energies_are_searched():
    """A formula's and a function's beta, steps and step size, by names of one's own."""
    entry = EnergySpec.model_validate(
        {"title": "Entry", "formula": FORMULA, "parameters": {"beta": {"init": 1.0}}}
    )
    variants = {"formula": FORMULA, "function": own, "entry": entry}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    asked: dict[str, set[str]] = {}
    for _ in range(12):
        trial = study.ask()
        chosen = suggest(trial, variants, registry=REGISTRY)
        chosen.build(8, 2)(torch.randn(1, 3, 8))
        asked.setdefault(chosen.variant, set()).update(trial.params)
        again = suggest(FixedTrial(trial.params), variants, registry=REGISTRY)
        assert again.settings == chosen.settings
        study.tell(trial, 0.0)
    assert asked["function"] >= {"function.beta", "function.steps", "function.step_size"}
    assert asked["formula"] >= {"formula.beta", "formula.steps"}
    assert asked["entry"] == {"variant"}
    assert suggest(study.best_trial, variants, registry=REGISTRY).variant in variants
    assert suggest(FixedTrial({"own.beta": 1.0, "own.steps": 1, "own.step_size": 1.0}),
                   [own]).variant == "own"  # fmt: skip


@pytest.mark.parametrize("sampler", ["TPESampler", "NSGAIISampler", "GridSampler"])
def test_any_sampler_will_do(sampler):
    if sampler == "GridSampler":
        made = optuna.samplers.GridSampler({"lse.beta": [0.5, 2.0], "lse.steps": [1]})
    else:
        made = getattr(optuna.samplers, sampler)(seed=0)
    study = optuna.create_study(sampler=made)
    study.enqueue_trial({"lse.beta": 0.5, "lse.steps": 1})
    study.optimize(lambda t: suggest(t, "lse", fix={"step_size": 1.0}).settings["beta"], 3)
    assert study.trials[0].params["lse.beta"] == 0.5


def test_what_is_fixed_is_not_asked_for():
    trial = FixedTrial({"variant": "lse", "lse.beta": 0.5})
    chosen = suggest(trial, ["lse", "rbm"], fix={"steps": 2, "lse.step_size": 0.5})
    assert chosen.settings["steps"] == 2
    assert chosen.settings["step_size"] == 0.5
    with pytest.raises(ValueError, match=r"no setting to fix 'stepz' \(did you mean 'steps'"):
        suggest(trial, ["lse", "rbm"], fix={"stepz": 2})


@pytest.mark.parametrize(
    ("variants", "named"),
    [
        (["lsee"], "did you mean 'lse'"),
        (["lse/rbm"], "has 2 layers, and a suggestion is one"),
        (["lse", "lse"], "two variants are called 'lse'"),
        ([], "at least one"),
        ({}, "at least one"),
        (3, "got int"),
        ([3], "a variant must be .* got int"),
        (["0.5*|xi|^2 - lse(X @ xii)"], "column 22"),
        ([make_energy("lse", dim=4)], "made already"),
    ],
)
def test_what_is_wrong_is_said(variants, named):
    with pytest.raises((ValueError, TypeError), match=named):
        suggest(FixedTrial({}), variants, registry=REGISTRY)


def test_a_trial_is_optunas():
    with pytest.raises(TypeError, match="must be a trial of Optuna, got dict"):
        attenergy.suggest({}, ["lse"])
