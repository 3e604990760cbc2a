"""The model of a run: a transformer whose token mixers are the layer under study, or a user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from attenergy.attention.factory import describe_layers
from attenergy.attention.integrations.model_builders import MODELS
from attenergy.attention.loading import build
from attenergy.attention.saving.format import AnyLayer, ModelArguments
from attenergy.attention.saving.own_model import (
    InputArguments,
    OutputArguments,
    OwnModelArguments,
    TaskArguments,
)
from attenergy.attention.saving.weights import state_of
from attenergy.registry import OwnModel, OwnModelError, StackSpec, Use, layer_uses
from attenergy.registry.stacks import blocks_of
from attenergy.search.runs.config import RunConfig
from attenergy.tasks import Task


def uses(config: RunConfig) -> Iterator[Use]:
    """What the task and the model of a run refer to by name."""
    yield "task class", config.task_spec.class_
    if config.own_model is not None:
        yield "model", config.own_model.build
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


def model_arguments(config: RunConfig, task: Task) -> ModelArguments | OwnModelArguments:
    """The description of the network that a run trains.

    Raises:
        ArgumentError: it is a user's own model, and the task trains none.
    """
    if config.own_model is not None:
        return own_model_arguments(config, config.own_model, task)
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


def own_model_arguments(config: RunConfig, own: OwnModel, task: Task) -> OwnModelArguments:
    """The description of a user's model.

    Raises:
        ArgumentError: the task trains no model.
    """
    return OwnModelArguments(
        own=own,
        name=config.variant,
        layer=config.layer,
        settings=config.settings,
        dropout=config.training.dropout,
        model=config.model,
        task=task_arguments(task),
    )


def task_arguments(task: Task) -> TaskArguments:
    """What a user's function is told of a task.

    Raises:
        ArgumentError: the task trains no model.
    """
    inputs, outputs, scored = task.inputs, task.outputs, task.scored_positions
    if inputs.kind == "memory":
        raise OwnModelError(f"the task {task.name} recalls without training: no model of yours can")
    options = {n: v for n, v in task.options.items() if isinstance(v, (bool, int, float, str))}
    return TaskArguments(
        name=task.name,
        inputs=InputArguments(
            kind=inputs.kind, size=inputs.size, length=inputs.length, channels=inputs.channels
        ),
        outputs=OutputArguments(size=outputs.size, kind=outputs.kind),
        scored=None if scored is None else (scored.start, scored.stop),
        masks_pairs=task.masks_pairs,
        options=options,
    )


def build_model(config: RunConfig, task: Task) -> nn.Module:
    """Build the model of a run; seed the global generator first.

    Raises:
        ArgumentError: the file of a user's own model is another than that of the run.
    """
    if config.own_model is not None:
        check_source(config)
    return build(model_arguments(config, task))


def check_source(config: RunConfig) -> None:
    """See that a user's model is built by the file that the run was planned with.

    Raises:
        ArgumentError: it has changed.
    """
    own = config.own_model
    if own is None:
        return
    now = MODELS.lookup(own.build)
    if now.source != own.source:
        raise OwnModelError(
            f"{now.file or own.build} has changed since the run was planned (sha256 "
            f"{own.source or 'unknown'}, now {now.source or 'unknown'}): {own.build} may be "
            "another model now; a recorded run is trained with it all the same by --anyway"
        )


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the model's state as safetensors, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        save_file(state_of(model), temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
