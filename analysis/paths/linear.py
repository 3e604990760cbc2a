"""The part of a model that is linear in its input once the attention patterns are given.

With patterns A_l^h and w_l^h = W_out_h W_value_h, layers that add to their input compute

    x_l = x_{l-1} + sum_h A_l^h x_{l-1} w_l^h' + biases

so the last one is a sum over paths, x_n = sum_pi xi_pi w_pi', with w_pi the product of the w of its
heads (the identity for the residual connection): exactly, in a model of such layers alone. Norms
and feed-forward parts in between are left out here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from attenergy.analysis.paths.features import SKIP, Path, Points
from attenergy.analysis.paths.maps import head_writes, written_bias
from attenergy.analysis.paths.patterns import Patterns

#: Numbers in the effective weights of all paths, at most.
_MOST = 2**25


def layer_writes(parts: Sequence[nn.Module]) -> Tensor | None:
    """The maps w of the heads of a layer, (H, E, E); None if they are not known."""
    writes = [head_writes(part) for part in parts]
    known = [each for each in writes if each is not None]
    return torch.cat(known) if len(known) == len(writes) else None


def all_writes(patterns: Patterns) -> list[Tensor] | None:
    """The maps w of all layers; None if one of them is not known, or widths differ."""
    writes = [layer_writes(part) for part in patterns.parts]
    width = patterns.inputs.shape[-1]
    like = patterns.inputs
    known = [
        each.to(like) for each in writes if each is not None and each.shape[1:] == (width, width)
    ]
    return known if len(known) == len(writes) else None


def path_weights(
    writes: Sequence[Tensor], paths: Sequence[Path], readout: Tensor | None = None
) -> Tensor | None:
    """w_pi' of every path, (P, E, C): the output is sum_pi xi_pi w_pi' beside the biases.

    Args:
        writes: of every layer (H, E, E).
        paths: one head of every layer each.
        readout: C x E map from the last state to the outputs; the identity if None.

    Returns:
        The weights, or None where they are too many to hold.
    """
    width = writes[0].shape[-1]
    first = torch.eye(width).to(writes[0]) if readout is None else readout.to(writes[0])
    if len(paths) * width * first.shape[0] > _MOST:
        return None
    known: dict[Path, Tensor] = {(): first}

    def effective(path: Path) -> Tensor:
        """The product readout w_n ... w_l of the last layers of a path, whose tails are shared."""
        if path not in known:
            rest, layer = effective(path[1:]), len(writes) - len(path)
            known[path] = rest if path[0] == SKIP else rest @ writes[layer][path[0]]
        return known[path]

    return torch.stack([effective(path).mT for path in paths]).cpu()


def head_contributions(
    patterns: Patterns,
    writes: Sequence[Tensor],
    points: Points,
    skip: bool,
    readout: Tensor | None = None,
) -> Tensor:
    """What all paths through each head write to the outputs at the points, (N, heads, C).

    By dynamic programming: what the head writes, moved through the layers after it.
    """
    states = [patterns.inputs]
    for number in range(len(writes) - 1):
        states.append(_moved(patterns, writes, number, states[-1], points, skip))
    written = []
    for layer, (weights, each) in enumerate(zip(patterns.weights, writes, strict=True)):
        for head in range(weights.shape[1]):
            added = weights[:, head] @ states[layer] @ each[head].mT
            for number in range(layer + 1, len(writes)):
                added = _moved(patterns, writes, number, added, points, skip)
            at = points.read(added)
            written.append(at if readout is None else at @ readout.to(at).mT)
    return torch.stack(written, 1)


def readout_of(model: nn.Module) -> Tensor | None:
    """The map from the last state to the outputs, of models that show it as `out`."""
    out = getattr(model, "out", None)
    return out.weight.detach() if isinstance(out, nn.Linear) else None


def _moved(
    patterns: Patterns,
    writes: Sequence[Tensor],
    number: int,
    state: Tensor,
    points: Points,
    skip: bool,
) -> Tensor:
    """The states after a layer (B, L, E) of those before it (B, S, E), without biases."""
    read = patterns.weights[number] @ state[:, None]
    added = torch.einsum("bhle,hfe->blf", read, writes[number])
    if not skip:
        return added
    return added + (state if number < len(writes) - 1 else state[:, points.places])


def last_output(patterns: Patterns, writes: Sequence[Tensor], skip: bool) -> Tensor:
    """What the linear part gives for the output of the last layer, (B, L, E)."""
    state = patterns.inputs
    added = state
    for number, (weights, each) in enumerate(zip(patterns.weights, writes, strict=True)):
        read = weights @ state[:, None]  # (B, H, L, E)
        added = torch.einsum("bhle,hfe->blf", read, each)
        start = 0
        for part in patterns.parts[number]:
            count = part.num_heads
            assert isinstance(count, int)  # of every layer whose values are known
            added = added + written_bias(part, weights[:, start : start + count])
            start += count
        if number < len(writes) - 1:
            state = added + state if skip else added
    return added


def overlap_of_weights(weights: Tensor) -> Tensor:
    """U (P, P) of effective weights (P, E, C): U = sum w_pi w_pi' / E."""
    flat = weights.flatten(1).double()
    return flat @ flat.mT / weights.shape[1]


def head_scores(overlap: Tensor, paths: Sequence[Path], heads: Sequence[int]) -> list[float]:
    """Of every head the share of |U| in paths through it, in pairs with any path."""
    size = overlap.abs().sum(1)
    total = float(size.sum()) or 1.0
    return [
        sum(float(size[i]) for i, path in enumerate(paths) if path[layer] == head) / total
        for layer, count in enumerate(heads)
        for head in range(count)
    ]
