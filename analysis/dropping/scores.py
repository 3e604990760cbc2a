"""How much every sub-layer and block turns its input: the score by which it is dropped.

`B` batch, `L` positions, `W` model width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from attenergy.analysis.dropping.absent import fast_path_off, first_tensor, without
from attenergy.analysis.dropping.record import Place, Watch
from attenergy.analysis.dropping.sublayers import Structure
from attenergy.analysis.subject import Inputs

_VISIBLE, _HIDDEN = ("attention_mask", "mask"), ("src_key_padding_mask", "key_padding_mask")


@torch.no_grad()
def scores_of(
    model: nn.Module, structure: Structure, batches: Sequence[Inputs], dropped: Sequence[str] = ()
) -> dict[str, float]:
    """Mean of 1 - cos(x, h) over positions, of everything that is there: h = x + f(x), or a block.

    0 where it changes nothing, 1 where h stands at a right angle to x. Padding does not count if a
    mask (B, L) is among the inputs by name.

    Args:
        model: as it is run, in the mode in which it is.
        structure: its sub-layers and blocks.
        batches: what it is fed.
        dropped: names of what is dropped meanwhile, which gets no score.
    """
    means: dict[str, _Mean] = defaultdict(_Mean)
    absent = structure.absent(dropped)
    for inputs, arguments in batches:
        real = _real_positions(arguments)

        def add(name: str, x: Tensor, h: Tensor, real: Tensor | None = real) -> None:
            means[name].add(x, h, real)

        watch = Watch(_on_sum(structure, add))
        with ExitStack() as stack:
            stack.enter_context(without(model, absent))
            for name in structure.blocks:
                if not _under(name, absent):
                    stack.enter_context(_block_watched(model.get_submodule(name), name, add))
            stack.enter_context(fast_path_off())
            stack.enter_context(watch.inside(model))
            model(*inputs, **arguments)
    gone = {*dropped, *structure.gone(dropped)}
    return {
        name: means[name].value for name in structure.names if name not in gone and name in means
    }


def _on_sum(
    structure: Structure, add: Callable[[str, Tensor, Tensor], None]
) -> Callable[[Place, Tensor, Tensor], None]:
    """What is done at every sum of a pass: the sums of sub-layers are scored."""
    total, inner = defaultdict(list), defaultdict(list)
    for layer in structure.layers:
        total[layer.total[0]].append(layer)
        inner[layer.place[0]].append(layer)
    contributions: dict[str, Tensor] = {}

    def on_sum(place: Place, *operands: Tensor) -> None:
        for layer in inner.get(place, ()):
            contributions[layer.name] = operands[layer.place[1]]
        for layer in total.get(place, ()):
            x = operands[layer.total[1]]
            f = contributions.pop(layer.name, None)
            if f is not None:
                add(layer.name, x, f)

    return on_sum


@contextmanager
def _block_watched(
    block: nn.Module, name: str, add: Callable[[str, Tensor, Tensor], None]
) -> Iterator[None]:
    def after(module: nn.Module, args: Any, kwargs: Any, answer: Any) -> None:
        x, h = first_tensor((args, kwargs)), first_tensor(tree_leaves(answer))
        if x.shape == h.shape:
            add(name, x, h - x)

    hook = block.register_forward_hook(after, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


class _Mean:
    """The mean of 1 - cos(x, x + f) over all vectors so far."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    @property
    def value(self) -> float:
        return self.total / max(1, self.count)

    def add(self, x: Tensor, f: Tensor, real: Tensor | None) -> None:
        if real is not None and real.shape == x.shape[: real.ndim]:
            x, f = x[real], f[real]
        turned = _turned(x, f)
        self.total += float(turned.sum())
        self.count += turned.numel()


def _turned(x: Tensor, f: Tensor) -> Tensor:
    """1 - cos(x, x + f) of every vector, exactly 0 where f is; 1 where x or x + f is 0 and f not.

    With f' = f - x (x'f)/(x'x), 1 - cos = sin^2/(1 + cos) and sin = |f'|/|x + f|, which loses no
    digits where f is small.
    """
    if x.dtype not in (torch.float32, torch.float64):
        x, f = x.float(), f.float()
    xx, xf, ff = (torch.linalg.vecdot(a, b).double() for a, b in ((x, x), (x, f), (f, f)))
    hh = (xx + 2 * xf + ff).clamp(min=0)
    cos = ((xx + xf) / (xx * hh).sqrt()).clamp(-1, 1)
    across = (ff - xf.square() / xx).clamp(min=0) / hh
    turned = torch.where(cos > 0, across / (1 + cos), 1 - cos)
    return torch.where(ff == 0, 0.0, turned.nan_to_num(1.0).clamp(0, 2))


def _real_positions(arguments: Mapping[str, Any]) -> Tensor | None:
    """Where inputs are no padding, (B, L), if a mask among the arguments says so."""
    for names, visible in ((_VISIBLE, True), (_HIDDEN, False)):
        for name in names:
            mask = arguments.get(name)
            if isinstance(mask, Tensor) and mask.ndim == 2:
                if visible:
                    return mask.bool()
                return ~mask if mask.dtype == torch.bool else mask == 0
    return None


def _under(name: str, absent: Mapping[str, Any]) -> bool:
    return any(name == other or name.startswith(f"{other}.") for other in absent)
