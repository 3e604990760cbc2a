"""Searches and comparisons of a user's own model: what is tried, searched, recorded and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

import attenergy
from attenergy.registry import ArgumentError, Registry, UnknownName, name_plugins
from attenergy.search.artifacts.export import export_run
from attenergy.search.artifacts.replay import replay
from attenergy.search.comparison.compare import ComparisonMismatch, run_compare
from attenergy.search.planning.command_line import command
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.errors import StudyMismatch
from attenergy.search.runs.plugin_needs import MissingPlugin
from attenergy.search.study.run import run_search
from attenergy.search.training.known_cost import KnownCosts
from attenergy.search.training.own_model import try_model
from attenergy.search.training.train import train

PlanMaker = Callable[..., SearchPlan]
Write = Callable[[str, str], None]
CODE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, layers, task, width=16):
        super().__init__()
        self.embed = nn.Linear(task.inputs.size, width)
        self.layers = nn.ModuleList(layers)
        self.out = nn.Linear(width, task.outputs.size)
        self.scored = task.scored_positions

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = x + layer(x)
        return self.out(x[:, self.scored])

def build(make_layer, task, depth=1):
    return Net([make_layer(embed_dim=16) for _ in range(depth)], task)

def wide(make_layer, task, width):
    return Net([make_layer()], task, width)

def plain(task):
    layer = nn.TransformerEncoderLayer(16, 2, 16, 0.0, batch_first=True)
    net = Net([nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)], task)
    return net

def short(make_layer, task):
    net = build(make_layer, task)
    net.out = nn.Linear(16, 1)
    return net

def several(make_layer, task, layers):
    return Net([make_layer(16, 2) for _ in range(layers)], task)

def broken(make_layer, task):
    net = build(make_layer, task)
    net.out = nn.Linear(3, 4)
    return net

def frozen(make_layer, task):
    return build(make_layer, task).requires_grad_(False)

class Pair(Net):
    def forward(self, x):
        return super().forward(x), None

def pair(make_layer, task):
    return Pair([make_layer(16, 2)], task)

def deaf(make_layer, task):
    net = build(make_layer, task)
    net.forward = None
    return net
"""


@pytest.fixture(autouse=True)
def module(own_module: Write) -> Write:
    own_module("own_search", CODE)
    name_plugins(["own_search"])
    return own_module


def reference(registry: Registry, plan: SearchPlan) -> RunConfig:
    return Space(registry, plan).reference()


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("short", r"own_search:short with softmax on tiny: for inputs \(2, \d+, \d\) of the split "
                  r"train it must return logits of classes \(B, L, C\) = \(2, .*, got \(2, .* 1\)"),
        ("broken", r"own_search\.py:\d+: in forward: own_search:broken with .*RuntimeError: mat1"),
        ("frozen", "it has no parameter to train"),
        ("pair", r"own_search:pair with softmax on tiny: a model must return a tensor of floats"),
        ("deaf", "own_search:deaf with softmax on tiny: TypeError"),
    ],
)  # fmt: skip
def test_a_mistake_shows_before_anything_is_trained(
    function: str, error: str, registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(model=f"own_search:{function}")
    with pytest.raises(ArgumentError, match=error):
        run_search(plan, registry, watcher)
    assert not watcher.configs
    assert not Path(plan.folder, "study.db").exists()


def test_a_model_has_as_many_layers_as_a_space_of_stacks_has_blocks(
    registry: Registry, make_plan: PlanMaker
) -> None:
    stacks: Any = {"space": "stacks", "variants": ("softmax", "lse")}
    error = r"build has 1 attention layer: the stack lse/lse needs .* the argument 'layers'"
    for fix in ({"layers": 2}, {"layers": 2, "blocks": "own"}):
        with pytest.raises(ArgumentError, match=error):
            Space(registry, make_plan(model="own_search:build", fix=fix, **stacks))
        space = Space(registry, make_plan(model="own_search:several", fix=fix, **stacks))
        own = {"blocks": "own", "variant.1": "lse", "variant.2": "softmax", "1.lse.beta": 0.5}
        study = optuna.create_study()
        study.enqueue_trial(own)
        config = space.suggest(study.ask())
        assert config.variant == "lse/softmax"
        assert try_model(config).fields >= {"layers"}


def test_what_the_model_depends_on_is_searched(registry: Registry, make_plan: PlanMaker) -> None:
    names = {
        model: {n for n in Space(registry, make_plan(model=model)).choices if "." not in n}
        for model in ("own_search:build", "own_search:wide", None)
    }
    assert all(each >= {"variant", "heads", "learning_rate"} for each in names.values())
    plan = make_plan(model="own_search:plain", variants=("softmax", "lse"))
    assert "heads" not in Space(registry, plan).choices
    with pytest.raises(UnknownName, match="nothing in own_search:build depends on it; let it take"):
        Space(registry, make_plan(model="own_search:build", fix={"width": 32}))
    config = reference(registry, make_plan(model="own_search:wide", fix={"width": 32}))
    assert try_model(config).fields == {"width", "heads", "head_dim"}
    assert KnownCosts().of(config, ["parameters"])["parameters"] > 4 * 32 * 32


def test_variants_that_do_not_fit_are_left_out_or_refused(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    keep = {"lse", "rbm"}
    for name in list(registry.energies):
        if name not in keep:
            del registry.energies[name]
    for name in list(registry.mixers):
        if name not in {"softmax", "linear"}:
            del registry.mixers[name]
    plan = make_plan(model="own_search:plain", variants=(), trials=3)
    records = run_search(plan, registry, watcher)
    assert {record.config.variant for record in records} == {"lse", "rbm", "softmax"}
    replaced, left_out = watcher.messages[:2]
    assert replaced == "own_search:plain: attention replaced in layers.0.layers.0.self_attn"
    assert left_out.startswith("left out: linear (")
    assert set(Space(registry, plan).choices["variant"].choices or ()) == {"lse", "rbm", "softmax"}
    with pytest.raises(ArgumentError, match=r"the mixer linear, which needs build.make_layer"):
        Space(registry, make_plan(model="own_search:plain", variants=("linear",)))


@pytest.mark.long
def test_a_search_is_recorded_exported_and_replayed(
    registry: Registry, make_plan: PlanMaker, watcher: Any, tmp_path: Path, module: Write
) -> None:
    own = {"model": "own_search:build", "model_options": {"depth": 2}}
    plan = make_plan(**own, variants=("softmax", "lse"), trials=2)
    records = run_search(plan, registry, watcher)
    assert {r.status for r in records} == {"complete"}
    assert all(r.cost["forward_flops"] > 0 and r.cost["state_bytes"] > 0 for r in records)
    again = RunConfig.model_validate_json(records[0].config.model_dump_json(by_alias=True))
    assert again.run_key() == records[0].key
    line = command(plan, plugins=["own_search"])
    assert "--model own_search:build --model-option depth=2" in line
    assert "--plugin" not in line
    folder = Path(plan.folder)
    study = read_study(folder)
    board = study.leaderboard()
    assert any(n.startswith("The model is own_search:build, depth=2, sha256") for n in board.notes)
    assert json.loads((folder / "plugins.json").read_text())[0]["provides"] == {
        "model": ["own_search:build"]
    }
    out = export_run(records[1], folder, tmp_path / "out", board=board)
    card = (out / "README.md").read_text()
    assert "as the attention of the model that own" in card
    assert 'part="model", plugins=["own_search"]' in card
    model = attenergy.load(out, part="model")
    assert len(model.layers) == 2  # type: ignore[arg-type]
    assert replay(records[1], folder, workers=0).equal

    module("own_search", f"{CODE}# another file\n")
    with pytest.raises(MissingPlugin, match=r"needed .model 'own_search:build'. and not loaded"):
        read_study(folder)
    name_plugins(["own_search"])
    with pytest.raises(StudyMismatch, match="model was 'own_search:build, depth=2, sha256"):
        run_search(plan, registry, watcher, resume=True)
    with pytest.raises(ArgumentError, match=r"own_search\.py has changed since the run was plan"):
        replay(records[1], folder, workers=0)
    assert train(records[1].config).reason.startswith("OwnModelError: ")
    result = replay(records[1], folder, workers=0, anyway=True)
    assert result.again.status == "complete"
    lines: list[str] = []
    export_run(records[1], folder, tmp_path / "two", say=lines.append)
    assert lines[0].startswith("the weights are exported as they were trained, but ")
    with pytest.warns(UserWarning, match="has changed since the model was saved"):
        attenergy.load(tmp_path / "two", part="model")


@pytest.mark.long
def test_a_study_without_a_model_does_not_go_on_with_one(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    run_search(make_plan(trials=1), registry, watcher)
    for first, then in ((None, "own_search:build"), ("own_search:build", None)):
        name = f"of-{(first or 'ours')[:3]}"
        plan = make_plan(trials=1, model=first, study=name, folder=f"{make_plan().folder}-{name}")
        run_search(plan, registry, watcher)
        with pytest.raises(StudyMismatch, match="model was "):
            run_search(
                plan.model_copy(update={"model": then, "trials": 2}), registry, watcher, resume=True
            )


def test_a_comparison_of_a_model(
    registry: Registry, watcher: Any, tmp_path: Path, module: Write
) -> None:
    plan = ComparePlan(
        name="own", folder=str(tmp_path / "own"), task="tiny", variants=("softmax", "lse"),
        seeds=1, workers=0, model="own_search:plain",
    )  # fmt: skip
    records = run_compare(plan, registry, watcher)
    assert {r.status for r in records} == {"complete"}
    flops = {r.config.variant: r.cost["forward_flops"] for r in records}
    assert flops["softmax"] == pytest.approx(flops["lse"])
    assert watcher.messages[0].startswith("own_search:plain: attention replaced in ")
    with pytest.raises(ArgumentError, match="fix heads: nothing in own_search:plain depends"):
        run_compare(
            plan.model_copy(update={"fix": {"heads": 4}, "folder": str(tmp_path / "other")}),
            registry, watcher,
        )  # fmt: skip
    with pytest.raises(ComparisonMismatch, match="model='own_search:plain', not 'own_search:wide'"):
        run_compare(plan.model_copy(update={"model": "own_search:wide"}), registry, watcher)
    module("own_search", f"{CODE}# another file\n")
    name_plugins(["own_search"])
    with pytest.raises(ComparisonMismatch, match="its file has changed"):
        run_compare(plan, registry, watcher)


def test_a_model_that_looks_ahead_is_told_of(
    registry: Registry, make_plan: PlanMaker, module: Write
) -> None:
    code = CODE.replace("[:, self.scored]", "")
    module("own_ahead", code)
    module("own_behind", code.replace("layer(x)", "layer(x, is_causal=True)"))
    name_plugins(["own_ahead", "own_behind"])
    task = registry.tasks["tiny"]
    causal = task.model.model_copy(update={"causal": True})
    registry.tasks["tiny"] = task.model_copy(update={"model": causal})
    for name, expected in (("own_ahead", True), ("own_behind", False)):
        tried = try_model(reference(registry, make_plan(model=f"{name}:build")))
        assert tried.looks_ahead == expected
        assert bool(tried.said(name)) == expected


def test_options_without_a_model_are_refused(registry: Registry, make_plan: PlanMaker) -> None:
    with pytest.raises(ArgumentError, match=r"model options .depth. are for a model of yours"):
        Space(registry, make_plan(model_options={"depth": 2}))
