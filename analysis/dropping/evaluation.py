"""What a model is worth with some of it dropped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from attenergy.analysis.dropping.absent import without
from attenergy.analysis.dropping.sublayers import Structure
from attenergy.analysis.subject import Inputs
from attenergy.registry import AnalysisError, UnknownName

#: Gives what a model is worth: a number, or several by name.
Evaluate = Callable[[nn.Module], "float | Mapping[str, float]"]
#: Words in the names of numbers of which less is better.
_LOWER = ("loss", "error", "perplexity", "change", "distance", "bits", "nats")
CHANGE = "output change"
_COMPARED = 2**18  # so many numbers of a batch's outputs


@dataclass(frozen=True)
class Worth:
    """What the whole model is worth, and its embedding with the readout alone.

    Attributes:
        metric: what is measured.
        lower: whether less is better.
        full: of the whole model.
        bare: without any attention layer and MLP.
    """

    metric: str
    lower: bool
    full: float
    bare: float

    def loss(self, value: float) -> float:
        """By how much a value is worse than that of the whole model."""
        return value - self.full if self.lower else self.full - value


class Evaluation:
    """One number for every set of dropped sub-layers, computed once.

    Args:
        model: is given to `evaluate` with parts of it replaced, and is as before afterwards.
        structure: of the model.
        batches: what it is fed.
        evaluate: what it is worth. By default the mean loss that the model itself returns for the
            batches (labels among the inputs of a Hugging Face model), or else the relative change
            of its outputs, |y' - y|/|y|.
        metric: which of the numbers counts if there are several; by default accuracy, if it is
            among them, else the first.

    Attributes:
        metric: its name.
        lower: whether less is better, by the name.
        full: of the whole model.
    """

    def __init__(
        self,
        model: nn.Module,
        structure: Structure,
        batches: Sequence[Inputs],
        evaluate: Evaluate | None = None,
        metric: str | None = None,
    ) -> None:
        self.model, self.structure = model, structure
        self.evaluate: Evaluate = _Outputs(batches) if evaluate is None else evaluate
        self.metric = metric or ""
        self._values: dict[frozenset[str], float] = {}
        self.full = self.value(())

    @property
    def lower(self) -> bool:
        """Whether less is better."""
        return any(word in self.metric.lower() for word in _LOWER)

    def value(self, dropped: Collection[str]) -> float:
        """The metric without some sub-layers and blocks."""
        absent = self.structure.absent(list(dropped))
        key = frozenset(absent)
        if key not in self._values:
            with torch.no_grad(), without(self.model, absent):
                self._values[key] = self._chosen(self.evaluate(self.model))
        return self._values[key]

    def _chosen(self, given: float | Mapping[str, float]) -> float:
        if not isinstance(given, Mapping):
            self.metric = self.metric or "score"
            return float(given)
        if not self.metric:
            self.metric = "accuracy" if "accuracy" in given else next(iter(given), "")
        if self.metric not in given:
            raise UnknownName("metric", self.metric, given)
        return float(given[self.metric])


class _Outputs:
    """The loss that a model returns, or how far its outputs are from those of the whole model.

    The first call is that of the whole model. Of a large output some numbers are compared, the same
    ones every time.
    """

    def __init__(self, batches: Sequence[Inputs]) -> None:
        self.batches = batches
        self._first: list[Tensor] = []

    def __call__(self, model: nn.Module) -> dict[str, float]:
        losses, outputs = [], []
        for inputs, arguments in self.batches:
            answer = model(*inputs, **arguments)
            loss = getattr(answer, "loss", None)
            if isinstance(loss, Tensor):
                losses.append(float(loss))
            else:
                outputs.append(_some(_main(answer)))
        if losses and not outputs:
            return {"loss": sum(losses) / len(losses)}
        if not self._first:
            self._first = outputs
        pairs = list(zip(outputs, self._first, strict=True))
        change = sum(float((y - first).square().sum()) for y, first in pairs)
        size = sum(float(first.square().sum()) for _, first in pairs)
        return {CHANGE: (change / size) ** 0.5 if size else change**0.5}


def _main(answer: Any) -> Tensor:
    """The logits of an answer, or its first tensor of numbers."""
    logits = getattr(answer, "logits", None)
    for x in [logits, *tree_leaves(answer)]:
        if isinstance(x, Tensor) and x.is_floating_point():
            return x
    raise AnalysisError(
        f"a {type(answer).__name__} holds no tensor of numbers to compare: give `evaluate`"
    )


def _some(x: Tensor) -> Tensor:
    flat = x.detach().flatten()
    stride = max(1, -(-flat.numel() // _COMPARED)) | 1  # odd, so that no axis is always hit
    return flat[::stride].double()
