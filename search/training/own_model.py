"""A model, above all a user's own, tried on two instances before anything is searched.

What a search or comparison is asked for is a name and options; what comes of it here is the part of
a run's configuration, and what the model does with the rest of it.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import torch
from torch import Tensor, nn

from attenergy.attention.integrations.model_builders import MODELS
from attenergy.attention.integrations.own_model import attention_of
from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.loading import build_own
from attenergy.energies.factory import class_of
from attenergy.registry import (
    ArgumentError,
    AttenergyError,
    MixerSpec,
    ModelSpec,
    OwnModel,
    OwnModelError,
    Scalar,
    TaskSpec,
)
from attenergy.registry.stacks import entries_of
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.failures import clean
from attenergy.search.training.energy_loss import make_energy_loss
from attenergy.search.training.model import build_model, check_source, own_model_arguments
from attenergy.search.training.predict import predict
from attenergy.tasks import Task, make_task

_BATCH = 2
_ROOM = {"embed_dim": "width", "num_heads": "heads"}
#: A change of a later input moves an earlier answer by more than rounding.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Tried:
    """What a model has shown of itself.

    Attributes:
        fields: fields of the run's model that decide anything about it.
        replaced: names of the attention layers that the run's took the place of.
        looks_ahead: whether answers depend on later inputs, where the task's own model is causal.
    """

    fields: frozenset[str]
    replaced: tuple[str, ...]
    looks_ahead: bool

    def said(self, name: str) -> list[str]:
        """What a user should know of it, a sentence each.

        Args:
            name: of the model.
        """
        texts = []
        if self.replaced:
            texts.append(f"{name}: attention replaced in {', '.join(self.replaced)}")
        if self.looks_ahead:
            texts.append(
                f"{name} looks ahead: its answers change with later inputs, where the task's own "
                "model is causal; call the layers with is_causal=True, or mask as the task is meant"
            )
        return texts


def own_model(name: str | None, options: Mapping[str, Scalar]) -> OwnModel | None:
    """What a run says of a user's model; None without one.

    Raises:
        UnknownName: there is no such function, or it takes no such option.
        ArgumentError: there are options and no model, or the function has an argument that nothing
            gives.
    """
    if name is None:
        if options:
            raise OwnModelError(
                f"model options ({', '.join(options)}) are for a model of yours: give --model"
            )
        return None
    builder = MODELS.lookup(name)
    builder.check(options)
    return OwnModel(build=name, source=builder.source, options=dict(options))


def check_buildable(config: RunConfig, task: Task) -> Tried | None:
    """See that the model of a run can be built, answers, and can have its loss on energies.

    One whose layers do not take every task answers two instances of every split, which may be
    longer than those of the training. A user's model has to answer and learn, too.

    Raises:
        ValueError: it cannot.
    """
    tried = None if config.own_model is None else try_model(config)
    if config.training.energy_term is not None:
        make_energy_loss(build_model(config, task), config.training, config.variant)
    if tried is None:
        with torch.random.fork_rng(devices=[]):
            _check_answers(config, task)
    return tried


def fields_in_use(config: RunConfig) -> frozenset[str]:
    """The fields of a run's model that decide anything: all, or those that a user's model reads.

    Raises:
        ArgumentError: the model cannot take the layer, or the layer cannot take the task: one that
            couples states, or has parameters for every place, does not take all.
    """
    if config.own_model is not None:
        return try_model(config).fields
    for layer in entries_of(config.variant, config.layer).values():
        energy = None if isinstance(layer, MixerSpec) else class_of(layer)
        if energy is not None and (energy.states_interact or energy.fixed_length):
            with torch.random.fork_rng(devices=[]):
                _check_answers(config, make_task(config.task_spec, split_seed=config.split_seed))
            break
    return frozenset(ModelSpec.model_fields)


@torch.no_grad()
def _check_answers(config: RunConfig, task: Task) -> None:
    """Let a model answer, if it has layers that do not take every task.

    Any error but one of the toolkit's is left to the run, which is recorded as failed.
    """
    try:
        model = build_model(config, task).eval()
        for split in task.splits if _couples_states_or_places(model) else ():
            predict(model, task.batch(split, 0, _BATCH), task.scored_positions)
    except AttenergyError as error:
        about = f"{config.variant} cannot answer {config.task}: {error}"
        raise ArgumentError(about, topic=error.topic) from error
    except Exception:
        return


def _couples_states_or_places(model: nn.Module) -> bool:
    """Whether some layer couples its states, or has parameters for every place."""
    return any(
        part.energy.states_interact or part.energy.fixed_length
        for part in model.modules()
        if isinstance(part, EnergyLayer)
    )


def try_model(config: RunConfig) -> Tried:
    """Build a user's model, and let it answer two instances of every split and take a gradient.

    Raises:
        ArgumentError: anything is wrong with it; the text says where, what was got, and what is
            expected.
    """
    return _tried(config.model_dump_json(by_alias=True))


@cache
def _tried(text: str) -> Tried:
    config = RunConfig.model_validate_json(text)
    own = config.own_model
    assert own is not None  # the only way here is `try_model`
    about = f"{own.build} with {config.variant} on {config.task}"
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return _show(config, own)
    except Exception as error:  # the user's code may raise anything
        place = _place(error, MODELS.lookup(own.build).file)
        kind = "" if isinstance(error, AttenergyError) else f"{type(error).__name__}: "
        raise OwnModelError(f"{place}{about}: {kind}{clean(str(error), 1000)}") from error


def _show(config: RunConfig, own: OwnModel) -> Tried:
    check_source(config)
    task = _task(config.task_spec.model_dump_json(by_alias=True), config.seed, config.split_seed)
    arguments = own_model_arguments(config, own, task)
    model, defaults = build_own(arguments)
    _check_parts(model)
    _check_learning(model, task)
    model.eval()
    with torch.no_grad():
        for split in task.splits:
            _answer(model, task, split)
        looks_ahead = config.model.causal and _looks_ahead(model, task)
    builder = MODELS.lookup(own.build)
    fields = {*builder.fields(own.options), *(_ROOM[name] for name in defaults)}
    fields |= set() if builder.replaces else {"head_dim"}
    replaced = tuple(attention_of(model)) if builder.replaces else ()
    return Tried(frozenset(fields), replaced, looks_ahead)


@lru_cache(maxsize=1)
def _task(spec: str, seed: int, split_seed: int) -> Task:
    """One for all variants: to draw its instances may take longer than all else."""
    return make_task(TaskSpec.model_validate_json(spec), seed=seed, split_seed=split_seed)


def _check_parts(model: nn.Module) -> None:
    """See that the state of a model can be saved and trained."""
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise OwnModelError(f"{name} of its state is no tensor, but a {type(value).__name__}")
    if not any(p.requires_grad for p in model.parameters()):
        raise OwnModelError("it has no parameter to train")


def _check_learning(model: nn.Module, task: Task) -> None:
    batch = task.batch("train", 0, _BATCH)
    loss = task.loss(_answer(model, task, "train").float(), batch.targets)
    if not math.isfinite(loss.item()):
        raise OwnModelError(f"the loss of its first answer is {loss.item()}")
    if not loss.requires_grad:
        raise OwnModelError("its answer does not depend on its parameters: nothing can be learned")
    loss.backward()  # type: ignore[no-untyped-call]


def _answer(model: nn.Module, task: Task, split: str) -> Tensor:
    """Logits of the first instances of a split, of the right shape."""
    batch = task.batch(split, 0, _BATCH)
    logits = predict(model, batch, task.scored_positions)
    wanted = (*batch.inputs.shape[:2], task.outputs.size)
    if logits.shape != wanted:
        noun = "logits of classes" if task.outputs.kind == "class" else "numbers"
        raise OwnModelError(
            f"for inputs {tuple(batch.inputs.shape)} of the split {split} it must return {noun} "
            f"(B, L, C) = {wanted}, got {tuple(logits.shape)}; C is task.outputs.size"
        )
    return logits


def _looks_ahead(model: nn.Module, task: Task) -> bool:
    """Whether another last input changes an earlier answer."""
    batch = task.batch("valid", 0, _BATCH)
    inputs = batch.inputs.clone()
    if task.inputs.kind == "token":
        inputs[:, -1] = (inputs[:, -1] + 1) % task.inputs.size
    else:
        inputs[:, -1] += 1
    other = replace(batch, inputs=inputs)
    before, after = (predict(model, b, task.scored_positions)[:, :-1] for b in (batch, other))
    return bool(((before - after).abs() > _ROUNDING * (1 + before.abs())).any())


def _place(error: Exception, file: str) -> str:
    """Where in the user's file an error came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f"{frames[-1].filename}:{frames[-1].lineno}: in {frames[-1].name}: " if frames else ""
