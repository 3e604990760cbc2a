"""Which attention layers, MLPs and blocks a model can do without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from torch import Tensor, nn

from attenergy.analysis.dropping.evaluation import Evaluate, Evaluation, Worth
from attenergy.analysis.dropping.order import ORDERS, Dropping, Order, at_random, by_score, spread
from attenergy.analysis.dropping.result import Choices, Redundancy, Size
from attenergy.analysis.dropping.scores import scores_of
from attenergy.analysis.dropping.smaller import dropped_copy
from attenergy.analysis.dropping.sublayers import structure_of
from attenergy.analysis.result import Progress
from attenergy.analysis.subject import Inputs
from attenergy.analysis.untouched import untouched
from attenergy.attention.models.flops import count_flops
from attenergy.attention.modules.arguments import check_module, check_whole
from attenergy.attention.modules.modes import evaluating
from attenergy.registry import AnalysisError, UnknownName

Drop = Literal["joint", "attention", "mlp", "blocks"]
DROPS: tuple[Drop, ...] = get_args(Drop)
TOLERANCE, RANDOM_ORDERS = 0.01, 5


def redundancy(  # noqa: PLR0913 - every choice by keyword
    model: nn.Module,
    batches: Sequence[Any],
    *,
    evaluate: Evaluate | None = None,
    metric: str | None = None,
    drop: Drop = "joint",
    order: Order = "one-shot",
    most: int | None = None,
    remove: int | None = None,
    tolerance: float = TOLERANCE,
    random_orders: int = RANDOM_ORDERS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Redundancy:
    """Score every residual sub-layer, drop the lowest first, and say what goes without loss.

    The score of h = x + f(norm(x)), or of a block from x to h, is the mean of 1 - cos(x, h) over
    the positions of all batches: 0 where the model would not notice. Sub-layers are read from one
    forward pass: every sum x + f(x) in which f comes from x through something trained, in models of
    ours, of Hugging Face, of PyTorch and of your own. Dropped is what f adds.

    Args:
        model: is put into evaluation mode meanwhile, and is otherwise unchanged.
        batches: what it is fed: each a tensor, a tuple of inputs, a dictionary of inputs by name,
            or a pair of the two.
        evaluate: what a model is worth, a number or several by name. By default the loss that the
            model returns (a Hugging Face model fed with labels), or else how far its outputs move.
        metric: which number counts, of several; "accuracy" or the first if None. Of those with
            "loss", "error", "perplexity" or "change" in their names less is better.
        drop: attention layers and MLPs "joint", "attention" or "mlp" alone, or whole "blocks".
        order: "one-shot", all by the scores of the whole model; or "step-by-step", each by the
            scores of what is left.
        most: how many are dropped at most; all if None.
        remove: how many the smaller model does without; as many as go without loss if None.
        tolerance: what counts as no loss, as a share of the whole model's value.
        random_orders: how many random orders are the control.
        seed: of them.
        progress: called as `progress(what, done, of)`.

    Returns:
        A `Redundancy`: scores, values, the control, and `smaller`, the model without what it can do
        without.

    Raises:
        TypeError: the model is no module.
        ValueError: nothing can be dropped, or an argument does not fit.

    Source: He et al. 2024, arXiv:2406.15786 (LLM-Drop), where norms are dropped with their layers,
    as here; the control, the step-by-step order and the tolerance are ours.

    Example:
        >>> model = attenergy.Transformer(
        ...     layers="softmax/softmax", positions="absolute", kind="vector",
        ...     size=3, length=6, outputs=2, width=16, heads=2, mlp=16,
        ... )
        >>> x, y = torch.randn(8, 6, 3), torch.randint(2, (8, 6))
        >>> result = attenergy.analysis.redundancy(
        ...     model, [x], evaluate=lambda m: (m(x).argmax(-1) == y).double().mean().item()
        ... )
        >>> len(result.scores)  # two attention layers, two MLPs, two blocks
        6
    """
    check_module("model", model)
    for name, value, known in (("drop", drop, DROPS), ("order", order, ORDERS)):
        if value not in known:
            raise UnknownName(name, str(value), known)
    check_whole("random_orders", random_orders, 0)
    if not 0 <= tolerance < 1:
        raise AnalysisError(f"tolerance must be a share in [0, 1), got {tolerance}")
    fed = [as_inputs(batch) for batch in batches]
    if not fed:
        raise AnalysisError("redundancy needs one batch of inputs at least")
    with untouched(model), evaluating(model):
        structure = structure_of(model, *fed[0])
        scores = scores_of(model, structure, fed)
        candidates = [name for name in structure.of(drop) if name in scores]
        if not candidates:
            raise AnalysisError(f"there is nothing of kind {drop!r} to drop in this model")
        count = _count("most", most, len(candidates))
        removed = None if remove is None else _count("remove", remove, count)
        counts = spread(count) if random_orders else []
        done = _Counter(progress, 1 + count + random_orders * len(counts))
        evaluation = Evaluation(model, structure, fed, evaluate, metric)
        bare = evaluation.value([layer.name for layer in structure.layers])
        done()
        steps = by_score(
            Dropping(model, structure, fed, evaluation, done), candidates, scores, order, count
        )
        result = Redundancy(
            structure=structure,
            choices=Choices(drop, order, tolerance, removed),
            worth=Worth(evaluation.metric, evaluation.lower, evaluation.full, bare),
            scores=scores,
            steps=steps,
            control=at_random(candidates, counts, random_orders, seed, evaluation, done),
            size=_size(model, fed[0]),
        )
        if not result.dropped:
            return result
        smaller = dropped_copy(model, structure, result.dropped, *fed[0])
        return result.with_smaller(smaller, _size(smaller, fed[0]))


def as_inputs(batch: Any) -> Inputs:
    """A batch as inputs by place and by name.

    Raises:
        ValueError: it is none.
    """
    if isinstance(batch, Tensor):
        return (batch,), {}
    if isinstance(batch, Mapping):
        return (), batch
    if isinstance(batch, (tuple, list)):
        if len(batch) == 2 and isinstance(batch[1], Mapping):
            first = batch[0]
            return (first,) if isinstance(first, Tensor) else tuple(first), batch[1]
        return tuple(batch), {}
    raise AnalysisError(
        "a batch is a tensor, a tuple of inputs, a dictionary of inputs by name, or a pair of the "
        f"two, got a {type(batch).__name__}"
    )


class _Counter:
    """Calls `progress` with how much is done."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress("dropping sub-layers", self.done, self.total)


def _count(name: str, value: int | None, most: int) -> int:
    if value is None:
        return most
    if check_whole(name, value, 1) > most:
        raise AnalysisError(f"{name} must be at most {most}, which is all there is, got {value}")
    return value


def _size(model: nn.Module, inputs: Inputs) -> Size:
    flops = count_flops(lambda: model(*inputs[0], **inputs[1]))
    return Size(sum(p.numel() for p in model.parameters()), flops)
