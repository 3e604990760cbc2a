"""The model without what was dropped, and how it is saved."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from attenergy.analysis.dropping.absent import Absent, without
from attenergy.analysis.dropping.sublayers import Structure, structure_of
from attenergy.analysis.untouched import untouched
from attenergy.attention.integrations.replace import without_nested
from attenergy.attention.models.block import Block
from attenergy.attention.models.transformer import Transformer
from attenergy.attention.modules.arguments import check_module
from attenergy.registry import AnalysisError, UnknownName
from attenergy.registry.files import write_atomically

#: The file that says what was dropped, where a model cannot be saved without it.
DROPPED = "dropped.json"


def drop_layers(
    model: nn.Module, names: Sequence[str], /, *inputs: Any, **arguments: Any
) -> nn.Module:
    """Return a copy of a model without some attention layers, MLPs or blocks.

    A dropped sub-layer adds nothing to its sum, h = x + f(x) becomes h = x, and its parameters are
    gone. A `Transformer` or `LanguageModel` becomes a smaller one, saved and loaded like any other.
    In other models modules that return 0 stand where the sub-layer was; blocks of a module list are
    taken out of it, and a Hugging Face configuration then counts fewer layers, if the model runs
    so and computes the same.

    Args:
        model: it stays as it is.
        names: as `redundancy` gives them, "blocks.1.mixer", "blocks.1.feed_forward", "blocks.1".
        *inputs: of one forward pass, from which the residual sub-layers of a model of other makers
            are read; not needed for a `Transformer` of ours, and a Hugging Face model has its
            own (`dummy_inputs`).
        **arguments: likewise, by name.

    Raises:
        TypeError: the model is no module.
        ValueError: unknown names, or no inputs where they are needed.

    Example:
        >>> model = attenergy.Transformer(
        ...     layers="softmax/softmax", positions="absolute", kind="vector",
        ...     size=3, length=6, outputs=2, width=16, heads=2, mlp=16,
        ... )
        >>> smaller = attenergy.analysis.drop_layers(model, ["blocks.1.mixer"])
        >>> smaller(torch.randn(1, 6, 3)).shape
        torch.Size([1, 6, 2])
    """
    check_module("model", model)
    if isinstance(model, Transformer):
        return _transformer(model, names)
    if not inputs and not arguments:
        own = getattr(model, "dummy_inputs", None)
        if not isinstance(own, Mapping):
            raise AnalysisError(
                f"the sub-layers of a {type(model).__name__} are read from a forward pass: give "
                "its inputs after the names"
            )
        arguments = dict(own)
    with untouched(model):
        structure = structure_of(model, inputs, arguments)
        return dropped_copy(model, structure, names, inputs, arguments)


@torch.no_grad()
def dropped_copy(
    model: nn.Module,
    structure: Structure,
    names: Sequence[str],
    inputs: Sequence[Any],
    arguments: Mapping[str, Any],
) -> nn.Module:
    """`drop_layers` of a model whose structure is known."""
    check_names(names, structure.names)
    if isinstance(model, Transformer):
        return _transformer(model, names)
    absent, gone = structure.absent(names), structure.gone(names)
    with without(model, absent):
        smaller = copy.deepcopy(model)
    for layer in structure.layers:
        if layer.owner and layer.name in gone and layer.block not in absent:
            block = smaller.get_submodule(layer.owner)
            assert isinstance(block, Block)  # `owner` says so
            block.leave_out([layer.kind])
    _without_fast_path(smaller)
    blocks = [name for name in names if name in absent and name in structure.blocks]
    shorter = _shortened(smaller, blocks, inputs, arguments)
    attention = any(x.kind == "attention" and x.name in gone for x in structure.layers)
    if attention and any(isinstance(part, Absent) for part in shorter.modules()):
        _without_cache(shorter)
    return shorter


def save_smaller(model: nn.Module, names: Sequence[str], folder: Path | str) -> Path:
    """Save a model that `drop_layers` made, or say what was dropped.

    A model with `save_pretrained` whose configuration can say what is left is saved by it, and read
    as ever. Of another the names of what was dropped are written, `dropped.json`: build or load the
    whole model, and give them to `drop_layers`.

    Args:
        model: the smaller one.
        names: what was dropped.
        folder: missing or empty.

    Returns:
        The folder, or the file.
    """
    folder = Path(folder)
    own = getattr(model, "save_pretrained", None)
    if own is not None and not any(isinstance(part, Absent) for part in model.modules()):
        own(folder)
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / DROPPED
    content = {"model": type(model).__name__, "dropped": list(names)}
    write_atomically(path, json.dumps(content, indent=1) + "\n")
    return path


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse names of nothing that can be dropped."""
    if isinstance(names, str):
        raise AnalysisError(f"names must be a list of names, got the text {names!r}")
    for name in names:
        if name not in known:
            raise UnknownName("sub-layer or block", str(name), known)


def _transformer(model: Transformer, names: Sequence[str]) -> nn.Module:
    parts: list[set[str]] = [set() for _ in model.blocks]
    known: dict[str, tuple[int, set[str]]] = {}
    for number, block in enumerate(model.blocks):
        assert isinstance(block, Block)  # all of them are
        at = {"attention": f"blocks.{number}.mixer", "mlp": f"blocks.{number}.feed_forward"}
        known |= {at[part]: (number, {part}) for part in block.parts}
        known[f"blocks.{number}"] = number, set(block.parts)
    check_names(names, list(known))
    for name in names:
        number, gone = known[name]
        parts[number] |= gone
    return model.reduced(parts)


def _without_fast_path(model: nn.Module) -> None:
    """Keep PyTorch's fused encoder layer from reading weights that are gone."""
    without_nested(model)
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0


def _without_cache(model: nn.Module) -> None:
    """Keep a Hugging Face model from counting positions by the cache of a layer that is gone."""
    for config in (getattr(model, "config", None), getattr(model, "generation_config", None)):
        if config is not None and hasattr(config, "use_cache"):
            config.use_cache = False


def _shortened(
    model: nn.Module, blocks: Sequence[str], inputs: Sequence[Any], arguments: Mapping[str, Any]
) -> nn.Module:
    """The model with blocks that pass their input on taken out of their lists, if it runs so."""
    lists: dict[str, list[int]] = {}
    for name in blocks:
        parent, _, number = name.rpartition(".")
        if isinstance(model.get_submodule(parent), (nn.ModuleList, nn.Sequential)):
            lists.setdefault(parent, []).append(int(number))
    if not lists:
        return model
    shorter = copy.deepcopy(model)
    for parent, numbers in lists.items():
        modules = shorter.get_submodule(parent)
        assert isinstance(modules, (nn.ModuleList, nn.Sequential))  # as above
        _take_out(shorter, parent, modules, sorted(numbers))
    try:
        before, after = model(*inputs, **arguments), shorter(*inputs, **arguments)
    except Exception:  # whatever another's code does with one block fewer
        return model
    pairs = zip(_tensors(before), _tensors(after), strict=False)
    return shorter if all(torch.equal(a, b) for a, b in pairs) else model


def _take_out(
    model: nn.Module, parent: str, modules: nn.ModuleList | nn.Sequential, numbers: Sequence[int]
) -> None:
    count = len(modules)
    for number in reversed(numbers):
        del modules[number]
    owner: Any = model.get_submodule(parent.rpartition(".")[0])
    if getattr(owner, "num_layers", None) == count:  # nn.TransformerEncoder
        owner.num_layers = count - len(numbers)
    config: Any = getattr(model, "config", None)
    if getattr(config, "num_hidden_layers", None) != count:
        return
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == count:  # one entry for each layer
            setattr(config, name, [x for i, x in enumerate(value) if i not in numbers])
    config.num_hidden_layers = count - len(numbers)
    for number, block in enumerate(modules):
        part: Any
        for part in block.modules():
            if isinstance(getattr(part, "layer_idx", None), int):
                part.layer_idx = number  # where the cache keeps its keys


def _tensors(answer: Any) -> list[Tensor]:
    return [x for x in tree_leaves(answer) if isinstance(x, Tensor)]
