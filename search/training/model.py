"""The model of a run: a transformer whose token mixers are the layer under study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from attenergy.attention.factory import describe_layers
from attenergy.attention.loading import build
from attenergy.attention.saving.format import AnyLayer, ModelArguments
from attenergy.registry import StackSpec, Use, layer_uses
from attenergy.registry.stacks import blocks_of
from attenergy.search.runs.config import RunConfig
from attenergy.tasks import Task


def uses(config: RunConfig) -> Iterator[Use]:
    """What the task and the model of a run refer to by name."""
    yield "task class", config.task_spec.class_
    yield from layer_uses(config.layer, config.settings)


def layers_of_blocks(config: RunConfig) -> tuple[AnyLayer, ...]:
    """The description of the layer of every block; `layer_of_model` builds one.

    Raises:
        ValueError: a stack does not fit the number of blocks or of heads.
    """
    model = config.model
    layers = describe_layers(
        config.layer,
        config.settings,
        name=config.variant,
        embed_dim=model.width,
        num_heads=model.heads,
        head_dim=model.head_dim,
        dropout=config.training.dropout,
    )
    if not isinstance(config.layer, StackSpec):
        return layers * model.layers
    return tuple(layers[index] for index in blocks_of(config.layer, model.layers))


def model_arguments(config: RunConfig, task: Task) -> ModelArguments:
    """The description of the network that a run trains."""
    model, layers = config.model, layers_of_blocks(config)
    return ModelArguments(
        layer=layers[0],
        blocks=layers if any(layer != layers[0] for layer in layers) else None,
        kind=task.inputs.kind,
        size=task.inputs.size,
        length=task.inputs.length,
        channels=task.inputs.channels,
        outputs=task.outputs.size,
        layers=model.layers,
        mlp=model.mlp,
        positions=model.positions,
        causal=model.causal,
        conv=model.conv,
        readout=model.readout,
    )


def build_model(config: RunConfig, task: Task) -> nn.Module:
    """Build the transformer of a run; seed the global generator first."""
    return build(model_arguments(config, task))


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
