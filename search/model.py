"""The model of a run: a transformer whose token mixers are the layer under study."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from attenergy.attention import Transformer, make_layer
from attenergy.search.config import RunConfig
from attenergy.tasks import Task


def build_model(config: RunConfig, task: Task) -> nn.Module:
    """Build a transformer for `task` with the layer, the settings and the sizes of `config`.

    Args:
        config: the run; its seed is not used here, seed the global generator first.
        task: gives the form of the inputs and the number of classes.

    Returns:
        A module from a batch of inputs to logits (B, L, classes).
    """
    sizes = config.model
    settings: dict[str, Any] = dict(config.settings)
    layer = partial(
        make_layer,
        config.layer,
        embed_dim=sizes.width,
        num_heads=sizes.heads,
        head_dim=sizes.head_dim,
        dropout=config.training.dropout,
        **settings,
    )
    return Transformer(
        **asdict(task.inputs),
        outputs=task.outputs.size,
        layers=sizes.layers,
        width=sizes.width,
        heads=sizes.heads,
        mlp=sizes.mlp,
        positions=sizes.positions,
        make_layer=layer,
    )


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the model's state as safetensors, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    tensors = {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    try:
        save_file(tensors, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
