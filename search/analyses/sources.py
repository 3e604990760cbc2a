"""From what the command line names to a model: a run, an export, a folder, a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from attenergy.attention.integrations.model_builders import MODELS
from attenergy.attention.loading import build, load
from attenergy.attention.saving.description import read_description
from attenergy.attention.saving.format import CONFIG, Arguments, ModelArguments
from attenergy.attention.saving.own_model import OwnModelArguments
from attenergy.attention.saving.weights import SavedError, read_json, rebuild
from attenergy.registry import (
    AnalysisError,
    ArgumentError,
    ModelSpec,
    OwnModel,
    Scalar,
    TaskSpec,
)
from attenergy.search.analyses.huggingface import is_huggingface, load_huggingface
from attenergy.search.analyses.inputs import random_inputs, random_of_export
from attenergy.search.artifacts.export import weights_of
from attenergy.search.artifacts.select_run import choose_run, find_run
from attenergy.search.results.study_folder import Study, UnknownStudy, find_study, read_study
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.failures import in_one_line
from attenergy.search.runs.records import first_problem
from attenergy.search.training.model import model_arguments, task_arguments
from attenergy.tasks import Task, make_task, reads_files

#: Draws so many inputs of a length from a seed, and says what they are.
Draw = Callable[..., tuple[dict[str, Tensor], str]]
#: Names the baseline of a study instead of a run.
BASELINE = "baseline"
_FOLDER = "analysis"
_FUNCTION = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")


@dataclass(frozen=True, eq=False)
class Source:
    """A model with what is known of it.

    Attributes:
        model: in evaluation mode.
        name: what it is called.
        place: where results go.
        task: what it was trained for, if that is recorded.
        make_untrained: makes it as it was before training, if that is recorded.
        draw: draws random inputs, where there is no task.
        notes: what should be said of it, a sentence each.
        about: what stands beside every result.
    """

    model: nn.Module
    name: str
    place: Path
    task: Task | None = None
    make_untrained: Callable[[], nn.Module] | None = None
    draw: Draw | None = None
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Loading:
    """How models are found and built.

    Attributes:
        folder: where the studies are kept.
        data: file or folder of a recorded task that reads a text or a user's data.
        from_config: draw the weights of a Hugging Face model at random.
        anyway: build it, whatever memory that takes.
        options: of a function.
        task: for a function that takes one.
        seed: of random weights.
    """

    folder: Path = Path("runs")
    data: Path | None = None
    from_config: bool = False
    anyway: bool = False
    options: Mapping[str, Scalar] = field(default_factory=dict)
    task: Task | None = None
    seed: int = 0


def is_function(name: str) -> bool:
    """Whether a text is `module:function`, and no path."""
    return _FUNCTION.fullmatch(name) is not None and not Path(name).exists()


def find_source(name: str, loading: Loading, trial: str = "best") -> Source:
    """The model that a text names.

    Args:
        name: a study or its folder, an export, a folder of a Hugging Face model, or
            `module:function`.
        loading: how it is built.
        trial: which run of a study.

    Raises:
        UnknownStudy: there is nothing of this name.
        ValueError: it cannot be read or built.
    """
    if is_function(name):
        return _of_function(name, loading)
    path = Path(name)
    if (path / CONFIG).is_file():
        return _of_huggingface(path, loading) if is_huggingface(path) else _of_export(path, loading)
    try:
        place = find_study(name, loading.folder)
    except UnknownStudy as error:
        note = f"nor a folder with {CONFIG}, an export or a Hugging Face model, nor module:function"
        raise UnknownStudy(name, error.folder, error.typed, note) from None
    return of_run(read_study(place), trial, data=loading.data)


def of_run(study: Study, which: str, *, data: Path | None = None) -> Source:
    """The model of a finished run.

    Args:
        study: of the run.
        which: a run as `find_run` takes it, or `baseline`, the best of that variant.
        data: see `Loading`.

    Raises:
        NoSuchRun: there is none.
        ArgumentError: its weights were not kept.
    """
    board = study.leaderboard()
    which = study.baseline if which == BASELINE else which
    record = choose_run(study.records, find_run(study, which).key, board)
    weights = weights_of(record, study.folder)
    if weights is None:
        raise ArgumentError(
            f"run {record.key} has no weights on disk; `attenergy export {study.folder.name} "
            f"--trial {record.key[:8]} -o FOLDER` trains it again: analyse that folder",
            topic="no-such-run",
        )
    config = record.config
    task = _recorded_task(config.task_spec, config.seed, config.split_seed, data, record.key)
    arguments = model_arguments(config, task)
    model = rebuild(lambda: build(arguments), weights, Path(f"run {record.key}"))
    about = {"run": record.key, "variant": config.variant, "task": config.task}
    return Source(
        model.eval(),
        config.variant,
        study.folder / _FOLDER / _slug(f"{config.variant}-{record.key[:8]}"),
        task,
        partial(_at_start, arguments, config.seed),
        notes=(_run_in_words(record, task),),
        about=about,
    )


def _of_export(path: Path, loading: Loading) -> Source:
    arguments = read_description(path)
    whole = isinstance(arguments, (ModelArguments, OwnModelArguments))
    model = load(path, part="model" if whole else "layer").eval()
    task, seed, name = _exported_task(path, loading.data)
    untrained = None if seed is None else partial(_at_start, arguments, seed)
    draw = None
    if not isinstance(arguments, OwnModelArguments):
        draw = partial(random_of_export, model, arguments)
    notes = () if seed is not None else (f"{path} does not say how it was trained",)
    return Source(
        model,
        path.resolve().name,
        Path(_FOLDER) / _slug(path.resolve().name),
        task,
        untrained,
        draw,
        notes,
        {"export": str(path), "task": name},
    )


def _of_huggingface(path: Path, loading: Loading) -> Source:
    made = load_huggingface(
        path, from_config=loading.from_config, seed=loading.seed, anyway=loading.anyway
    )
    return Source(
        made.model,
        path.resolve().name,
        Path(_FOLDER) / _slug(path.resolve().name),
        make_untrained=None if loading.from_config else partial(_redrawn, made.model, loading.seed),
        draw=partial(random_inputs, made.model),
        notes=made.notes,
        about={"huggingface": str(path), "from_config": loading.from_config},
    )


def _of_function(name: str, loading: Loading) -> Source:
    builder = MODELS.lookup(name)
    takes = builder.parameters
    if not builder.replaces:
        raise AnalysisError(
            f"{name} takes make_layer, which a search or comparison gives it: analyse a study of "
            "it (attenergy compare --model ...), or name a function that returns a model of its own"
        )
    if loading.task is None and "task" in takes:
        raise AnalysisError(f"{name} takes a task: give --task")
    task = None if loading.task is None else task_arguments(loading.task)
    own = OwnModel(build=name, source=builder.source, options=dict(loading.options))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(loading.seed)
        model = builder(None, task, ModelSpec(), own)
    place = Path(_FOLDER) / _slug(name)
    return Source(model.eval(), name, place, about={"function": name, "source": builder.source})


def _at_start(arguments: Arguments, seed: int) -> nn.Module:
    """The model of a run as its training began."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(arguments)


def _redrawn(model: Any, seed: int) -> nn.Module:
    """A model of transformers with new random weights."""
    import copy

    from attenergy.attention.integrations.huggingface.energized import energize_as_defined

    config = copy.deepcopy(model.config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh: Any = type(model)(config)
        if (stored := getattr(config, "attenergy", None)) is not None:
            energize_as_defined(fresh, stored, None)
    made: nn.Module = fresh.float()
    return made


def _recorded_task(
    spec: TaskSpec, seed: int, split_seed: int, data: Path | None, owner: str
) -> Task:
    """The task of a record, whose own files are looked for where the user says alone."""
    path = spec.options.get("path")
    if reads_files(spec):
        if path and data is None:
            raise AnalysisError(
                f"{owner} was trained on the data {path!r:.200}; nothing is read because a record "
                "names it: give yours with --data PATH"
            )
        options = {**spec.options, "path": str(data)} if data else spec.options
        spec = spec.model_copy(update={"options": options})
    elif data is not None:
        raise AnalysisError("'--data' is for tasks that read files")
    try:
        return make_task(spec, seed=seed, split_seed=split_seed)
    except ValueError:
        raise
    except Exception as error:  # options that somebody else wrote, of any size
        raise AnalysisError(f"the task of {owner} cannot be made: {in_one_line(error)}") from error


def _exported_task(path: Path, data: Path | None) -> tuple[Task | None, int | None, str]:
    """The task of an export, the seed of its training, and the task's name, if it says them."""
    about = read_json(path / CONFIG).get("about")
    if not isinstance(about, dict) or "task_spec" not in about:
        return None, None, ""
    seed, split_seed = about.get("seed", 0), about.get("split_seed", 0)
    if type(seed) is not int or type(split_seed) is not int:
        raise SavedError(f"{path / CONFIG}: about: seeds are whole numbers")
    try:
        spec = TaskSpec.model_validate(about["task_spec"])
    except ValidationError as error:
        raise SavedError(f"{path / CONFIG}: about.task_spec: {first_problem(error)}") from error
    task = _recorded_task(spec, seed, split_seed, data, str(path))
    return task, seed, str(about.get("task") or task.name)[:200]


def _run_in_words(record: RunRecord, task: Task) -> str:
    config = record.config
    score = record.metrics.get("valid", {}).get(task.metric)
    scored = "" if score is None else f", valid {task.metric} {score:.3f}"
    return f"{config.variant} on {config.task}, run {record.key}, seed {config.seed}{scored}"


def _slug(name: str) -> str:
    """A name as one of a folder."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "model"
