"""Which parts of a layer that reads by weights have a say in them, so that the others rest.

A parameter on which nothing depends never gets a gradient, which optimisers pass over silently and
`DistributedDataParallel` refuses.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import nn

from attenergy.energies import Energy


class Reach(NamedTuple):
    """What the weights of an energy depend on.

    Attributes:
        states: whether on xi.
        patterns: whether on X.
        parameters: names of the energy's parameters that they depend on.
    """

    states: bool
    patterns: bool
    parameters: frozenset[str]


def reach_of_weights(energy: Energy) -> Reach:
    """Look it up in the graph of derivatives of the weights of a few small states and patterns."""
    named = dict(energy.named_parameters())
    trained = {name for name, p in named.items() if p.requires_grad}
    try:
        energy.requires_grad_(True)
        with torch.inference_mode(False), torch.enable_grad():
            acts = _acts(energy)
    except (RuntimeError, ValueError):  # it does not take them: whatever it has may act
        return Reach(True, True, frozenset(named))
    finally:
        for name, p in named.items():
            p.requires_grad_(name in trained)
    parameters = (name for name, does in zip(named, acts[2:], strict=True) if does)
    return Reach(acts[0], acts[1], frozenset(parameters))


def _acts(energy: Energy) -> list[bool]:
    """Whether the weights depend on xi, X, and each parameter."""
    parameters = list(energy.parameters())
    like = parameters[0] if parameters else torch.empty(())
    heads = () if energy.num_heads is None else (energy.num_heads,)
    xi, X = (like.new_full((*heads, length, energy.dim), 0.5).requires_grad_() for length in (2, 3))
    field = like.new_zeros(2, 3) if energy.reads_field else None
    weights = energy.weights(energy.from_real(xi), X, None, field)
    inputs = [xi, X, *parameters]
    if not weights.requires_grad:
        return [False] * len(inputs)
    slopes = torch.autograd.grad(weights.sum(), inputs, allow_unused=True)
    return [slope is not None for slope in slopes]


def let_rest(module: nn.Module, idle: Collection[str], resting: Collection[str]) -> set[str]:
    """Stop the training of parameters.

    Args:
        module: whose parameters they are.
        idle: names of those that are to rest; one that is not trained anyway is left out.
        resting: names of those that rest already; who is not idle any more is trained again.

    Returns:
        The names of those that rest now.
    """
    now = set()
    for name, p in module.named_parameters():
        if name in resting and name not in idle:
            p.requires_grad_(True)
        elif name in idle and (p.requires_grad or name in resting):
            p.requires_grad_(False)
            now.add(name)
    return now
