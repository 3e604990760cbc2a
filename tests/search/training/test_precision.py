from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.precision import autocast
from attenergy.search.training.train import train

PRECISIONS = ("float32", "bfloat16")


def products(precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 64), torch.randn(8, 64)
    with autocast(precision, torch.device("cpu")):
        out = layer(x)
    return out, nn.functional.linear(x.double(), layer.weight.double(), layer.bias.double())


def test_bfloat16_rounds_products_and_float32_does_not() -> None:
    rounded, exact = products("bfloat16")
    assert rounded.dtype == torch.bfloat16
    assert 1e-4 < (rounded.double() - exact).abs().max() < 0.05
    plain, exact = products("float32")
    assert plain.dtype == torch.float32
    assert (plain.double() - exact).abs().max() < 1e-5


@pytest.mark.parametrize("variant", ["softmax", "lse", "rbm", "hyla", "graph_hopfield"])
def test_a_run_in_bfloat16_learns_about_the_same(registry, make_plan, variant) -> None:
    plan = make_plan(variants=(variant,), baseline=variant)
    plans = {p: plan.model_copy(update={"fix": {"precision": p}}) for p in PRECISIONS}
    records = {p: train(Space(registry, plan).reference()) for p, plan in plans.items()}
    assert {record.status for record in records.values()} == {"complete"}
    losses = {p: record.curve[-1]["loss"] for p, record in records.items()}
    assert losses["bfloat16"] != losses["float32"]
    assert math.isclose(losses["bfloat16"], losses["float32"], rel_tol=0.05)


def test_runs_of_before_keep_their_keys(make_config) -> None:
    """A record of then has no precision; it is that of now with float32."""
    config: RunConfig = make_config("softmax")
    data = config.model_dump(mode="json", by_alias=True)
    for training in (data["training"], data["task_spec"]["training"]):
        del training["precision"]
    assert RunConfig.model_validate(data).run_key() == config.run_key()
    other = make_config("softmax", precision="bfloat16")
    assert other.run_key() != config.run_key()
