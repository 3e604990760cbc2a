"""Attention paths of a model: which of them, and which heads, fit the task, and what pruning costs.

`N` points, `P` paths, `E` model width, `C` outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.analysis.paths import linear, pruning, scoring
from attenergy.analysis.paths.alignment import (
    Alignment,
    align,
    kernels_of,
    overlaps,
    target_kernel,
    unit,
)
from attenergy.analysis.paths.features import all_paths, count_paths
from attenergy.analysis.paths.maps import norms, output_maps
from attenergy.analysis.paths.patterns import Patterns
from attenergy.analysis.paths.result import AttentionPaths
from attenergy.analysis.paths.sample import FEWEST, Options, Sample, draw_sample
from attenergy.analysis.result import Progress
from attenergy.analysis.untouched import untouched
from attenergy.attention.modules.arguments import check_flag, check_module, check_whole
from attenergy.attention.modules.modes import evaluating
from attenergy.registry import AnalysisError, ArgumentError

#: Numbers of removed heads that are scored, of few heads and of many.
_STEPS, _STEPS_OF_MANY, _MANY = 9, 4, 24


def attention_paths(  # noqa: PLR0913 - every choice, each by keyword
    model: nn.Module,
    batches: Any,
    targets: Any,
    *,
    layers: Sequence[str] | None = None,
    skip: bool = True,
    position: scoring.Position = -1,
    points: int = 256,
    most_paths: int = 256,
    shuffles: int = 200,
    prune: bool = True,
    draws: int = 5,
    score: Callable[[nn.Module], float] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> AttentionPaths:
    """Follow the paths through the heads of a model, and prune the heads that do not fit the task.

    A path takes one head of every layer, or the residual connection. Its feature is the product of
    the attention patterns along it, applied to what the first layer reads and read at a scored
    position, xi_pi = r A_n^{h_n} ... A_1^{h_1} x0; its kernel is K_pi = xi_pi xi_pi' over a sample
    of instances. How well a kernel fits the task is its centred alignment with the kernel of the
    targets, against the same with shuffled targets. Of a head it is that of the mean feature of all
    paths through it.

    Where the values of the layers are known (layers of the toolkit, `nn.MultiheadAttention`), the
    effective weights w_pi of the paths are too. Then the same is computed of what a path, or all
    paths through a head, write to the outputs, xi_pi w_pi', and heads are judged by that. With
    U_pi,rho = w_pi . w_rho / E the kernel of the theory is K = sum_pi,rho U_pi,rho xi_pi xi_rho'.
    `explained` says how far that linear reading holds for this model: it is exactly 1 where there
    is nothing but attention and residual connections. Norms, feed-forward parts and what heads do
    to the patterns of later layers are in no path; pruning has them all.

    Args:
        model: anything that `attention_calls` reads, with attention weights in every layer. It is
            in evaluation mode meanwhile, and left as it was.
        batches: what the model is called with, one entry for each batch: a tensor, a mapping of
            arguments, or a pair of inputs and such a mapping. Or one tensor.
        targets: for each batch (B, T) classes, -100 where not scored; (B, T, C) numbers, NaN there;
            or one target for each instance, (B,) classes or (B, C) numbers.
        layers: names of the layers that follow one another; all of them if None.
        skip: whether layers add to what they read, so that paths may go around them.
        position: where one target for a whole instance is read: a position, or `mean` over all.
        points: scored positions that are sampled, at most, one of each instance.
        most_paths: so many paths are followed one by one; of a model with more, only heads are
            looked at, by dynamic programming over the layers.
        shuffles: how often the targets are shuffled.
        prune: whether heads are removed to see what that costs. Of two batches or more, and
            without a `score`, the second half is for that and for nothing else.
        draws: random orders of removal.
        score: of a model, higher is better; by default the accuracy on the batches, or of numbers
            the share of variance explained.
        seed: of everything that is drawn.
        progress: called while it goes on.

    Raises:
        TypeError: the model is no module.
        ValueError: a layer without attention weights, layers that do not follow one another,
            targets that do not fit, or fewer than 8 points.

    Source: Tiberi et al. 2024, arXiv:2405.15926; centred alignment: Cortes et al. 2012,
    arXiv:1203.0550.

    Example:
        >>> model = attenergy.Transformer(
        ...     layers="softmax/softmax", positions="absolute", kind="vector",
        ...     size=3, length=6, outputs=2, width=16, heads=2, mlp=0,
        ... )
        >>> x, y = torch.randn(32, 6, 3), torch.randint(2, (32, 6))
        >>> result = attention_paths(model, [x], [y])
        >>> result.layers, result.number_of_paths
        (('blocks.0.mixer', 'blocks.1.mixer'), 9)
    """
    check_module("model", model)
    check_flag("skip", skip)
    check_flag("prune", prune)
    for name, number, least in (
        ("points", points, FEWEST), ("most_paths", most_paths, 1), ("shuffles", shuffles, 20),
        ("draws", draws, 1),
    ):  # fmt: skip
        check_whole(name, number, least)
    given = [scoring.as_inputs(batch) for batch in _several(batches)]
    answers = [torch.as_tensor(target) for target in _several(targets)]
    if len(given) != len(answers) or not given:
        raise AnalysisError(f"{len(given)} batches and {len(answers)} targets: give one for each")
    generator = torch.Generator().manual_seed(seed)
    options = Options(
        layers, skip, position, points, most_paths, shuffles, draws, generator, progress
    )
    own = (len(given) + 1) // 2 if prune and score is None else len(given)
    with untouched(model), evaluating(model):
        sample = draw_sample(model, given[:own], answers[:own], options)
        result = _aligned(model, sample, options)
        if not prune:
            return result
        apart = len(given) > own
        rest = (given[own:], answers[own:]) if apart else (given, answers)

        def scored() -> float:
            return float(score(model)) if score else scoring.score(model, *rest, position)

        what = _metric(answers[0]) if score is None else result.metric
        return _pruned(model, replace(result, apart=apart, metric=what), scored, options)


def _several(given: Any) -> list[Any]:
    return [given] if isinstance(given, Tensor) else list(given)


def _aligned(model: nn.Module, sample: Sample, options: Options) -> AttentionPaths:
    """The alignment of all heads, paths and sums of paths with the targets."""
    patterns, target = sample.patterns, target_kernel(sample.targets)
    if not target.any():
        raise AnalysisError("all sampled targets are the same: no kernel can be aligned with them")

    def aligned(what: str, kernels: Tensor) -> Alignment:
        return align(
            kernels, target, shuffles=options.shuffles, generator=options.generator,
            progress=options.progress, what=f"shuffled targets, {what}",
        )  # fmt: skip

    result = AttentionPaths(
        layers=patterns.names,
        heads=patterns.heads,
        skip=options.skip,
        points=len(sample.targets),
        number_of_paths=count_paths(patterns.heads, options.skip),
        head_alignment=aligned("heads", kernels_of(sample.heads)),
        head_written=None
        if sample.written is None
        else aligned("what heads write", kernels_of(sample.written)),
        norms=_norms(model, patterns),
        explained=sample.explained,
    )
    if sample.paths is None:
        return result
    paths = all_paths(patterns.heads, options.skip)
    kernels = kernels_of(sample.paths)
    result = replace(
        result, paths=tuple(paths), features=sample.paths, alignment=aligned("paths", kernels),
        overlaps=overlaps(kernels),
    )  # fmt: skip
    sums = {"all alike": _weighted(sample.paths, torch.eye(len(paths)).double())}
    writes = linear.all_writes(patterns)
    weights = (
        None if writes is None else linear.path_weights(writes, paths, linear.readout_of(model))
    )
    if weights is not None:
        weight_overlaps = linear.overlap_of_weights(weights)
        written = torch.einsum("npe,pec->npc", sample.paths, weights)
        sums["U of the model"] = _weighted(sample.paths, weight_overlaps)
        result = replace(
            result, path_weights=weights, weight_overlaps=weight_overlaps,
            written=aligned("what paths write", kernels_of(written)),
            head_scores=tuple(linear.head_scores(weight_overlaps, paths, patterns.heads)),
        )  # fmt: skip
    whole = aligned("sums of paths", torch.stack(list(sums.values())))
    return replace(result, sums=tuple(sums), sum_alignment=whole)


def _pruned(
    model: nn.Module, result: AttentionPaths, score: Callable[[], float], options: Options
) -> AttentionPaths:
    """The score without heads, in three orders."""
    if result.norms is None:
        return replace(
            result, unpruned="a layer has no output map whose parts are known to be of one head"
        )
    every = result.every_head
    weak = set(result.irrelevant)
    # The heads within the null go first; the others after them, also by their alignment.
    by_alignment = sorted(
        _ascending(every, result.head_relevance.value.tolist()), key=lambda head: head not in weak
    )
    orders = {
        "alignment": [by_alignment],
        "magnitude": [_ascending(every, result.norms)],
        "random": pruning.random_orders(every, options.draws, options.generator),
    }
    most = _STEPS if len(every) <= _MANY else _STEPS_OF_MANY
    removed = pruning.steps_between(len(every), most, [len(weak)])

    def without(heads: Sequence[pruning.Head]) -> float:
        with pruning.silenced(model, heads):
            return score()

    look_up = pruning.remembered(without)
    try:
        look_up([])
    except ArgumentError as error:
        return replace(result, unpruned=str(error))
    curves = [
        pruning.curve(name, order, removed, look_up, options.report)
        for name, order in orders.items()
    ]
    alone = None
    if len(every) <= _MANY:
        alone = tuple(look_up([head]) for head in every)
    return replace(result, curves=tuple(curves), draws=options.draws, scores_without=alone)


def _metric(targets: Tensor) -> str:
    return "variance explained" if targets.is_floating_point() else "accuracy"


def _ascending(heads: Sequence[pruning.Head], values: Sequence[float]) -> list[pruning.Head]:
    order = sorted(range(len(heads)), key=lambda i: (values[i], i))
    return [heads[i] for i in order]


def _weighted(features: Tensor, weights: Tensor) -> Tensor:
    """The kernel sum_pi,rho U_pi,rho xi_pi xi_rho', centred and of norm 1, (N, N)."""
    features = features.double()
    moved = torch.einsum("npe,pq->nqe", features, weights)
    return unit(moved.flatten(1) @ features.flatten(1).mT)


def _norms(model: nn.Module, patterns: Patterns) -> tuple[float, ...] | None:
    """Of every head the norm of its output map; None if a layer has none that is known."""
    try:
        maps = [output_maps(model, pruning.layer_of(name)) for name in patterns.names]
    except ArgumentError:
        return None
    counts = tuple(sum(one.heads for one in each) for each in maps)
    every = tuple(value for each in maps for value in norms(each))
    return every if counts == patterns.heads else None
