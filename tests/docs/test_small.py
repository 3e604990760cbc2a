"""Commands of pages with less to compute are the same commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attenergy.registry import load_registry
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from tests.docs import small
from tests.docs.blocks import ROOT, Block
from tests.docs.commands import Mode, run_block
from tests.docs.runner import run_page

REGISTRY = load_registry(plugins=False)


def test_a_small_search_differs_in_its_size_alone() -> None:
    plan = SearchPlan(
        study="night", folder="runs/night", task="raven-small", budget="2h", rungs=1, workers=8,
        pruner="median", objectives=("accuracy", "flops"), gpus_per_trial=0.25, engine="ray",
        fix={"heads": 8, "warmup": 50}, final_steps=1100, trials=200, seeds=8,
    )  # fmt: skip
    made = small.small_search(plan, REGISTRY, resume=False)
    changed = {
        name for name in SearchPlan.model_fields if getattr(plan, name) != getattr(made, name)
    }
    assert changed == {
        *("budget", "trials", "train_steps", "final_steps", "finalists", "seeds", "final_budget"),
        *("fix", "workers", "gpus_per_trial"),
    }
    fewer = {"valid_instances": 32, "test_instances": 32, "batch_size": 8}
    assert made.fix == {"heads": 8, "warmup": 2, **fewer}
    assert (made.trials, small.small_search(plan, REGISTRY, resume=True).trials) == (2, 3)
    with_rungs = plan.model_copy(update={"rungs": 3})
    assert small.small_search(with_rungs, REGISTRY, resume=False).train_steps == 4


def test_a_small_comparison_differs_in_its_size_alone() -> None:
    plan = ComparePlan(
        name="c", folder="runs/c", task="latch", variants=("softmax", "lse"), steps=400, workers=2,
        tune={"weight_decay": (0.03, 0.1, 0.3)}, learning_rates=(1e-3, 2e-3, 3e-3),
    )  # fmt: skip
    made = small.small_comparison(plan, REGISTRY)
    changed = {
        name for name in ComparePlan.model_fields if getattr(plan, name) != getattr(made, name)
    }
    assert changed == {
        *("steps", "seeds", "final_budget", "tune", "learning_rates", "fix", "workers"),
    }
    assert made.tune == {"weight_decay": (0.03, 0.1)}


def test_a_small_discovery_differs_in_its_size_alone() -> None:
    plan = DiscoverPlan(
        study="night", folder="runs/night", tasks=("stacked-recall",), budget="2h", workers=2,
        held_out=("latch",), without=("lse",), seed_energies=("rbm", "lsr"), control=0.25,
    )  # fmt: skip
    made = small.small_discovery(plan, resume=False)
    changed = {
        name for name in DiscoverPlan.model_fields if getattr(plan, name) != getattr(made, name)
    }
    assert changed == {"budget", "candidates", "seed_energies", "finalists", "workers"}
    assert (made.candidates, small.small_discovery(plan, resume=True).candidates) == (3, 4)


@pytest.mark.parametrize(
    ("task", "batch"), [("listops", 1), ("mqar-memory", 1), ("latch", 8), ("table", 8)]
)
def test_a_batch_of_long_sequences_is_smaller(task: str, batch: int) -> None:
    plan = ComparePlan(name="c", folder="runs/c", task=task, variants=("softmax",))
    assert small.small_comparison(plan, REGISTRY).fix["batch_size"] == batch


def test_every_place_exists() -> None:
    with small.smaller():
        pass


@pytest.mark.long
def test_a_block_is_run_and_leaves_its_study(tmp_path: Path) -> None:
    """The next one has the same study, with other runs; nothing of it is what the tests see."""
    command = "attenergy compare -t latch -e {} --seeds 5 --study one --plain"
    lines = [command.format("mean"), command.format("identity --steps 99"), "attenergy report one"]
    page = ROOT / "docs" / "index.md"
    run_page([Block(page, 1, "sh", "\n".join(lines), {"run": ["small"]})], tmp_path, slow=True)
    plan = json.loads((tmp_path / "runs/one/compare.json").read_text())
    assert (plan["variants"], plan["steps"], plan["seeds"]) == (["identity"], 2, 1)
    assert (tmp_path / "runs/one/report.html").is_file()


def test_what_is_wrong_is_wrong_in_small_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_block("attenergy compare -t latch -e lsee", Mode(small=True, exit_code=2))
