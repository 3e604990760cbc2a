"""A search written down: a YAML file with the fields of a `SearchPlan`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attenergy.registry import ArgumentError, RegistryError
from attenergy.registry.error_messages import explain
from attenergy.registry.errors import clipped
from attenergy.registry.files import read_text, user_source
from attenergy.registry.yaml_document import read_yaml
from attenergy.search.planning.option_names import for_key
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs.plugin_needs import check_needs

_REGISTRY = "registry"
_TOPIC = "option-value"  # under which wrong keys and values are explained
# A file may leave these to the command line.
_REQUIRED = {"study": "study", "folder": "runs", "task": "task"}


@dataclass(frozen=True)
class SearchFile:
    """The fields of a plan that a file gives, and the registry files that it names.

    Paths of registry files are taken from the folder of the search file.
    """

    fields: dict[str, Any]
    registry: tuple[Path, ...]


def read_search_file(path: Path) -> SearchFile:
    """Read a search file.

    Raises:
        RegistryError: it is no YAML, or has an unknown key or a wrong value; all of it is said at
            once, each with its line and column.
    """
    text = read_text(user_source(path), "a search")
    document = read_yaml(text, str(path), what="a search file", first="task: NAME")
    known = [*SearchPlan.model_fields, _REGISTRY]
    problems = list(document.problems)
    for name in document.data:
        if name not in known:
            text = f"unknown key {clipped(repr(name))} ({for_key(name, known)})"
            problems.append(document.problem((name,), text, at_key=True, topic=_TOPIC))
    files = document.data.get(_REGISTRY, ())
    if not isinstance(files, tuple) or not all(isinstance(file, str) for file in files):
        text = "must be a list of files"
        problems.append(document.problem((_REGISTRY,), text, topic=_TOPIC))
        files = ()
    fields = {n: v for n, v in document.data.items() if n in SearchPlan.model_fields}
    try:
        SearchPlan.model_validate({**_REQUIRED, **fields}, strict=True)
    except ValidationError as error:
        problems += explain(error, document, general=_TOPIC)
    if problems:
        raise RegistryError(problems)
    return SearchFile(fields, tuple(path.parent / file for file in files))


def complete_plan(
    file: SearchFile | None, given: Mapping[str, Any], typed: Collection[str]
) -> SearchPlan:
    """Put a plan together: what was typed, then the file, then the defaults of the command line.

    `fix` and `task_options` of both are merged. The study is named after its task if nobody names
    it, and lies in a folder of its name inside `folder`.

    Args:
        file: the search file, if there is one.
        given: every field as the command line has it, defaults included.
        typed: the fields that were really given there.

    Raises:
        MissingPlugin: the sampler or pruner is that of a study there, and of a plug-in not loaded.
        ValueError: no task, or a value that does not fit.
    """
    fields = dict(given)
    for name, value in (file.fields if file is not None else {}).items():
        if name not in typed:
            fields[name] = value
        elif isinstance(value, dict):
            fields[name] = {**value, **given[name]}
    if fields["task"] is None:
        raise ArgumentError(
            "a search needs a task: give --task, or a search file with 'task'", topic="option-value"
        )
    if fields["study"] is None:
        fields["study"] = fields["task"]
    fields["folder"] = str(Path(fields["folder"]) / fields["study"])
    try:
        return SearchPlan.model_validate(fields)
    except ValidationError as error:
        if any(detail["loc"][:1] in {("sampler",), ("pruner",)} for detail in error.errors()):
            check_needs(Path(fields["folder"]), to_go_on=True)
        raise
