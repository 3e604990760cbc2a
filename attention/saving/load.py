"""Trained models and layers as folders of `config.json`, `model.safetensors` and `README.md`.

The configuration holds the whole definition of the attention layer, so a folder loads without the
registry file from which the layer came, and still loads after that file has changed.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save_file
from torch import nn

from attenergy.attention.factory import make_layer
from attenergy.attention.layers.energy_transformer_block import EnergyTransformerBlock
from attenergy.attention.layers.lookup import EnergyLookup
from attenergy.attention.layers.pooling import EnergyPooling
from attenergy.attention.memory.retrieval_model import Retrieval
from attenergy.attention.mixers import CLASSES
from attenergy.attention.models.language_model import LanguageModel
from attenergy.attention.models.transformer import Transformer
from attenergy.attention.saving.weights import SavedError, load_weights, read_json, rebuild
from attenergy.registry import ArgumentError, EnergySpec, MixerSpec
from attenergy.registry.errors import clipped

__all__ = [
    "CARD",
    "CONFIG",
    "FORMAT",
    "WEIGHTS",
    "LayerArguments",
    "ModelArguments",
    "SavedError",
    "check_target",
    "load",
    "load_weights",
    "read_arguments",
    "save",
]

FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


#: `attention` stands for whatever `make_layer` makes, mixers too.
Kind = Literal["attention", "lookup", "pooling", "block"]


class LayerArguments(_Arguments):
    """What one layer is made from.

    `spec` is the whole registry entry and `name` only what it was called; `head_dim` defaults to
    `embed_dim / num_heads`; `settings` are the layer's own parameters, choices and options. A
    `block` (`EnergyTransformerBlock`) has a `memory` besides.
    """

    kind: Kind = "attention"
    memory: EnergySpec | None = None
    name: str
    spec: EnergySpec | MixerSpec
    embed_dim: int = Field(ge=1)
    num_heads: int = Field(ge=1)
    head_dim: int | None = Field(default=None, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    settings: dict[str, bool | float | int | str] = {}

    def build(self) -> nn.Module:
        """Make a new layer with fresh weights.

        Raises:
            ValueError: the entry is not of such a layer, or the numbers do not fit.
        """
        settings: dict[str, Any] = {**self.settings, "head_dim": self.head_dim}
        sizes: dict[str, Any] = {"embed_dim": self.embed_dim, "num_heads": self.num_heads}
        if self.kind == "attention":
            return make_layer(self.spec, dropout=self.dropout, **sizes, **settings)
        if not isinstance(self.spec, EnergySpec):
            raise ArgumentError(f"a layer of kind '{self.kind}' has an energy, got a mixer")
        if self.kind == "block":
            memory = "et_memory" if self.memory is None else self.memory
            return EnergyTransformerBlock(attention=self.spec, memory=memory, **sizes, **settings)
        cls = EnergyLookup if self.kind == "lookup" else EnergyPooling
        return cls(energy=self.spec, dropout=self.dropout, **sizes, **settings)


class ModelArguments(_Arguments):
    """What a model with a given attention layer is made of; sizes count tokens.

    Inputs are `(B, length, size)` floats (`vector`), or ids below `size` of shape `(B, length)` or
    `(B, length, channels)` (`token`); outputs are `(B, length, outputs)` logits. A `language` model
    is a `LanguageModel`, whose outputs are its `size` tokens. A `memory` is no transformer but an
    untrained `Retrieval` of patterns of that size, with as many updates as `layers`.
    """

    layer: LayerArguments
    kind: Literal["vector", "token", "memory"]
    size: int = Field(ge=1)
    length: int = Field(ge=1)
    channels: int = Field(default=1, ge=1)
    outputs: int = Field(ge=1)
    layers: int = Field(ge=1)
    mlp: int = Field(ge=0)
    positions: Literal["relative", "absolute", "rotary", "none"]
    causal: bool = False
    conv: int = Field(default=0, ge=0)
    readout: Literal["position", "bottleneck", "tied"] = "position"
    checkpoint: bool = False
    language: bool = False

    def build(self) -> Transformer | Retrieval:
        """Make a new model with fresh weights.

        Raises:
            ValueError: the sizes do not fit each other.
        """
        width, heads = self.layer.embed_dim, self.layer.num_heads
        if self.kind == "memory":
            return Retrieval(self._make_layer(), self.layers)
        if self.language:
            return LanguageModel(
                vocabulary=self.size, length=self.length, width=width, heads=heads,
                layers=self.layers, mlp=self.mlp, make_layer=self._make_layer,
                positions=self.positions, tied=self.readout == "tied", conv=self.conv,
                checkpoint=self.checkpoint,
            )  # fmt: skip
        return Transformer(
            outputs=self.outputs, layers=self.layers, width=width, heads=heads, mlp=self.mlp,
            positions=self.positions, make_layer=self._make_layer, causal=self.causal,
            conv=self.conv, readout=self.readout, checkpoint=self.checkpoint, kind=self.kind,
            size=self.size, length=self.length, channels=self.channels,
        )  # fmt: skip

    def _make_layer(self, **extra: bool) -> nn.Module:
        settings = {**self.layer.settings, **extra}
        if isinstance(self.layer.spec, MixerSpec):
            settings.setdefault("length", self.length)  # some have parameters for every position
            if not CLASSES.lookup(self.layer.spec.class_).takes_rotary:
                settings.pop("rotary", None)  # the model then falls back to absolute positions
        return self.layer.model_copy(update={"settings": settings}).build()


def save(
    folder: str | Path,
    *,
    model: nn.Module,
    arguments: ModelArguments | LayerArguments,
    about: dict[str, Any] | None = None,
    card: str = "",
    force: bool = False,
) -> Path:
    """Write a model to `folder`, all of it or nothing.

    Args:
        folder: where to write; missing or empty, or an older export if `force` is given.
        model: a model, or a layer alone, built by `arguments.build()`, trained.
        arguments: the description from which `load` rebuilds it.
        about: anything else worth keeping in `config.json` (task, metrics, versions), plain data.
        card: text of `README.md`.
        force: replace an older export. A folder that holds anything else is never replaced.

    Raises:
        SavedError: if the folder must not be overwritten.
    """
    target = Path(folder).absolute()
    check_target(target, force=force)
    target.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "format": FORMAT,
        _part(arguments): _plain(arguments.model_dump(mode="json", by_alias=True)),
        "about": about or {},
    }
    prefix = f".{target.name[:64]}-"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=prefix) as temporary:
        fresh = Path(temporary) / "fresh"
        fresh.mkdir()
        (fresh / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (fresh / CARD).write_text(card, encoding="utf-8")
        state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        save_file(state, fresh / WEIGHTS)
        _exchange(fresh, target, Path(temporary) / "old")
    return target


def load(path: str | Path, part: Literal["layer", "model"] = "layer", index: int = 0) -> nn.Module:
    """Rebuild a saved model, or the attention layer of one of its blocks.

    The result computes exactly what the trained model computed and is an ordinary module in
    training mode. Nothing but the folder is read; weights are safetensors, so no code in it is run.

    Args:
        path: a folder written by `save` (`attenergy export` on the command line).
        part: `"layer"` for one attention layer, `(B, L, E) -> (B, L, E)`; `"model"` for all of it.
            A relative-position bias belongs to the model, so a layer alone comes without it.
        index: which block's layer, from 0; negative counts from the end.

    Raises:
        SavedError: if the folder is missing, damaged, or of a newer format.
        ValueError: if `part` or `index` names nothing.
    """
    if part not in ("layer", "model"):
        raise ArgumentError(f"part is {part!r}; allowed are 'layer' and 'model'")
    folder = Path(path)
    arguments = _read_description(folder)
    alone = isinstance(arguments, LayerArguments)
    if alone and part == "model":
        raise SavedError(f"{folder}: holds a layer alone, not a model")
    if alone and index not in (0, -1):
        raise ArgumentError(f"there is no layer {index}: the folder holds one layer alone")
    blocks = 0
    if isinstance(arguments, ModelArguments) and arguments.kind != "memory":
        blocks = arguments.layers
    model = rebuild(arguments.build, folder / WEIGHTS, folder / CONFIG, least=blocks)
    return _layer(model, index) if isinstance(model, Transformer) and part == "layer" else model


def read_arguments(folder: str | Path) -> ModelArguments:
    """Read and check the description in a saved model's folder, without its weights.

    Raises:
        SavedError: if the folder is missing or damaged, or holds a layer alone.
    """
    found = _read_description(folder)
    if isinstance(found, LayerArguments):
        raise SavedError(f"{folder}: holds a layer alone, not a model")
    return found


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    """Without what only some kinds of layers have, so that older versions read the others."""
    layer = part.get("layer", part)
    if layer["kind"] == "attention":
        del layer["kind"], layer["memory"]
    return part


def _part(arguments: ModelArguments | LayerArguments) -> str:
    return "layer" if isinstance(arguments, LayerArguments) else "model"


def _read_description(folder: str | Path) -> ModelArguments | LayerArguments:
    path = Path(folder) / CONFIG
    try:
        config = read_json(path)
    except FileNotFoundError:
        raise SavedError(f"{folder}: not a saved model, there is no {CONFIG}") from None
    version = config.get("format") if isinstance(config, dict) else None
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise SavedError(f"{path}: not a saved model, 'format' is {clipped(repr(version))}")
    if version > FORMAT:
        raise SavedError(
            f"{path}: has format {clipped(str(version))}, but this attenergy reads up to {FORMAT}; "
            "upgrade it"
        )
    part = "layer" if "layer" in config else "model"
    try:
        kind = LayerArguments if part == "layer" else ModelArguments
        return kind.model_validate(config.get(part))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, (part, *e['loc'])))}: {e['msg']}" for e in error.errors()
        )
        raise SavedError(f"{path}: {wrong}") from None


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


def _layer(model: Transformer, index: int) -> nn.Module:
    count = len(model.blocks)
    if not -count <= index < count:
        raise ArgumentError(
            f"there is no layer {index}: the model has {count}, from 0 to {count - 1}"
        )
    block = model.blocks[index]
    mixer = block.mixer
    assert isinstance(mixer, nn.Module)  # for the type checker: attributes of a module are a union
    return mixer
