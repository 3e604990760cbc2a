"""The folder of a saved model: `config.json`, `model.safetensors` and `README.md`.

The configuration holds the whole definition of the attention layer, so a folder loads without the
registry file from which the layer came, and still loads after that file has changed. Of a user's
own model it holds the name of the function that builds it. What is described here is built in
`attenergy.attention.loading`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors.torch import save_file
from torch import nn

from attenergy.attention.saving.own_model import OwnModelArguments, Size, Whole
from attenergy.attention.saving.weights import SavedError, state_of
from attenergy.registry import (
    ArgumentError,
    EnergySpec,
    MixerSpec,
    Use,
    layer_uses,
    needed,
)

FORMAT = 2  # 1 for what has no own model
OWN = "own_model"  # the key of one
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


#: `attention` stands for whatever `make_layer` makes, mixers too.
Kind = Literal["attention", "lookup", "pooling", "block", "multihead", "conv", "gnn", "aggregation"]


#: What a block of a model may do without.
Part = Literal["attention", "mlp"]


class LayerArguments(_Arguments):
    """What one layer is made from.

    `spec` is the whole registry entry and `name` only what it was called; `head_dim` defaults to
    `embed_dim / num_heads`; `settings` are the layer's own parameters, choices and options. A
    `block` (`EnergyTransformerBlock`) has a `memory` besides. `embed_dim` is the width of the
    result; of a network of graph layers (`gnn`) that of what is hidden.
    """

    kind: Kind = "attention"
    memory: EnergySpec | None = None
    name: str
    spec: EnergySpec | MixerSpec
    embed_dim: Size
    num_heads: Size
    head_dim: Size | None = None
    dropout: float = Field(default=0.0, ge=0, lt=1)
    settings: dict[str, bool | float | int | str] = {}


class GroupsArguments(_Arguments):
    """What a layer of several groups of heads is made from (`HeadGroups`)."""

    groups: tuple[LayerArguments, ...] = Field(min_length=1)

    @property
    def name(self) -> str:
        """The names of its groups."""
        return "+".join(group.name for group in self.groups)

    @property
    def embed_dim(self) -> int:
        """E."""
        return self.groups[0].embed_dim

    @property
    def num_heads(self) -> int:
        """H of all groups."""
        return sum(group.num_heads for group in self.groups)


#: What any layer is made from.
AnyLayer = LayerArguments | GroupsArguments


class ModelArguments(_Arguments):
    """What a model with a given attention layer is made of; sizes count tokens.

    Inputs are `(B, length, size)` floats (`vector`), or ids below `size` of shape `(B, length)` or
    `(B, length, channels)` (`token`); outputs are `(B, length, outputs)` logits. A `language` model
    is a `LanguageModel`, whose outputs are its `size` tokens. A `memory` is an untrained
    `Retrieval` of patterns of that size, with `layers` updates; of +-1 where it has 2 outputs.

    Every block has the same `layer`, or each its own of the `blocks`, of which it is then the
    first. What a block does `without` is left out; its layer is that which was there.
    """

    layer: AnyLayer
    blocks: tuple[AnyLayer, ...] | None = None
    kind: Literal["vector", "token", "memory"]
    size: Size
    length: Size
    channels: Size = 1
    outputs: Size
    layers: Size
    mlp: Whole = Field(ge=0)
    positions: Literal["relative", "absolute", "rotary", "none"]
    causal: bool = False
    conv: Whole = Field(default=0, ge=0)
    readout: Literal["position", "bottleneck", "tied"] = "position"
    checkpoint: bool = False
    language: bool = False
    without: tuple[tuple[Part, ...], ...] | None = None

    @model_validator(mode="after")
    def _of_every_block(self) -> ModelArguments:
        if self.blocks is not None:
            if len(self.blocks) != self.layers:
                raise ArgumentError(
                    f"{self.layers} layers and {len(self.blocks)} blocks", topic="saved-model"
                )
            if self.kind == "memory" or self.blocks[0] != self.layer:
                raise ArgumentError(
                    "the layer is that of the first block, and a memory has none",
                    topic="saved-model",
                )
        if self.without is not None and (len(self.without) != self.layers or self.kind == "memory"):
            raise ArgumentError(
                f"{self.layers} layers and {len(self.without)} entries of without",
                topic="saved-model",
            )
        return self

    @property
    def layer_of_block(self) -> tuple[AnyLayer, ...]:
        """The layer of every block."""
        return self.blocks or (self.layer,) * self.layers


#: All that can be described.
Arguments = AnyLayer | ModelArguments | OwnModelArguments


def uses_of(arguments: Arguments) -> Iterator[Use]:
    """What a layer or model refers to by name."""
    if isinstance(arguments, OwnModelArguments):
        yield "model", arguments.own.build
        yield from layer_uses(arguments.layer, arguments.settings)
        return
    if isinstance(arguments, ModelArguments):
        for block in arguments.blocks or (arguments.layer,):
            yield from uses_of(block)
        return
    if isinstance(arguments, GroupsArguments):
        for group in arguments.groups:
            yield from uses_of(group)
        return
    yield from layer_uses(arguments.spec, arguments.settings)
    if arguments.memory is not None:
        yield from layer_uses(arguments.memory, {})


def save(
    folder: str | Path,
    *,
    model: nn.Module,
    arguments: Arguments,
    about: dict[str, Any] | None = None,
    card: str = "",
    force: bool = False,
) -> Path:
    """Write a model to `folder`, all of it or nothing.

    Args:
        folder: where to write; missing or empty, or an older export if `force` is given.
        model: a model, or a layer alone, built by `build(arguments)`, trained.
        arguments: the description from which `load` rebuilds it.
        about: anything else worth keeping in `config.json` (task, metrics, versions), plain data.
        card: text of `README.md`.
        force: replace an older export. A folder that holds anything else is never replaced.

    Raises:
        SavedError: if the folder must not be overwritten.

    Example:
        >>> layer = attenergy.EnergyAttention(16, 2)
        >>> save("saved", model=layer, arguments=layer.description()).name
        'saved'
    """
    target = Path(folder).absolute()
    check_target(target, force=force)
    target.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "format": FORMAT if isinstance(arguments, OwnModelArguments) else 1,
        _part(arguments): _plain(arguments.model_dump(mode="json", by_alias=True)),
        "about": about or {},
    }
    if needs := needed(uses_of(arguments)):
        config["plugins"] = [need.model_dump(mode="json") for need in needs]
    prefix = f".{target.name[:64]}-"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix) as temporary:
        fresh = Path(temporary) / "fresh"
        fresh.mkdir()
        (fresh / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (fresh / CARD).write_text(card, encoding="utf-8")
        save_file(state_of(model), fresh / WEIGHTS)
        _exchange(fresh, target, Path(temporary) / "old")
    return target


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    """Without what only some kinds of layers have, so that older versions read the others."""
    if "own" in part:
        return part
    for name in ("blocks", "without"):
        if part.get(name, ()) is None:
            del part[name]
    blocks = part.get("blocks", ())
    for layer in (part.get("layer", part), *blocks):
        for group in layer.get("groups", (layer,)):
            if group["kind"] == "attention":
                del group["kind"], group["memory"]
    return part


def _part(arguments: Arguments) -> str:
    if isinstance(arguments, OwnModelArguments):
        return OWN
    return "model" if isinstance(arguments, ModelArguments) else "layer"


def check_target(target: Path, *, force: bool) -> None:
    """Refuse a place where `save` would not write.

    Raises:
        SavedError: if it is a file, a folder of other things, or an export and not `force`.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise SavedError(f"{target}: is a file, not a folder")
    if not any(target.iterdir()):
        return
    if not (target / CONFIG).is_file() or not (target / WEIGHTS).is_file():
        raise SavedError(f"{target}: holds other files; name a folder that is empty or new")
    if not force:
        raise SavedError(f"{target}: already holds an export; force (--force) replaces it")


def _exchange(fresh: Path, target: Path, old: Path) -> None:
    if not target.exists():
        os.replace(fresh, target)
        return
    os.replace(target, old)
    try:
        os.replace(fresh, target)
    except OSError:
        os.replace(old, target)
        raise
