"""Analyses of one subject, one after another: each is saved as soon as it is done."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from attenergy.analysis import ANALYSES, AnalysisKind, Subject
from attenergy.analysis.drawing import NoMatplotlib
from attenergy.analysis.saved import SavedResult, read_result
from attenergy.registry import AttenergyError, Scalar, UnknownName
from attenergy.search.display.analyses import AnalysisLines
from attenergy.search.runs.failures import in_one_line

_DIGITS = 16  # of a key


@dataclass(frozen=True)
class Choice:
    """An analysis that is to be done, with every option."""

    kind: AnalysisKind
    settings: Mapping[str, Scalar | None]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of one analysis.

    Attributes:
        kind: which.
        result: what it said; None if it does not fit.
        reason: why there is none, in words.
        earlier: whether the result was there already.
        bug: what went wrong, where that lies neither with the model nor with its inputs.
    """

    kind: AnalysisKind
    result: SavedResult | None
    reason: str = ""
    earlier: bool = False
    bug: Exception | None = None

    def __str__(self) -> str:
        if self.result is None:
            return f"not done: {self.reason}"
        return f"{self.result.sentence}{' (from before)' if self.earlier else ''}"


def choose(names: Sequence[str], given: Mapping[str, Scalar]) -> list[Choice]:
    """The analyses of these names, all if there are none, with options by `ANALYSIS.OPTION`.

    Raises:
        UnknownName: there is no analysis, or option, of such a name.
        ArgumentError: a value is not allowed.
    """
    for name in names:
        if name not in ANALYSES:
            raise UnknownName("analysis", name, ANALYSES)
    chosen = list(dict.fromkeys(names)) or list(ANALYSES)
    options: dict[str, dict[str, Scalar]] = {name: {} for name in chosen}
    for key, value in given.items():
        name, _, option = key.partition(".")
        if name not in ANALYSES:
            raise UnknownName("analysis", name, ANALYSES)
        if name not in options:
            raise UnknownName("analysis to be done", name, chosen, f"{key} is set")
        options[name][option] = value
    return [Choice(ANALYSES[name], ANALYSES[name].settings(options[name])) for name in chosen]


def analyse(
    subject: Subject,
    choices: Sequence[Choice],
    folder: Path,
    *,
    display: AnalysisLines | None = None,
    force: bool = False,
    about: Mapping[str, Any] | None = None,
) -> Iterator[Outcome]:
    """Do the analyses in turn, and yield each when its files are written.

    What was done before with the same model, inputs, options and version is read from the folder.
    An analysis that fails for a reason that lies with the subject has no result and says why; so
    has one with a mistake in it, whose outcome holds the error: it costs the others nothing.

    Args:
        subject: what is analysed.
        choices: which analyses.
        folder: where their files go.
        display: shows what happens.
        force: do them again, even if they are there.
        about: what stands in every file beside the result.
    """
    prints = fingerprint(subject)
    for number, choice in enumerate(choices, start=1):
        if display is not None:
            display.begin(choice.kind.title, number, len(choices))
        key = _key(choice, prints)
        try:
            outcome = _earlier(choice.kind, folder, key) if not force else None
            outcome = outcome or _new(
                subject, choice, folder, display, {**(about or {}), "key": key}
            )
        except Exception as error:
            outcome = Outcome(choice.kind, None, in_one_line(error), bug=error)
        if display is not None:
            display.end(str(outcome))
        yield outcome


def fingerprint(subject: Subject) -> str:
    """A digest of all that decides what an analysis of a subject says, but for its options."""
    digest = hashlib.blake2b(digest_size=16)
    _add_model(digest.update, subject.model)
    for batch in subject.batches:
        for leaf in tree_leaves(batch):
            _add(digest.update, leaf)
    task = subject.task
    facts = [subject.name, subject.split, subject.instances, subject.seed]
    facts += [subject.make_untrained is None, metadata.version("attenergy")]
    facts += [] if task is None else [type(task).__name__, task.name, task.seed, task.split_seed]
    facts += [] if task is None else [sorted((k, repr(v)) for k, v in task.options.items())]
    digest.update(json.dumps(facts, default=repr).encode())
    return digest.hexdigest()


def _new(
    subject: Subject,
    choice: Choice,
    folder: Path,
    display: AnalysisLines | None,
    about: Mapping[str, Any],
) -> Outcome:
    kind, began = choice.kind, time.monotonic()
    if reason := kind.lacking(subject):
        return Outcome(kind, None, reason)
    try:
        result = kind.run(subject, choice.settings, None if display is None else display.progress)
    except AttenergyError as error:
        return Outcome(kind, None, f"{error}")
    facts = {
        **about,
        "subject": subject.name,
        "settings": dict(choice.settings),
        "seed": subject.seed,
        "seconds": round(time.monotonic() - began, 2),
        "versions": {name: metadata.version(name) for name in ("attenergy", "torch")},
    }
    try:
        result.save(folder, about=facts)
    except NoMatplotlib:
        result.save(folder, pictures=False, about=facts)
    return Outcome(kind, read_result(folder, kind.name))


def _earlier(kind: AnalysisKind, folder: Path, key: str) -> Outcome | None:
    """The result that is there already, if it is of the same model, inputs and options."""
    try:
        result = read_result(folder, kind.name)
    except (AttenergyError, OSError):  # damaged: it is written anew
        return None
    if result is None or result.about.get("key") != key:
        return None
    if not all(path.is_file() for path in result.files):
        return None
    return Outcome(kind, result, earlier=True)


def _key(choice: Choice, prints: str) -> str:
    facts = [choice.kind.name, choice.kind.version, dict(choice.settings), prints]
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _add_model(update: Callable[[Any], None], model: nn.Module) -> None:
    update(f"{model!r}".encode())  # with what is no tensor: numbers of steps, energies
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        update(name.encode())
        _add(update, value)


def _add(update: Callable[[Any], None], value: object) -> None:
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        update(f"{plain.dtype} {tuple(plain.shape)}".encode())
        if plain.numel():
            update(plain.reshape(-1).view(torch.uint8).numpy())
        return
    update(repr(value).encode())
