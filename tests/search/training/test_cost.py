from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from attenergy.attention import make_layer
from attenergy.attention.models import flops
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.cost import BACKWARD, count_parameters, forward_flops
from attenergy.search.training.model import build_model
from attenergy.tasks import Batch, make_task

ConfigMaker = Callable[..., RunConfig]


class Attend(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return scaled_dot_product_attention(x, x, x).flatten(2)


def batch(inputs: Tensor) -> Batch:
    return Batch(inputs, torch.empty(0))


def test_fused_attention_is_counted() -> None:
    heads, length, width = 2, 5, 8
    inputs = torch.randn(3, heads, length, width)
    assert forward_flops(Attend(), batch(inputs)) == heads * 2 * (2 * length * length * width)


@pytest.mark.parametrize("name", ["softmax", "linear"])
def test_an_attention_layer_costs_four_projections_and_two_products(name: str) -> None:
    width, heads, length = 16, 4, 7
    layer = make_layer(name, embed_dim=width, num_heads=heads)
    projections = 4 * 2 * length * width * width
    products = 2 * heads * 2 * length * length * (width // heads)
    assert forward_flops(layer, batch(torch.randn(3, length, width))) == projections + products


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_step_of_log_sum_exp_costs_what_softmax_attention_does(steps: int) -> None:
    """By hand: four projections, and two products of every step."""
    inputs, products = batch(torch.randn(2, 7, 16)), 2 * 2 * 7 * 7 * 16
    softmax = forward_flops(make_layer("softmax", embed_dim=16, num_heads=4), inputs)
    assert softmax == 4 * 2 * 7 * 16**2 + products
    layer = make_layer("lse", embed_dim=16, num_heads=4, steps=steps)
    assert forward_flops(layer, inputs) == softmax + (steps - 1) * products


@pytest.mark.parametrize(
    ("name", "ratio"), [("softmax", 3.0), ("hyla", 3.0), ("lse", 3.0), ("graph_memory", 2.78)]
)
def test_forward_and_backward_cost_at_most_three_times_the_forward(name: str, ratio: float) -> None:
    layer = make_layer(name, embed_dim=32, num_heads=4)
    inputs = torch.randn(2, 24, 32, requires_grad=True)
    counter = FlopCounterMode(display=False, custom_mapping=flops._CPU)
    counter.mod_tracker = flops._OneModule()
    with counter:
        layer(inputs).sum().backward()
    once = forward_flops(layer, batch(inputs.detach()))
    assert counter.get_total_flops() / 2 / once == pytest.approx(ratio, abs=0.01)
    assert ratio <= BACKWARD


def test_counting_leaves_the_model_as_it_was() -> None:
    layer = make_layer("softmax", embed_dim=8, num_heads=2, dropout=0.5)
    layer.train()
    forward_flops(layer, batch(torch.randn(2, 3, 8)))
    assert layer.training


def test_the_whole_model_is_counted_by_hand(make_config: ConfigMaker) -> None:
    config = make_config()
    task = make_task(config.task_spec)
    model = build_model(config, task)
    length, size, width = task.inputs.length, task.inputs.size, 16

    def flops(rows: int) -> int:
        """With the states of so many positions, and the patterns of all."""
        attention = 2 * 2 * (length + rows) * width**2 + 2 * 2 * rows * length * width
        return attention + 2 * width * (length * size + rows * task.outputs.size)

    valid = task.batch("valid", 0, 2)
    assert forward_flops(model, valid) == flops(length)
    assert task.scored_positions == slice(-1, None)
    assert forward_flops(model, valid, task.scored_positions) == flops(1)

    dense = 4 * (width**2 + width) + (size + 1) * width + (width + 1) * task.outputs.size
    norms, table = 2 * 2 * width, 2 * length  # two layer norms; two heads of relative positions
    assert count_parameters(model) == dense + norms + table
