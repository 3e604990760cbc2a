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
HEAVY |= {"mad-fuzzy-recall", "mad-fuzzy-recall-small"}


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


class Answer(nn.Module):
    """Answers the same to everything, and takes no mask."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, inputs: torch.Tensor) -> object:
        return self.answer


def test_a_model_may_answer_where_it_is_scored_alone() -> None:
    batch = Batch(torch.randn(2, 4, 3), torch.empty(0))
    one, two = torch.randn(2, 1, 5), torch.randn(2, 2, 5)
    for answer, scored in (
        (one, slice(-1, None)),
        (one[:, 0], slice(0, 1)),
        (two, slice(-2, None)),
    ):
        logits = predict(Answer(answer), batch, scored)
        assert logits.shape == (2, 4, 5)
        assert logits[:, scored].flatten().equal(answer.flatten())
        assert int((logits != 0).any(-1).sum()) == 2 * len(range(4)[scored])


@pytest.mark.parametrize(
    ("answer", "scored", "error"),
    [
        (torch.randn(2, 5), None, r"must return .B, L, C. = .B, 4, C., got .2, 5."),
        (torch.randn(2, 3, 5), slice(-2, None), r"or, where it is scored, .B, 2, C., got .2, 3, 5"),
        (torch.randn(2, 3, 5), slice(-1, None), r"C. or .B, C., got .2, 3, 5."),
        (torch.ones(2, 4, 5, dtype=torch.int64), None, "a tensor of floats, got torch.int64"),
        ((torch.ones(2, 4, 5), 3), None, "a tensor of floats, got tuple"),
    ],
)
def test_an_answer_of_another_shape_is_refused(
    answer: object, scored: slice | None, error: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        predict(Answer(answer), Batch(torch.randn(2, 4, 3), torch.empty(0)), scored)


def test_a_model_without_a_mask_is_refused_where_there_is_one() -> None:
    mask = torch.ones(2, 4, dtype=torch.bool)
    batch = Batch(torch.randn(2, 4, 3), torch.empty(0), mask)
    with pytest.raises(ValueError, match=r"forward of Answer takes no 'mask'.*shape .2, 4."):
        predict(Answer(torch.randn(2, 4, 5)), batch)
