"""A model with what it is fed: instances of its task, a file of the user's, or random inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.analysis import Subject
from attenergy.analysis.subject import Inputs
from attenergy.registry import AnalysisError, AttenergyError
from attenergy.search.analyses.inputs import LENGTH, batches, read_inputs, read_texts
from attenergy.search.analyses.sources import Source
from attenergy.search.results import formats
from attenergy.search.runs.failures import in_one_line
from attenergy.search.training.predict import predict
from attenergy.tasks import Batch, Task

_MOST_NUMBERS = 1 << 27
#: Instances of a batch, and in all, of a task and of random inputs.
_OF_TASK, _AT_RANDOM = (32, 256), (8, 8)
_SLOW = 1.0  # seconds of a forward pass, from which on it is said


@dataclass(frozen=True)
class Feeding:
    """What a model is fed.

    Attributes:
        task: instead of the one that is recorded with the model.
        split: of the task; valid, if it has one, by default.
        batch: instances of a forward pass.
        instances: how many in all.
        inputs: a file of arguments, or of text for a Hugging Face model.
        length: tokens of a random or written input.
        seed: of everything that is drawn.
    """

    task: Task | None = None
    split: str | None = None
    batch: int | None = None
    instances: int | None = None
    inputs: Path | None = None
    length: int | None = None
    seed: int = 0


def feed(source: Source, feeding: Feeding) -> tuple[Subject, list[str]]:
    """A model that can be analysed, and what should be said of its inputs.

    Raises:
        ArgumentError: there is nothing to feed it, or it cannot read that.
    """
    task = feeding.task or source.task
    make: Callable[[Source, Feeding], tuple[list[Inputs], str]]
    if feeding.inputs is not None:
        task, make = None, _of_file
    else:
        make = _at_random if task is None else partial(_of_task, task)
    given, said = make(source, feeding)
    split = "valid" if task is None else _split(task, feeding.split)
    subject = Subject(
        source.model,
        source.name,
        given,
        None if _foreign(source.model) else task,
        split,
        feeding.instances or _OF_TASK[1],
        source.make_untrained,
        None if task is None else partial(_answer, task.scored_positions),
        feeding.seed,
    )
    seconds = _try(subject)
    notes = [f"inputs: {said}"]
    if seconds > _SLOW:
        count = sum(p.numel() for p in source.model.parameters())
        notes.append(
            f"{formats.count(count)} parameters, {seconds:.1f} s for a forward pass of a batch; an "
            "analysis makes tens of them"
        )
    return subject, notes


def _of_task(task: Task, source: Source, feeding: Feeding) -> tuple[list[Inputs], str]:
    split = _split(task, feeding.split)
    each, count = _amounts(feeding, _OF_TASK)
    if task.numbers * count > _MOST_NUMBERS:
        raise AnalysisError(
            f"{count} instances of {task.numbers:,} numbers are more than {_MOST_NUMBERS:,}; give "
            "fewer --instances"
        )
    foreign = _foreign(source.model)
    if foreign:
        _check_tokens(task, source)
    made = []
    for start in range(0, count, each):
        batch = task.batch(split, start, min(each, count - start))
        made.append(_by_name(batch) if foreign else _by_place(batch))
    name = task.name if feeding.task else source.about.get("task") or task.name
    return made, f"{count} instances of {name}, split {split}, in batches of {each}"


def _by_place(batch: Batch) -> Inputs:
    return (batch.inputs,), {} if batch.mask is None else {"mask": batch.mask}


def _by_name(batch: Batch) -> Inputs:
    mask = torch.ones_like(batch.inputs) if batch.mask is None else batch.mask.long()
    return (), {"input_ids": batch.inputs, "attention_mask": mask}


def _of_file(source: Source, feeding: Feeding) -> tuple[list[Inputs], str]:
    path = feeding.inputs
    assert path is not None  # the only way here
    each, count = _amounts(feeding, (_AT_RANDOM[0], _OF_TASK[1]))
    folder = source.about.get("huggingface")
    if path.suffix in (".txt", ".md"):
        if folder is None:
            raise AnalysisError(f"{path}: texts are for Hugging Face models")
        arguments = read_texts(path, Path(folder), feeding.length or LENGTH, count)
    else:
        arguments = read_inputs(path, source.model, count)
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in arguments.items())
    return list(batches(arguments, each)), f"{path.name}: {shapes}"


def _at_random(source: Source, feeding: Feeding) -> tuple[list[Inputs], str]:
    if source.draw is None:
        raise AnalysisError(
            f"nothing says what {source.name} reads: give --task NAME, or --inputs FILE with its "
            "arguments as safetensors or JSON"
        )
    each, count = _amounts(feeding, _AT_RANDOM)
    arguments, said = source.draw(instances=count, length=feeding.length, seed=feeding.seed)
    return list(batches(arguments, each)), said


def _amounts(feeding: Feeding, default: tuple[int, int]) -> tuple[int, int]:
    """Instances of a batch, and in all."""
    count = feeding.instances or max(default[1], feeding.batch or 0)
    return min(feeding.batch or default[0], count), count


def _split(task: Task, name: str | None) -> str:
    if name is not None:
        return task.check_split("test" if name == "iid" and "iid" not in task.splits else name)
    return "valid" if "valid" in task.splits else task.splits[0]


def _foreign(model: nn.Module) -> bool:
    """Whether it is a model of transformers, which is called and answers by names."""
    return hasattr(model, "main_input_name")


def _check_tokens(task: Task, source: Source) -> None:
    config: Any = source.model.config
    vocabulary = config.get_text_config().vocab_size
    inputs = task.inputs
    if (
        inputs.kind != "token"
        or inputs.channels != 1
        or inputs.size > vocabulary
        or task.masks_pairs
    ):
        raise AnalysisError(
            f"{source.name} reads token ids below {vocabulary} with a mask of padding; "
            f"{task.name} gives {inputs.kind}s of size {inputs.size}"
        )


def _answer(scored: slice | None, model: nn.Module, batch: Batch) -> Tensor:
    return predict(model, batch, scored)


def _try(subject: Subject) -> float:
    """Seconds of the first forward pass, which has to come to its end."""
    began = time.monotonic()
    try:
        with torch.inference_mode():
            subject.run()
    except Exception as error:  # of a model and inputs of any kind
        inputs, arguments = subject.batches[0]
        why = f"{error}" if isinstance(error, AttenergyError) else in_one_line(error)
        raise AnalysisError(
            f"{subject.name} cannot read {', '.join(_shapes(inputs, arguments))}: {why}"
        ) from error
    return time.monotonic() - began


def _shapes(inputs: Any, arguments: Any) -> Iterator[str]:
    for value in inputs:
        yield f"{tuple(value.shape)}"
    for name, value in arguments.items():
        yield f"{name} {tuple(value.shape)}"
