"""Heads without output: removed for good in a copy, or for a while to see what that costs.

A head is removed by setting its part of the output map to zero. The rest of the model, biases
included, goes on as it was; later layers see states without what the head wrote, so their
patterns change too.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from attenergy.analysis.paths.maps import output_maps
from attenergy.analysis.result import Progress
from attenergy.attention.modules.arguments import check_module
from attenergy.registry import AnalysisError

#: The number of a call in its name; all calls of a layer have the same heads.
_CALL = re.compile(r" \(\d+\)$")
#: A layer's name and the number of a head in it.
Head = tuple[str, int]
#: Heads of a model: pairs, or the numbers of each layer.
Heads = Iterable[Head] | Mapping[str, Iterable[int]]


@dataclass(frozen=True)
class Curve:
    """The score against the number of removed heads, in one order.

    Attributes:
        order: how the heads were ordered.
        removed: numbers of removed heads.
        scores: the score with so many removed; the mean over draws of a random order.
        spread: its standard deviation over those; 0 for an order that is not drawn.
    """

    order: str
    removed: tuple[int, ...]
    scores: tuple[float, ...]
    spread: tuple[float, ...]

    def at(self, removed: int) -> float:
        """The score with so many heads removed."""
        return self.scores[self.removed.index(removed)]


def prune_heads(model: nn.Module, heads: Heads) -> nn.Module:
    """A copy of a model in which some heads write nothing.

    Their parts of the output maps are zero; all shapes stay, so the copy is saved, loaded and
    trained like the model.

    Args:
        model: with layers or mixers of the toolkit, `nn.MultiheadAttention`, or attention of a
            Hugging Face model whose output map stands under a usual name.
        heads: `[("blocks.0.mixer", 1)]` or `{"blocks.0.mixer": [1]}`; layers are named as by
            `attention_calls`, heads are counted from 0, over all groups of a layer of several.

    Returns:
        The copy.

    Raises:
        TypeError: the model is no module.
        ValueError: there is no such layer or head, or its output is not known to be separate.

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(16, 4, "lse"))
        >>> small = prune_heads(model, {"0": [0, 2]})
        >>> small(torch.randn(1, 5, 16)).shape
        torch.Size([1, 5, 16])
    """
    check_module("model", model)
    chosen = pairs(heads)
    parts(model, chosen)  # refused before anything is copied
    pruned = copy.deepcopy(model)
    with torch.no_grad():
        for part in parts(pruned, chosen):
            part.zero_()
    return pruned


def pairs(heads: Heads) -> list[Head]:
    """Heads as pairs of a layer and a number."""
    if isinstance(heads, Mapping):
        return [(name, head) for name, numbers in heads.items() for head in numbers]
    return [(name, head) for name, head in heads]


def layer_of(call: str) -> str:
    """The name of the layer of a call."""
    return _CALL.sub("", call)


def parts(model: nn.Module, heads: Sequence[Head]) -> list[Tensor]:
    """The parts of output maps that heads write through.

    Raises:
        ValueError: as `prune_heads`.
    """
    places: list[Tensor] = []
    for name, head in heads:
        maps = output_maps(model, layer_of(name))
        places_of_layer = [(one, h) for one in maps for h in range(one.heads)]
        if isinstance(head, bool) or not 0 <= int(head) < len(places_of_layer):
            raise AnalysisError(
                f"'{name}' has heads 0 to {len(places_of_layer) - 1}, got head {head!r}"
            )
        one, number = places_of_layer[int(head)]
        places.append(one.part(number))
    return places


@contextmanager
def silenced(model: nn.Module, heads: Sequence[Head]) -> Iterator[None]:
    """Heads write nothing inside; after it the model is as it was, to the bit."""
    places = parts(model, heads)
    before = [part.detach().clone() for part in places]
    try:
        with torch.no_grad():
            for part in places:
                part.zero_()
        yield
    finally:
        with torch.no_grad():
            for part, value in zip(places, before, strict=True):
                part.copy_(value)


def curve(
    order: str,
    heads: Sequence[Sequence[Head]],
    removed: Sequence[int],
    score: Callable[[Sequence[Head]], float],
    progress: Progress | None = None,
) -> Curve:
    """Scores with the first so many heads removed, of one order or of several draws of one.

    Args:
        order: its name.
        heads: for each draw, all heads in the order in which they go.
        removed: how many to remove.
        score: the score without some heads.
        progress: called after each score.
    """
    rows: list[list[float]] = []
    done, count = 0, len(heads) * len(removed)
    for draw in heads:
        rows.append([])
        for number in removed:
            rows[-1].append(score(draw[:number]))
            done += 1
            if progress is not None:
                progress(f"pruning, {order}", done, count)
    values = torch.tensor(rows, dtype=torch.float64)
    spread = values.std(0, correction=1 if len(heads) > 1 else 0)
    return Curve(order, tuple(removed), tuple(values.mean(0).tolist()), tuple(spread.tolist()))


def remembered(score: Callable[[Sequence[Head]], float]) -> Callable[[Sequence[Head]], float]:
    """The same score, computed once for each set of heads: orders meet at both ends."""
    known: dict[frozenset[Head], float] = {}

    def look_up(heads: Sequence[Head]) -> float:
        key = frozenset(heads)
        if key not in known:
            known[key] = score(heads)
        return known[key]

    return look_up


def random_orders(heads: Sequence[Head], draws: int, generator: Generator) -> list[list[Head]]:
    """Heads in several random orders."""
    orders = [torch.randperm(len(heads), generator=generator) for _ in range(draws)]
    return [[heads[int(i)] for i in order] for order in orders]


def steps_between(total: int, most: int, also: Sequence[int] = ()) -> list[int]:
    """Numbers from 0 to `total`, at most `most` of them and those in `also`."""
    if total + 1 <= most:
        return list(range(total + 1))
    even = {round(i * total / (most - 1)) for i in range(most)}
    return sorted(even | set(also))
