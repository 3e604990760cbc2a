"""Exchange the attention of a PyTorch model for heads that relax an energy, in place."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from attenergy.attention.integrations.exchange import change_class, check_exchange
from attenergy.attention.integrations.heads import fitting_heads
from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.attention.modules.arguments import check_module
from attenergy.energies import Energy, EnergyLike
from attenergy.energies.settings.keywords import known_arguments
from attenergy.registry import ArgumentError


def replace_attention(model: nn.Module, energy: EnergyLike = "lse", **options: Any) -> nn.Module:
    """Give every `nn.MultiheadAttention` of a model an energy, in place.

    The modules stay where they are, and keep their weights and all that they carry: ties, frozen
    parameters, hooks, parametrisations and pruning masks. So with log-sum-exp and one step the
    model computes what it did, and its checkpoints still load. Do it before the optimiser is
    built, since energies bring parameters of their own. A layer that has an energy already gets
    the new one.

    Args:
        model: any module, `nn.Transformer` for one.
        energy: whatever names one; see `attenergy.make_energy`. Of one that is made, every module
            gets a copy if there are several.
        **options: `steps`, `step_size`, `registry`, `cross_attention` and `settings` of
            `EnergyMultiheadAttention`. Without `cross_attention`, the second attention of an
            `nn.TransformerDecoderLayer` is one between two sequences, and no other is.

    Returns:
        The model.

    Raises:
        TypeError: the model is no module.
        ValueError: there is nothing to exchange, a sub-class of `nn.MultiheadAttention` that does
            something else, or as `EnergyMultiheadAttention`; the model is then as it was.

    Example:
        >>> model = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        >>> model = attenergy.replace_attention(model, "sparsemax", steps=2)
        >>> model(torch.randn(2, 5, 16)).shape
        torch.Size([2, 5, 16])
    """
    check_module("model", model)
    parts = {n: m for n, m in model.named_modules() if isinstance(m, nn.MultiheadAttention)}
    if not parts:
        raise ArgumentError(
            f"there is no nn.MultiheadAttention inside this {type(model).__name__}", topic="drop-in"
        )
    with known_arguments(replace_attention):
        exchange({n or type(part).__name__: part for n, part in parts.items()}, energy, options)
    if "cross_attention" not in options:
        of_two_sequences(model)
    without_nested(model)
    return model


def of_two_sequences(model: nn.Module) -> None:
    """Let decoder layers of PyTorch know which of their attention is between two sequences."""
    for module in model.modules():
        part = module.multihead_attn if isinstance(module, nn.TransformerDecoderLayer) else None
        if isinstance(part, EnergyMultiheadAttention) and part.heads.energy.reads_patterns:
            part.cross_attention = True


def without_nested(model: nn.Module) -> None:
    """Let no encoder pack padded sequences for PyTorch's fused layer, which is no longer there."""
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False


def exchange(
    parts: dict[str, nn.MultiheadAttention], energy: EnergyLike, options: dict[str, Any]
) -> None:
    """Give attention modules an energy where they stand; all of them, or none.

    Args:
        parts: the modules, by what they are called in messages.
        energy: whatever names one; see `attenergy.make_energy`.
        options: as for `replace_attention`.

    Raises:
        ValueError: one of them computes something else, or as `EnergyMultiheadAttention`.
    """
    plain = [name for name, p in parts.items() if not isinstance(p, EnergyMultiheadAttention)]
    for name in plain:
        check_exchange(name, parts[name])
    several = isinstance(energy, Energy) and len(parts) > 1  # each then learns its own
    made = [
        fitting_heads(part, copy.deepcopy(energy) if several else energy, options)
        for part in parts.values()
    ]
    for name in plain:
        change_class(parts[name], EnergyMultiheadAttention)
    for part, heads in zip(parts.values(), made, strict=True):
        part.read_by(*heads)  # type: ignore[operator]  # it has become one
