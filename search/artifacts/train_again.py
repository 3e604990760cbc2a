"""What a recorded run may take to be trained again: its record may be somebody else's."""

from __future__ import annotations

import math
from pathlib import Path

from attenergy.attention.integrations.model_builders import MODELS
from attenergy.registry import ArgumentError, AttenergyError
from attenergy.registry.stacks import entries_of
from attenergy.search.results.study_folder import task_of
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.model import check_source
from attenergy.tasks import Task, reads_files, with_content

# An hour of one core that does 3e10 operations a second, and 2 GiB in single precision.
_MOST_OPERATIONS, _OPERATIONS_PER_HOUR = 10**14, 10**14
_MOST_NUMBERS, _BYTES = 1 << 29, 4
_MOST_SECONDS = 3600.0
_DRAWN = 20_000  # instances of a split that are drawn at a time, those of other splits included
_LARGEST = 10**300  # that a float can show


class TooLarge(AttenergyError, ValueError):
    """A run that is not trained again unless somebody insists."""

    topic = "replay"


def to_train_again(
    config: RunConfig, *, text: Path | None = None, anyway: bool = False
) -> RunConfig:
    """The configuration of a recorded run, to be trained again.

    A task over a text or a user's data names a file or folder. It is the recording machine's, and
    nothing outside of a study is read because its records say so: `text` takes its place.

    Args:
        config: as recorded.
        text: the text or data of a task that reads some; data must be those of the record.
        anyway: whatever it takes, and with the file of a user's model as it is now.

    Raises:
        TooLarge: by the sizes in the record it takes over an hour of one core or over 2 GiB.
        ValueError: the file of a user's model has changed; the task reads files and none are given,
            or they are and it reads none.
    """
    path = config.task_spec.options.get("path")
    if not reads_files(config.task_spec):
        if text is not None:
            raise ArgumentError(
                f"'--text' and '--data' are for tasks that read files; {config.task} does not",
                topic="replay",
            )
    elif path and text is None:
        what, option = (
            ("text", "--text") if config.task_spec.class_ == "Text" else ("data", "--data")
        )
        raise ArgumentError(
            f"run {config.run_key()} was trained on the {what} {path!r:.200}; nothing outside of "
            f"the study is read because its records name it: give yours with {option} PATH",
            topic="replay",
        )
    elif text is not None:
        options = {**config.task_spec.options, "path": str(text)}
        spec = config.task_spec.model_copy(update={"options": options})
        config = config.model_copy(update={"task_spec": with_content(spec, config.split_seed)})
    if not anyway:
        check_source(config)
        _check_size(config)
    elif config.own_model is not None:
        now = MODELS.lookup(config.own_model.build).source
        own = config.own_model.model_copy(update={"source": now})
        config = config.model_copy(update={"own_model": own})
    return config


def _check_size(config: RunConfig) -> None:
    task = task_of(config)
    operations, numbers = _operations(config, task), _numbers(config, task)
    seconds = config.seconds or 0.0
    if operations > _MOST_OPERATIONS or numbers > _MOST_NUMBERS or seconds > _MOST_SECONDS:
        hours = max(seconds / 3600, min(operations, _LARGEST) / _OPERATIONS_PER_HOUR)
        gigabytes = min(numbers, _LARGEST) * _BYTES / 2**30
        raise TooLarge(
            f"by the sizes in its record, run {config.run_key()} takes about {hours:.2g} hours of "
            f"one core and {gigabytes:.2g} GiB to be trained again; more than an hour or 2 GiB "
            "takes --anyway"
        )


def _largest_setting(config: RunConfig) -> int:
    entries = entries_of(config.variant, config.layer).values()
    own = () if config.own_model is None else config.own_model.options.values()
    values = [*config.settings.values(), *own, *(o for e in entries for o in e.options.values())]
    return max((value for value in values if type(value) is int), default=1)


def _parameters(config: RunConfig, task: Task) -> int:
    """About as many as the model has; the layer's largest setting may be a number of units."""
    model = config.model
    inner = model.heads * model.head_dim if model.head_dim is not None else model.width
    units = max(1, _largest_setting(config))
    block = 4 * model.width * inner + 2 * model.width * model.mlp + model.width * model.conv
    ends = (task.inputs.size * task.inputs.channels + task.outputs.size) * model.width
    return model.layers * (block + inner * units) + ends


def _operations(config: RunConfig, task: Task) -> int:
    """About as many as all instances take, those of the evaluations included."""
    training, length = config.training, task.inputs.length
    each = [v for name, v in config.settings.items() if name.rpartition(".")[2] == "steps"]
    times = max([1, *(int(n) for n in each if isinstance(n, (int, float)) and math.isfinite(n))])
    pairs = 4 * config.model.layers * length * config.model.width
    token = (2 * _parameters(config, task) + pairs) * times
    evaluations = 1 + training.steps // training.evaluate_every
    instances = 3 * training.steps * training.batch_size + evaluations * training.valid_instances
    return token * length * (instances + len(task.splits) * training.test_instances)


def _numbers(config: RunConfig, task: Task) -> int:
    """About as many as are in memory at a time: parameters, a batch's activations, instances."""
    model, length = config.model, task.inputs.length
    inner = model.heads * (model.head_dim or 1) + model.width
    block = 4 * inner + 2 * model.mlp + model.heads * length
    token = model.layers * block + task.outputs.size
    batch = max(config.training.batch_size, 1)
    drawn = max(task.numbers, length**2 if task.masks_pairs else 0)
    return 4 * _parameters(config, task) + batch * length * token + _DRAWN * drawn
