from __future__ import annotations

import pytest
import torch
from torch import nn

from attenergy.registry import load_registry
from attenergy.search.training.model import build_model
from attenergy.search.training.predict import predict
from attenergy.tasks import IGNORE, Batch, Task, make_task, needs_data

REGISTRY = load_registry(plugins=False)


def scored(task: Task, split: str) -> torch.Tensor:
    targets = task.batch(split, 0, 16).targets
    there = targets != IGNORE if task.outputs.kind == "class" else ~targets.isnan().any(-1)
    return there.flatten(2).any(-1) if there.ndim > 2 else there


#: Tasks of which an instance takes long to draw.
HEAVY = {"listops", "mqar-memory", "mqar-extreme", "mqar-hard", "sbm"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow) if n in HEAVY else n
        for n, spec in REGISTRY.tasks.items()
        if not needs_data(spec)
    ],
)
def test_nothing_is_scored_outside_of_what_a_task_declares(name: str) -> None:
    task = make_task(name, registry=REGISTRY)
    for split in task.splits:
        there = scored(task, split)
        if task.scored_positions is not None:
            inside = torch.zeros(there.shape[1], dtype=torch.bool)
            inside[task.scored_positions] = True
            assert not there[:, ~inside].any(), split
        elif there.all(0).sum() == there.any(0).sum() <= there.shape[1] / 2:
            positions = there.any(0).nonzero().flatten()
            together = len(positions) == positions[-1] - positions[0] + 1
            assert not together, f"{split}: always at {positions.tolist()}, which is not declared"


def test_logits_and_loss_are_those_of_the_whole(make_config) -> None:
    config = make_config()
    task = make_task(config.task_spec)
    model, batch = build_model(config, task), task.batch("train", 0, 8)
    whole, some = predict(model, batch), predict(model, batch, task.scored_positions)
    assert whole.shape == some.shape
    torch.testing.assert_close(some[:, -1], whole[:, -1])
    assert not some[:, :-1].any()
    losses = [task.loss(logits, batch.targets) for logits in (whole, some)]
    torch.testing.assert_close(*losses)


def test_a_model_of_another_kind_computes_everything() -> None:
    class Own(nn.Module):
        def forward(self, inputs: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
            return inputs * 2

    inputs = torch.randn(2, 4, 3)
    assert predict(Own(), Batch(inputs, torch.empty(0)), slice(-1, None)).equal(inputs * 2)
