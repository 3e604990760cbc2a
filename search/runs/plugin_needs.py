"""Which plug-ins a study needs: a list in its folder, for whoever opens it without them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attenergy import registry
from attenergy.registry import ArgumentError, PluginNeed, missing
from attenergy.registry.catalogue import SCRIPT
from attenergy.registry.files import read_regular, write_atomically
from attenergy.registry.plugins import is_module_name
from attenergy.registry.printable import printable
from attenergy.search.runs.records import MAX_FILE, first_problem

PLUGINS = "plugins.json"
ATTRIBUTE = "plugins"  # the same list as a user attribute of the study


class MissingPlugin(ArgumentError):
    """A study uses something that a plug-in brings, and the plug-in is not loaded."""

    topic = "plug-in"


def write_needs(folder: Path, needs: Sequence[PluginNeed]) -> None:
    """Add plug-ins to those that a study is known to need; no file if it needs none."""
    known = read_needs(folder)
    merged = _merged(known, needs)
    if merged and merged != known:
        text = json.dumps([need.model_dump(mode="json") for need in merged], indent=2)
        write_atomically(folder / PLUGINS, text + "\n")


def in_storage(attributes: Mapping[str, Any]) -> list[PluginNeed]:
    """The plug-ins that a study needs by what its storage says, which every driver can read.

    Raises:
        ArgumentError: it is no list of plug-ins.
    """
    try:
        return registry.read_needs(attributes.get(ATTRIBUTE, []))
    except ValidationError as error:
        text = f"the study's storage: no list of plug-ins: {first_problem(error)}"
        raise ArgumentError(text, topic="plug-in") from error


def for_storage(attributes: Mapping[str, Any], needs: Sequence[PluginNeed]) -> list[Any]:
    """What a storage is to say: the plug-ins that it knows of, and others, as plain data."""
    return [n.model_dump(mode="json") for n in _merged(in_storage(attributes), needs)]


def _merged(known: Sequence[PluginNeed], needs: Sequence[PluginNeed]) -> list[PluginNeed]:
    """All of them; of one plug-in the later version and module, and what either needs of it."""
    merged = {need.name: need for need in known}
    for need in needs:
        before = merged.get(need.name)
        merged[need.name] = need if before is None else _joined(before, need)
    return list(merged.values())


def _joined(before: PluginNeed, need: PluginNeed) -> PluginNeed:
    kinds = dict.fromkeys([*before.provides, *need.provides])
    things = {k: (*before.provides.get(k, ()), *need.provides.get(k, ())) for k in kinds}
    provides = {kind: tuple(dict.fromkeys(names)) for kind, names in things.items()}
    return need.model_copy(update={"provides": provides})


def modules_of(needs: Iterable[PluginNeed]) -> list[str]:
    """What a command names with `--plugin` for them: no script, and nothing that is no module."""
    modules = dict.fromkeys(need.module for need in needs)
    return [name for name in modules if name != SCRIPT and is_module_name(name)]


def upgrades(folder: Path, needs: Sequence[PluginNeed]) -> list[str]:
    """Which plug-ins of a study have another version now, a sentence each."""
    before = {need.name: need.version for need in read_needs(folder)}
    return [
        f"the plug-in {need.name} was {before[need.name] or 'unversioned'} and is "
        f"{need.version or 'unversioned'} now: runs from before may not be comparable"
        for need in needs
        if before.get(need.name, need.version) != need.version
    ]


def read_needs(folder: Path) -> list[PluginNeed]:
    """The plug-ins that a study needs, none if it does not say.

    Raises:
        ArgumentError: the file is damaged.
        OSError: it is no regular file of the folder.
    """
    path = folder / PLUGINS
    if not path.exists():
        return []
    try:
        return registry.read_needs(read_regular(path, MAX_FILE, within=folder))
    except ValidationError as error:
        text = f"{path}: cannot be read as a list of plug-ins: {first_problem(error)}"
        raise ArgumentError(text, topic="plug-in") from error


def check_needs(folder: Path, *, to_go_on: bool = False) -> None:
    """Load the plug-ins of this process and see that a study has what it needs.

    No module is imported because a study names it.

    Args:
        folder: the study's.
        to_go_on: whether it is to be searched further, which takes its sampler and pruner, too.

    Raises:
        MissingPlugin: something is not there; the text names the plug-in, and what to do.
        ArgumentError: the list is damaged.
    """
    needs = read_needs(folder)
    if not to_go_on:
        needs = [need.without("sampler", "pruner") for need in needs]
    refuse_missing(str(folder), needs)


def refuse_missing(study: str, needs: Sequence[PluginNeed]) -> None:
    """See that this process has what a study needs.

    Args:
        study: its folder or name.
        needs: the plug-ins.

    Raises:
        MissingPlugin: something is not there.
    """
    if not needs:
        return
    for room in ("attention", "tasks"):  # which fill the tables
        import_module(f"attenergy.{room}")
    if text := missing(needs):
        raise MissingPlugin(printable(f"{study}: {text}", lines=False))


def check_reaches_workers(needs: Sequence[PluginNeed]) -> None:
    """Refuse to start workers for what only the main script knows, which they do not run.

    Raises:
        ArgumentError: it has registered something that the runs need.
    """
    for need in needs:
        if need.module == SCRIPT:
            things = ", ".join(f"{kind} {name!r}" for kind, name in need.items())
            raise ArgumentError(
                f"the main script registers {things}, and worker processes do not run it: put that "
                "into a module of its own and import it, or train in this process (workers 0)",
                topic="plug-in",
            )
