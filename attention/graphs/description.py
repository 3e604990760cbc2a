"""From the description of a layer on graphs to the layer, or the network."""

from __future__ import annotations

from typing import Any

from torch import nn

from attenergy.attention.graphs.aggregation import EnergyAggregation
from attenergy.attention.graphs.conv import EnergyConv
from attenergy.attention.graphs.models import NOTHING, EnergyGNN
from attenergy.attention.modules.arguments import check_flag
from attenergy.attention.saving.format import LayerArguments
from attenergy.registry import ArgumentError, EnergySpec

_SIZES = {
    "conv": ("in_channels",),
    "gnn": ("in_channels", "num_layers"),
    "aggregation": (),
}


def build_graph_layer(arguments: LayerArguments, spec: EnergySpec) -> nn.Module:
    """Make a layer, or a network of layers, with fresh weights.

    Raises:
        ValueError: a size is missing, or the numbers do not fit.
    """
    kind, width, heads = arguments.kind, arguments.embed_dim, arguments.num_heads
    settings: dict[str, Any] = dict(arguments.settings)
    if absent := [name for name in _SIZES[kind] if name not in settings]:
        raise ArgumentError(f"a {kind} needs {' and '.join(absent)}", topic="saved-model")
    settings |= {"heads": heads, "energy": spec, "head_dim": arguments.head_dim}
    if kind == "aggregation":
        return EnergyAggregation(width, **settings)
    source, target = settings.pop("in_channels"), settings.pop("target_channels", None)
    channels = source if target is None else (source, target)
    settings["dropout"] = arguments.dropout
    if kind == "gnn":
        for name in ("act", "norm", "jk"):
            value = settings.get(name, NOTHING)
            if not isinstance(value, str):
                raise ArgumentError(f"{name} must be a name, got {value!r}", topic="saved-model")
            settings[name] = None if value == NOTHING else value
        check_flag("act_first", settings.get("act_first", False))
        return EnergyGNN(channels, width, **settings)
    layer: nn.Module = EnergyConv(channels, width, **settings)  # type: ignore[abstract]
    return layer
