"""The latent code of a pair of positions: how every head weighs the one for the other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.analysis.calls import AttentionCall, attention_calls
from attenergy.analysis.result import Progress
from attenergy.registry import AnalysisError

#: (state, pattern): which position reads which; negative ones count from the end.
Pair = tuple[int, int]
#: The paper's: the last position, which answers, reads itself.
SELF: tuple[Pair, ...] = ((-1, -1),)
#: Weights of one head that a forward pass may hold, so that memory is bounded.
_MOST_WEIGHTS = 1 << 19


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of N instances in every layer that has weights.

    Attributes:
        layers: name of a layer -> (N, pairs x heads), float64, the heads of the first pair first.
        heads: name of a layer -> H.
        missing: name of a layer without weights -> why.

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(16, 2))
        >>> codes = head_codes(model, torch.randn(4, 5, 16))
        >>> {name: code.shape for name, code in codes.layers.items()}
        {'0': torch.Size([4, 2])}
    """

    layers: Mapping[str, Tensor]
    heads: Mapping[str, int]
    missing: Mapping[str, str]


def head_codes(
    model: nn.Module,
    /,
    *inputs: Any,
    pairs: Sequence[Pair] = SELF,
    batch_size: int | None = None,
    progress: Progress | None = None,
    **arguments: Any,
) -> Codes:
    """Code z = (a[1, i, j], ..., a[H, i, j]) for every instance and layer, and every pair (i, j).

    a are the weights over patterns at the state that is read, after their normalisation and before
    dropout: of HYLA normalised across the heads, of softmax attention over the patterns. Seen from
    the pair, z is the latent code of a hypernetwork: the map from x_j to what i reads of it is
    sum_h z_h Wout_h Wv_h.

    Args:
        model: any model with attention that `attention_calls` can read; in the mode that it is in.
        *inputs: the model's, tensors with N entries along their first axis.
        pairs: (state, pattern); negative numbers count from the end. Their codes are joined.
        batch_size: instances of one forward pass; by default as many as keep memory small.
        progress: called with what is done.
        **arguments: the model's. Tensors with N entries along their first axis are cut into
            batches, everything else is handed over as it is.

    Raises:
        ValueError: no instances, a pair outside a layer, or no layer with weights.

    Source: Schug et al. 2025, arXiv:2406.05816 (section 2 and figures 2, 5).

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(16, 2))
        >>> codes = head_codes(model, torch.randn(4, 5, 16))
        >>> codes.heads
        {'0': 2}
    """
    count = _count(inputs, arguments)
    pairs = _checked(pairs)
    parts: dict[str, list[Tensor]] = {}
    heads: dict[str, int] = {}
    missing: dict[str, str] = {}
    size, done = batch_size or 1, 0
    while done < count:
        rows = slice(done, done + size)
        calls = attention_calls(
            model,
            *(_rows(each, rows, count) for each in inputs),
            **{key: _rows(each, rows, count) for key, each in arguments.items()},
        )
        for call in calls:
            if call.weights is None:
                missing[call.name] = call.missing
                continue
            heads[call.name] = call.weights.shape[1]
            parts.setdefault(call.name, []).append(_code(call, pairs))
        done = min(count, done + size)
        if progress is not None:
            progress("codes", done, count)
        size = batch_size or _fitting(calls)
    if not parts:
        why = "; ".join(f"{name}: {text}" for name, text in missing.items())
        raise AnalysisError(f"no layer of {type(model).__name__} has weights to read ({why})")
    return Codes({name: torch.cat(each) for name, each in parts.items()}, heads, missing)


def pairs_of(text: str) -> tuple[Pair, ...]:
    """Pairs of a text `STATE:PATTERN,...`, as `-1:-1,-1:-5`.

    Raises:
        ArgumentError: it is something else.
    """
    matches = [
        re.fullmatch(r"\s*(-?\d{1,9})\s*:\s*(-?\d{1,9})\s*", part) for part in text.split(",")
    ]
    pairs = tuple((int(match[1]), int(match[2])) for match in matches if match)
    if len(pairs) < len(matches):
        raise AnalysisError(f"pairs must be STATE:PATTERN,... as -1:-1,-1:-5, got {text!r:.60}")
    return pairs


def _count(inputs: Sequence[Any], arguments: Mapping[str, Any]) -> int:
    tensors = [each for each in (*inputs, *arguments.values()) if isinstance(each, Tensor)]
    if not tensors or not tensors[0].ndim or not len(tensors[0]):
        raise AnalysisError("the inputs must hold at least one instance, in a tensor (N, ...)")
    return len(tensors[0])


def _checked(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    wanted = "pairs must be (state, pattern), two whole numbers each, [(-1, -1)]"
    try:
        numbers = tuple((i, j) for i, j in pairs)
    except (TypeError, ValueError) as error:
        raise AnalysisError(f"{wanted}, got {pairs!r:.60}") from error
    if not numbers or not all(type(n) is int for pair in numbers for n in pair):
        raise AnalysisError(f"{wanted}, got {pairs!r:.60}")
    return numbers


def _rows(value: Any, rows: slice, count: int) -> Any:
    cut = isinstance(value, Tensor) and value.ndim and len(value) == count
    return value[rows] if cut else value


def _code(call: AttentionCall, pairs: Sequence[Pair]) -> Tensor:
    weights = call.weights
    assert weights is not None
    states, patterns = weights.shape[2:]
    for i, j in pairs:
        if not (-states <= i < states and -patterns <= j < patterns):
            raise AnalysisError(
                f"the pair ({i}, {j}) is outside {call.name}, which has {states} states and "
                f"{patterns} patterns"
            )
    code = torch.cat([weights[:, :, i, j] for i, j in pairs], -1)
    return code.detach().to("cpu", torch.float64)


def _fitting(calls: Sequence[AttentionCall]) -> int:
    """How many instances keep the weights of a head small."""
    sizes = [c.weights.shape[2] * c.weights.shape[3] for c in calls if c.weights is not None]
    return max(1, min(256, _MOST_WEIGHTS // max(sizes, default=_MOST_WEIGHTS)))
