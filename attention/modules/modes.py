"""The mode of a model, training or evaluation, changed for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A context in which a model is in evaluation mode; then every module is in its own again.

    A part that was in evaluation mode before, as one that is not trained, is so afterwards, which
    `model.train()` would end. Nothing is dropped out inside. Modes change by `train`, which a part
    may have of its own, to merge its weights for instance.

    Args:
        model: with all its parts.
    """
    before = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in before:  # from the outside inwards, as `train` goes on inwards
            if part.training != training:
                part.train(training)
