"""What the command line may name, and what it is fed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import attenergy
from attenergy.attention.graphs import EnergyAggregation, EnergyConv, EnergyGNN
from attenergy.registry import ArgumentError, UnknownName, name_plugins
from attenergy.search.analyses.sources import Loading, find_source, is_function, of_run
from attenergy.search.analyses.subjects import Feeding, feed
from attenergy.search.artifacts.export import export_run
from attenergy.search.artifacts.select_run import choose_run
from attenergy.search.results.study_folder import read_study
from attenergy.search.training.model import build_model
from attenergy.tasks import make_task

MODULE = """
import torch
from torch import nn

def build(width: int = 8) -> nn.Module:
    layer = nn.TransformerEncoderLayer(width, 2, 8, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

def build_for(task) -> nn.Module:
    return nn.Linear(task.inputs.size, task.outputs.size)

def with_layers(make_layer, task) -> nn.Module:
    return make_layer()
"""


def test_a_run_comes_with_its_task_and_its_beginning(own_study: Path) -> None:
    study = read_study(own_study)
    best = choose_run(study.records, "best", study.leaderboard())
    source = find_source("tiny", Loading())
    assert source.about["run"] == best.key
    assert source.name == best.config.variant
    assert best.key in source.notes[0]
    assert source.place == Path("runs/tiny/analysis") / f"{best.config.variant}-{best.key[:8]}"
    subject, notes = feed(source, Feeding(instances=40))
    assert [len(inputs[0]) for inputs, _ in subject.batches] == [32, 8]
    assert notes == ["inputs: 40 instances of stacked-recall, split valid, in batches of 32"]
    assert subject.task is not None
    first = subject.task.batch("valid", 32, 8).inputs
    assert torch.equal(subject.batches[1][0][0], first)
    recorded = best.metrics["valid"]["accuracy"]
    instances = best.config.training.valid_instances
    assert subject.evaluate(instances=instances)["accuracy"] == pytest.approx(recorded)
    torch.manual_seed(best.config.seed)
    untrained = build_model(best.config, subject.task)
    assert subject.untrained is not None
    pairs = zip(untrained.parameters(), subject.untrained.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_baseline_is_named_as_such(own_study: Path) -> None:
    study = read_study(own_study)
    assert of_run(study, "baseline").about["variant"] == "softmax"


def test_a_run_without_weights_says_how_to_have_them(own_study: Path) -> None:
    for path in (own_study / "weights").iterdir():
        path.unlink()
    with pytest.raises(ArgumentError, match="attenergy export tiny --trial"):
        find_source("tiny", Loading())


def test_an_export_knows_its_task_and_seed(own_study: Path, tmp_path: Path) -> None:
    study = read_study(own_study)
    record = choose_run(study.records, "best", study.leaderboard())
    export_run(record, own_study, tmp_path / "out", say=lambda _: None)
    subject, _ = feed(find_source(str(tmp_path / "out"), Loading()), Feeding(instances=8))
    run, _ = feed(find_source("tiny", Loading()), Feeding(instances=8))
    assert torch.equal(subject.run(), run.run())
    assert subject.untrained is not None
    assert torch.equal(subject.run(subject.untrained), run.run(run.untrained))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    config["about"]["task_spec"]["options"] = {"vocabulary": 10**9}
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="vocabulary"):
        find_source(str(tmp_path / "out"), Loading())
    config["about"]["task_spec"] = 3
    (tmp_path / "out" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"about\.task_spec"):
        find_source(str(tmp_path / "out"), Loading())


def test_a_layer_alone_is_fed_noise(tmp_path: Path) -> None:
    attenergy.EnergyAttention(8, 2).save_pretrained(tmp_path / "layer")
    subject, notes = feed(find_source(str(tmp_path / "layer"), Loading()), Feeding(length=5))
    assert subject.batches[0][1]["x"].shape == (8, 5, 8)
    assert notes == ["inputs: 8 x 5 tokens of random noise, seed 0"]
    assert subject.task is None


def test_a_drop_in_alone_attends_within_noise(tmp_path: Path) -> None:
    drop_in = attenergy.EnergyMultiheadAttention(8, 2, batch_first=True)
    folder = drop_in.save_pretrained(tmp_path / "drop_in")
    subject, _ = feed(find_source(str(folder), Loading()), Feeding(length=5))
    inputs = subject.batches[0][1]
    assert list(inputs) == ["query", "key", "value"]
    assert len({x.data_ptr() for x in inputs.values()}) == 1  # one sequence
    assert subject.run()[0].shape == (8, 5, 8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: attenergy.EnergyMultiheadAttention(8, 2), "it must have batch_first"),
        (lambda: attenergy.EnergyMultiheadAttention(8, 2, kdim=4, batch_first=True), "as wide as"),
        (lambda: EnergyConv(8, 4), "attention within sequences"),
        (lambda: EnergyGNN(8, 4, num_layers=1), "attention within sequences"),
        (lambda: EnergyAggregation(8), "attention within sequences"),
    ],
)
def test_a_layer_that_noise_cannot_feed_says_why(
    make: Callable[[], Any], words: str, tmp_path: Path
) -> None:
    folder = make().save_pretrained(tmp_path / "layer")
    with pytest.raises(ArgumentError, match=words):
        feed(find_source(str(folder), Loading()), Feeding(length=5))


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "analysed_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    name_plugins(["analysed_module"])
    return "analysed_module"


def test_a_function_gives_a_model_that_a_file_feeds(own_module: str, tmp_path: Path) -> None:
    assert is_function(f"{own_module}:build")
    source = find_source(f"{own_module}:build", Loading(options={"width": 4}))
    with pytest.raises(ArgumentError, match=r"nothing says what .* reads: give --task"):
        feed(source, Feeding())
    save_file({"src": torch.randn(3, 5, 4)}, tmp_path / "in.safetensors")
    subject, notes = feed(source, Feeding(inputs=tmp_path / "in.safetensors", batch=2))
    assert [batch[1]["src"].shape[0] for batch in subject.batches] == [2, 1]
    assert notes == ["inputs: in.safetensors: src (3, 5, 4)"]
    (tmp_path / "in.json").write_text(json.dumps({"scr": [[[0.0] * 4]]}))
    with pytest.raises(ArgumentError, match=r"takes no 'scr' .*did you mean 'src'"):
        feed(source, Feeding(inputs=tmp_path / "in.json"))
    (tmp_path / "in.json").write_text(json.dumps({"src": [[[0.0] * 5]]}))
    with pytest.raises(ArgumentError, match=r"cannot read src \(1, 1, 5\)"):
        feed(source, Feeding(inputs=tmp_path / "in.json"))


def test_a_function_may_take_the_task(own_module: str) -> None:
    with pytest.raises(ArgumentError, match="takes a task: give --task"):
        find_source(f"{own_module}:build_for", Loading())
    with pytest.raises(ArgumentError, match="takes make_layer"):
        find_source(f"{own_module}:with_layers", Loading())
    task = make_task("raven", features=1, values=4, grid=3)
    source = find_source(f"{own_module}:build_for", Loading(task=task))
    subject, _ = feed(source, Feeding(task=task, instances=4, split="test"))
    assert subject.evaluate()["loss"] > 0
    assert subject.split == "test"
    with pytest.raises(UnknownName, match="no split 'tset'"):
        feed(source, Feeding(task=task, split="tset"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "each under the name of an argument"),
        ({}, "holds no inputs"),
        ({"src": [[1, 2], [3]]}, "no array of numbers"),
        ({"src": 3}, "the first axis"),
        ({"src": [1, 2], "mask": [1]}, r"got src \(2,\), mask \(1,\)"),
        ({"src": []}, "one at least"),
    ],
)
def test_a_file_of_inputs_that_makes_no_sense_is_refused(
    own_module: str, tmp_path: Path, content: Any, said: str
) -> None:
    source = find_source(f"{own_module}:build", Loading())
    (tmp_path / "in.json").write_text(json.dumps(content))
    with pytest.raises(ArgumentError, match=said):
        feed(source, Feeding(inputs=tmp_path / "in.json"))


def test_what_is_not_there_is_named(own_study: Path) -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'tiny'.*nor module:function"):
        find_source("tinny", Loading())
