"""Command lines of a discovery: the one that makes it again, and the one that goes on with it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from attenergy.registry import ArgumentError, needed
from attenergy.registry.files import read_regular
from attenergy.search.discovery.formulas.grammar import Grammar, function_uses
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.planning.option_names import option_of
from attenergy.search.planning.plan import DISCOVER_PLAN
from attenergy.search.runs.own_entries import REGISTRY
from attenergy.search.runs.plugin_needs import modules_of, read_needs
from attenergy.search.runs.records import MAX_FILE, first_problem

#: Of a plan, what is no option of a command that does it again, or lies on one machine.
_UNSAID = {"study", "folder", "storage", "address", "checkpoint_folder"}


def command(plan: DiscoverPlan, plugins: Iterable[str] = (), registry: str = "", *more: str) -> str:
    """The call of `attenergy` that makes a plan; what is at its default is left out.

    Args:
        plan: of the discovery.
        plugins: modules that it needs.
        registry: file with the entries that are not built in, if there are any.
        *more: words at its end.
    """
    named = [word for module in plugins for word in ("--plugin", module)]
    words = ["attenergy", *named, "discover"]
    for name in DiscoverPlan.model_fields:
        value, form = getattr(plan, name), DiscoverPlan.model_fields[name]
        if name in _UNSAID or value is None or value == form.get_default():
            continue
        option = option_of(name, "discover")
        text = ",".join(value) or "none" if isinstance(value, tuple) else f"{value}"
        words += [option] if value is True else [option, text]
    words += ["--registry", registry] if registry else []
    return shlex.join([*words, *more])


def again(plan: DiscoverPlan) -> str:
    """The call that makes a discovery again, typed in its folder, where its own entries are."""
    folder = Path(plan.folder)
    functions = function_uses(Grammar.of(plan.without).functions)
    plugins = modules_of([*read_needs(folder), *needed(functions)])
    return command(plan, plugins, REGISTRY if (folder / REGISTRY).is_file() else "")


def going_on(folder: Path) -> str:
    """The call that goes on with the discovery in a folder, from the plan that it was given.

    Raises:
        ArgumentError: the plan cannot be read.
        OSError: it is missing, no regular file, or leads out of the folder.
    """
    path = folder / DISCOVER_PLAN
    try:
        plan = DiscoverPlan.model_validate_json(read_regular(path, MAX_FILE, within=folder))
    except ValidationError as error:
        raise ArgumentError(
            f"{path}: cannot be read as a plan: {first_problem(error)}", topic="record-file"
        ) from error
    more = ["--study", plan.study]
    more += [] if folder.parent == Path("runs") else ["--folder", str(folder.parent)]
    more += [] if plan.storage is None else ["--storage", plan.storage]
    registry = folder / REGISTRY
    own = str(registry) if registry.is_file() else ""
    return command(plan, modules_of(read_needs(folder)), own, *more, "--resume")
