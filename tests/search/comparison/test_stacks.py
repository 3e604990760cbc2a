"""Stacks as variants: compared, exported, loaded, replayed; their costs are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import attenergy
from attenergy.registry import AttenergyError, load_registry
from attenergy.search.artifacts.export import export_run
from attenergy.search.artifacts.replay import replay
from attenergy.search.comparison.compare import ComparePlan, configure, run_compare
from attenergy.search.report.text import as_markdown
from attenergy.search.results.study_folder import Study, read_study
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.events import Listener
from attenergy.search.runs.own_entries import own_entries
from attenergy.search.training.known_cost import KnownCosts
from attenergy.search.training.model import layers_of_blocks

FILE = """
version: 1
stacks:
  mine: {title: Mine, layers: [linear, lse+rbm], settings: {2a.steps: 2}}
"""


TWO = {"layers": 2, "positions": "none"}


def plan(folder: Path, **changes: Any) -> ComparePlan:
    values: dict[str, Any] = {
        "name": "c",
        "folder": str(folder),
        "task": "stacked-recall",
        "task_options": {"vocabulary": 16, "pairs": 4},
        "variants": ("softmax", "lse/linear", "mine"),
        "seeds": 1,
        "steps": 3,
        "workers": 0,
        "fix": {
            **{"width": 16, "heads": 4, "mlp": 16, "layers": 2, "batch_size": 8},
            **{"valid_instances": 16, "test_instances": 16, "lse/linear.1.beta": 0.7},
        },
    }
    return ComparePlan(**(values | changes))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("stacks")
    (folder / "mine.yaml").write_text(FILE)
    run_compare(plan(folder / "c"), load_registry(folder / "mine.yaml", plugins=False), Listener())
    return read_study(folder / "c")


def test_stacks_are_compared(study: Study) -> None:
    configs = {record.config.variant: record.config for record in study.records}
    assert set(configs) == {"softmax", "lse/linear", "mine"}
    assert configs["lse/linear"].settings == {"1.beta": 0.7}
    assert [layer.name for layer in layers_of_blocks(configs["mine"])] == ["linear", "lse+rbm"]
    assert all(record.status == "complete" for record in study.records)
    for record in study.records:
        assert RunConfig.model_validate_json(record.config.model_dump_json(by_alias=True)) == (
            record.config
        )


def test_a_stack_is_exported_and_computes_the_same(study: Study, tmp_path: Path) -> None:
    record = next(r for r in study.records if r.config.variant == "mine")
    out = export_run(record, study.folder, tmp_path / "out")
    model = attenergy.load(out, part="model").eval()
    batch = study.task.batch("test", 0, 16)
    with torch.inference_mode():
        values = study.task.metrics(model(batch.inputs), batch.targets)
    for name, recorded in record.metrics["test"].items():
        if name in values:
            assert values[name].double().mean().item() == pytest.approx(recorded, abs=1e-12)
    card = (out / "README.md").read_text()
    assert "linear > lse+rbm" in card
    assert card.count("$$E(") == 2
    assert "`0.5*|xi|^2 - lse(beta * X @ xi + h)/beta`" in as_markdown(study)


def test_a_stack_is_replayed(study: Study) -> None:
    record = next(r for r in study.records if r.config.variant == "lse/linear")
    assert replay(record, study.folder, workers=0).equal


def test_the_entries_of_a_stack_come_back_from_their_file(study: Study, tmp_path: Path) -> None:
    (tmp_path / "registry.yaml").write_text(own_entries(study.records))
    again = load_registry(tmp_path / "registry.yaml", plugins=False)
    record = next(r for r in study.records if r.config.variant == "mine")
    assert again.variant("mine") == record.config.layer


def test_costs_of_a_stack_are_those_of_its_layers() -> None:
    registry = load_registry(plugins=False)
    names = ("parameters", "state_bytes", "forward_flops")
    here = plan(Path("nowhere"), variants=("softmax", "linear", "softmax/linear"), fix=TWO)
    costs = {n: KnownCosts().of(configure(here, registry, n), names) for n in here.variants}
    for name in names:
        mean = (costs["softmax"][name] + costs["linear"][name]) / 2
        assert costs["softmax/linear"][name] == pytest.approx(mean), name


def test_what_does_not_fit_is_said_before_anything_runs() -> None:
    registry = load_registry(plugins=False)
    for variant, fix, match in (
        ("lse/linear/lse", {}, "a multiple of 3 blocks, and this one has 1"),
        ("lse:1+rbm:2", {"heads": 4, "layers": 2}, "4 heads cannot be shared 1:2"),
        ("lse/linear", {"layers": 2, "lse/linear.beta": 1.0}, "quantity to fix"),
    ):
        here = plan(Path("nowhere"), variants=(variant,), fix=fix)
        with pytest.raises(AttenergyError, match=match):
            configure(here, registry, here.variants[0])


def test_a_page_draws_every_stack(study: Study) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    from attenergy.search.report.html.stacks import drawings
    from attenergy.search.report.html.study_view import View

    drawn = drawings(View(study))
    assert set(drawn) == {"lse/linear", "mine"}
    assert "<title>linear &gt; lse+rbm</title>" in drawn["mine"]
    assert drawn["mine"].count("<rect") == 3
    assert drawn["lse/linear"].count("<rect") == 2
