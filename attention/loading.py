"""From a description, or a folder, to a layer or a model.

This module knows every class that can be saved; each of them describes itself
(`attenergy.attention.saving.pretrained.Pretrained.description`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import nn

from attenergy.attention.factory import describe_layers, for_model, layer_of_model, make_layer
from attenergy.attention.integrations.model_builders import MODELS
from attenergy.attention.integrations.multihead import EnergyMultiheadAttention
from attenergy.attention.integrations.own_model import attention_of, build_own_model
from attenergy.attention.layers.energy_transformer_block import EnergyTransformerBlock
from attenergy.attention.layers.head_groups import HeadGroups
from attenergy.attention.layers.lookup import EnergyLookup
from attenergy.attention.layers.pooling import EnergyPooling
from attenergy.attention.memory.retrieval_model import Retrieval
from attenergy.attention.models.language_model import LanguageModel
from attenergy.attention.models.transformer import Transformer
from attenergy.attention.saving.description import checked_folder, read_description
from attenergy.attention.saving.format import (
    CONFIG,
    WEIGHTS,
    AnyLayer,
    Arguments,
    GroupsArguments,
    LayerArguments,
    ModelArguments,
)
from attenergy.attention.saving.own_model import OwnModelArguments
from attenergy.attention.saving.pretrained import Pretrained
from attenergy.attention.saving.weights import SavedError, rebuild
from attenergy.registry import ArgumentError, EnergySpec, name_plugins

#: What stands elsewhere in the description of a layer around heads, or in none.
_NOT_SETTINGS = {"energy", "heads", "head_dim", "dropout", "registry", "device", "dtype"}
#: Builds a user's model, and says what of `make_layer` it left to the run.
build_own = partial(build_own_model, describe=describe_layers, build=layer_of_model)


def build(arguments: Arguments) -> nn.Module:
    """Make a new layer or model with fresh weights.

    Raises:
        ValueError: the entry is not of such a layer, or the numbers do not fit.
        Exception: whatever a user's own function raises.
    """
    if isinstance(arguments, GroupsArguments):
        return HeadGroups([_build_layer(group) for group in arguments.groups])
    if isinstance(arguments, LayerArguments):
        return _build_layer(arguments)
    if isinstance(arguments, OwnModelArguments):
        return build_own(arguments)[0]
    width, heads = arguments.layer.embed_dim, arguments.layer.num_heads
    if arguments.kind == "memory":
        layer = _layer_of_model(arguments.layer, arguments.length)
        # of +-1 two logits are answered for each component, otherwise the component itself
        return Retrieval(layer, arguments.layers, signs=arguments.outputs == 2)
    blocks = [
        partial(_layer_of_model, block, arguments.length) for block in arguments.layer_of_block
    ]
    if arguments.language:
        return LanguageModel(
            vocabulary=arguments.size, length=arguments.length, width=width, heads=heads,
            layers=arguments.layers, mlp=arguments.mlp, make_layer=blocks,
            positions=arguments.positions, tied=arguments.readout == "tied", conv=arguments.conv,
            checkpoint=arguments.checkpoint, without=arguments.without,
        )  # fmt: skip
    return Transformer(
        outputs=arguments.outputs, layers=arguments.layers, width=width, heads=heads,
        mlp=arguments.mlp, positions=arguments.positions, make_layer=blocks,
        causal=arguments.causal, conv=arguments.conv, readout=arguments.readout,
        checkpoint=arguments.checkpoint, kind=arguments.kind, size=arguments.size,
        length=arguments.length, channels=arguments.channels, without=arguments.without,
    )  # fmt: skip


def _build_layer(arguments: LayerArguments) -> nn.Module:
    settings: dict[str, Any] = {**arguments.settings, "head_dim": arguments.head_dim}
    settings |= {"embed_dim": arguments.embed_dim, "num_heads": arguments.num_heads}
    kind, spec = arguments.kind, arguments.spec
    if kind == "attention":
        return make_layer(spec, dropout=arguments.dropout, **settings)
    if not isinstance(spec, EnergySpec):
        raise ArgumentError(
            f"a layer of kind '{kind}' has an energy, got a mixer", topic="saved-model"
        )
    if kind == "block":
        memory = "et_memory" if arguments.memory is None else arguments.memory
        return EnergyTransformerBlock(attention=spec, memory=memory, **settings)
    if kind in ("lookup", "pooling"):
        cls = EnergyLookup if kind == "lookup" else EnergyPooling
        return cls(energy=spec, dropout=arguments.dropout, **settings)
    if strange := _NOT_SETTINGS & arguments.settings.keys():
        raise ArgumentError(f"'{min(strange)}' is no setting of a {kind}", topic="saved-model")
    if kind == "multihead":
        del settings["head_dim"]
        return EnergyMultiheadAttention(energy=spec, dropout=arguments.dropout, **settings)
    # PyTorch Geometric takes seconds to import.
    from attenergy.attention.graphs.description import build_graph_layer

    return build_graph_layer(arguments, spec)


def _layer_of_model(arguments: AnyLayer, length: int, **extra: bool) -> nn.Module:
    if isinstance(arguments, GroupsArguments) or arguments.kind == "attention":
        return layer_of_model(arguments, length, **extra)
    settings = for_model(arguments, length, extra)
    return _build_layer(arguments.model_copy(update={"settings": settings}))


def load(
    path: str | Path,
    part: Literal["layer", "model"] = "layer",
    index: int = 0,
    *,
    plugins: Sequence[str] = (),
) -> nn.Module:
    """Rebuild a saved model, or the attention layer of one of its blocks.

    The result computes exactly what the trained model computed and is an ordinary module in
    training mode. Nothing but the folder is read; weights are safetensors, so no code in it is run.

    Args:
        path: a folder written by `save` (`attenergy export` on the command line).
        part: `"layer"` for one layer, of most kinds `(B, L, E) -> (B, L, E)`; `"model"` for all of
            it. A relative-position bias belongs to the model, so a layer alone comes without it.
        index: which block's layer, from 0; negative counts from the end.
        plugins: modules that may hold the layer's code, beside the installed plug-ins. Nothing is
            imported because the folder names it.

    Raises:
        SavedError: if the folder is missing, damaged, or of a newer format, or needs a plug-in that
            is not loaded.
        TypeError: if `path` is no path.
        ValueError: if `part` or `index` names nothing, or `path` is empty.

    Example:
        >>> layer = attenergy.EnergyAttention(16, 2, "lse", steps=2)
        >>> _ = layer.save_pretrained("saved")
        >>> again = attenergy.load("saved")
        >>> x = torch.randn(1, 5, 16)
        >>> torch.equal(again(x), layer(x))
        True
    """
    if part not in ("layer", "model"):
        raise ArgumentError(
            f"part is {part!r}; allowed are 'layer' and 'model'", topic="saved-model"
        )
    folder = checked_folder(path)
    name_plugins(plugins)
    arguments = read_description(folder)
    alone = not isinstance(arguments, (ModelArguments, OwnModelArguments))
    if isinstance(arguments, LayerArguments) and arguments.kind == "gnn":
        part = "layer"  # a network on graphs is both
    if isinstance(arguments, OwnModelArguments):
        _warn_of_changes(arguments, folder)
    if alone and part == "model":
        raise SavedError(f"{folder}: holds a layer alone, not a model")
    if alone and index not in (0, -1):
        raise ArgumentError(
            f"there is no layer {index}: the folder holds one layer alone", topic="saved-model"
        )
    blocks = 0
    if isinstance(arguments, ModelArguments) and arguments.kind != "memory":
        blocks = arguments.layers
    model = rebuild(lambda: build(arguments), folder / WEIGHTS, folder / CONFIG, least=blocks)
    if part == "model":
        return model
    if isinstance(model, Transformer):
        return _at([block.mixer for block in model.blocks], index)
    if isinstance(arguments, OwnModelArguments):
        return _at([*attention_of(model).values()], index)
    return model


def _at(layers: list[Any], index: int) -> nn.Module:
    count = len(layers)
    if not -count <= index < count:
        raise ArgumentError(
            f"there is no layer {index}: the model has {count}, from 0 to {count - 1}",
            topic="saved-model",
        )
    layer: nn.Module | None = layers[index]
    if layer is None:
        have = [number for number, each in enumerate(layers) if each is not None]
        raise ArgumentError(
            f"block {index % count} of the model was left without attention; blocks with a layer: "
            f"{', '.join(map(str, have)) or 'none'}",
            topic="saved-model",
        )
    return layer


def _warn_of_changes(arguments: OwnModelArguments, folder: Path) -> None:
    """Warn if the file that builds a model is another than when the model was saved."""
    own = arguments.own
    if own.source and (now := MODELS.lookup(own.build).source) != own.source:
        warnings.warn(
            f"{folder}: the file of {own.build} has changed since the model was saved (sha256 "
            f"{own.source}, now {now or 'unknown'}): it may compute something else",
            stacklevel=3,
        )


Pretrained.read_folder = staticmethod(load)
Pretrained.build = staticmethod(build)
