"""The attention of a module, as the interface of `transformers` calls it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.attention.integrations.heads import split_mask
from attenergy.attention.integrations.huggingface.request import FOREIGN, asks_interface
from attenergy.registry import ArgumentError, MissingPackage

#: Name of the implementation; of the heads in an attention module, and of its scale then.
IMPLEMENTATION, HEADS, SCALE = "energy", "energy_heads", "energy_score_scale"
#: Where attention modules keep the number of heads and the width of a head, the first found counts.
_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head")
_WIDTHS = ("qk_head_dim", "head_dim", "attention_head_size", "head_size", "key_value_proj_dim")


def register() -> None:
    """Make `energy` known to `transformers`, as attention and as mask, which must go together.

    Raises:
        ImportError: transformers is not installed.
    """
    try:
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import eager_mask
    except ImportError as error:
        raise MissingPackage(
            "Hugging Face models need transformers: pip install attenergy[hf]"
        ) from error
    AttentionInterface.register(IMPLEMENTATION, energy_attention)
    # Without a mask function of the same name, causal and padding masks would be left out; and the
    # one for PyTorch's fused kernel leaves causality to that kernel.
    AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)


def attention_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of a model that ask the attention interface for their attention, by name."""
    return {name: module for name, module in model.named_modules() if asks_interface(module)}


def energy_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention of one module, as the interface of transformers calls it.

    Args:
        module: an attention module that `energize` has visited.
        query: states (B, H, L, D).
        key: stored patterns (B, G, S, D); every one of G heads serves H / G queries.
        value: (B, G, S, e).
        attention_mask: numbers added to the scores, the lowest of their type where hidden; or
            boolean, True where visible.
        scaling: the model's scale of the scores; the energy's beta has taken its place.
        dropout: probability of dropping a weight.
        position_bias: numbers added to the scores.
        **others: `output_attentions`, if weights are wanted; what else models hand around.

    Returns:
        (B, L, H, e) and the weights (B, H, L, S), or None.

    Raises:
        ValueError: the module has no energy, or the model asks for what energies do not do.
    """
    heads = getattr(module, HEADS, None)
    if heads is None:
        raise ArgumentError(
            f"{type(module).__name__} has no energy: call "
            "attenergy.attention.integrations.huggingface.energize(model)",
            topic="drop-in",
        )
    _check_call(module, query.shape[-1], scaling, others)
    mask, field = attention_mask, None
    if mask is not None and mask.dtype != torch.bool:
        mask, field = split_mask(mask)
    if position_bias is not None:
        seen, bias = split_mask(position_bias)
        mask = seen if mask is None else mask & seen
        field = bias if field is None else field + bias
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    if heads.read == "state" and value.shape[-1] != query.shape[-1]:
        raise ArgumentError(
            f"'{heads.energy.spec.title}' is read by its state, of width {query.shape[-1]}, but "
            f"{type(module).__name__} goes on with values of width {value.shape[-1]}",
            topic="drop-in",
        )
    read, weights = heads(
        query, key, value, mask=mask, field=field, dropout=dropout,
        need_weights=weights_wanted(others),
    )  # fmt: skip
    return read.transpose(1, 2).contiguous(), weights


def weights_wanted(others: dict[str, Any]) -> bool:
    """Whether the caller of the model asked for attention weights.

    Most models hand `output_attentions` down; a few drop it, and collect what comes out of their
    attention modules.
    """
    if "output_attentions" in others:
        return bool(others["output_attentions"])
    if torch.compiler.is_compiling():  # a graph cannot look up who collects
        return False
    try:
        from transformers.utils.output_capturing import _active_collector
    except ImportError:  # versions that collect in another way
        return False
    collected = _active_collector.get()  # type: ignore[no-untyped-call]
    return any("attentions" in name for name in collected or ())


def head_sizes(name: str, module: nn.Module) -> tuple[int, int]:
    """Width of a head and number of heads."""
    owners = (module, getattr(module, "config", None))

    def first(names: tuple[str, ...]) -> int | None:
        sizes = (_own_size(owner, name) for owner in owners for name in names)
        return next((size for size in sizes if size is not None), None)

    dim, heads = first(_WIDTHS), first(_COUNTS)
    if dim is None or heads is None:
        raise ArgumentError(
            f"'{name}' ({type(module).__name__}) does not say how many heads it has, or how wide "
            f"they are: looked for {', '.join(_COUNTS)} and {', '.join(_WIDTHS)}",
            topic="drop-in",
        )
    return dim, heads


def _own_size(owner: Any, name: str) -> int | None:
    try:
        size = getattr(owner, name, None)
    except ValueError:  # configurations of layers that differ do not give one for all
        return None
    return size if isinstance(size, int) else None


def _check_call(module: nn.Module, dim: int, scaling: float | None, others: dict[str, Any]) -> None:
    foreign = [name for name in FOREIGN if others.get(name) is not None]
    if foreign:
        raise ArgumentError(
            f"{type(module).__name__} asks for {foreign[0]}, which energies do not do",
            topic="drop-in",
        )
    given = dim**-0.5 if scaling is None else scaling
    then = getattr(module, SCALE, given)  # not there in models that were pickled before it was
    if not math.isclose(given, then, rel_tol=1e-6):
        raise ArgumentError(
            f"{type(module).__name__} scales its scores by {given:g} now, but by {then:g} when the "
            "energy was made",
            topic="drop-in",
        )
