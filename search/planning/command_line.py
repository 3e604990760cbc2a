"""The command line that does a study again, written from its plan."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attenergy.search.planning.final_budget import NONE, REST
from attenergy.search.planning.option_names import option_of
from attenergy.search.planning.plan import ComparePlan

if TYPE_CHECKING:
    from attenergy.search.planning.plan import SearchPlan

#: Fields of a plan that are not written: a storage may hold a password, only a search file can say
#: what is enqueued, and where checkpoints lie is this machine's business.
_UNSAID = frozenset({"folder", "storage", "enqueue", "checkpoint_folder"})


def command(
    plan: SearchPlan | ComparePlan,
    tasks: tuple[str, ...] = (),
    plugins: Iterable[str] = (),
    registry: str = "",
    folder: str = "",
    resume: bool = False,
) -> str:
    """The call of `attenergy` that makes this plan; what is at its default is left out.

    Args:
        plan: of a search or a comparison.
        tasks: of a comparison of several; by default the plan's own.
        plugins: modules that it needs.
        registry: file with the entries that are not built in, if there are any.
        folder: where the studies are, if not in `runs`.
        resume: go on with a search that exists.
    """
    comparison = isinstance(plan, ComparePlan)
    verb = "compare" if comparison else "search"
    own = plan.model.partition(":")[0] if plan.model else ""  # which the option names as well
    named = [word for module in plugins if module != own for word in ("--plugin", module)]
    words = ["attenergy", *named, verb]
    for name in type(plan).model_fields:
        value = getattr(plan, name)
        if name == "task" and tasks:
            value = tasks
        if name in _UNSAID or value is None:
            continue
        if name == "final_budget" and comparison and "--seeds" in words:
            unsaid = value == NONE  # so many seeds are exactly these, unless a budget is given
        else:
            unsaid = _is_default(plan, name)
        if unsaid:
            continue
        words += _words(option_of(name, verb), value)
    words += ["--registry", registry] if registry else []
    words += ["--folder", folder] if folder else []
    words += ["--resume"] if resume and not comparison else []
    return shlex.join(words)


def _is_default(plan: SearchPlan | ComparePlan, name: str) -> bool:
    """Whether a field is what it would be if nobody said anything."""
    field, value = type(plan).model_fields[name], getattr(plan, name)
    if name == "final_budget" and plan.budget is not None:
        return bool(value == REST)
    if name == "trials" and plan.budget is not None:
        return False
    if name == "pause" and not isinstance(plan, ComparePlan):
        return bool(value == plan.default_pause)
    return not field.is_required() and bool(value == field.get_default())


def _words(option: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        return [word for k, v in value.items() for word in (option, f"{k}={_listed(v)}")]
    if isinstance(value, bool):
        return [option if value else option.replace("--", "--no-", 1)]
    if isinstance(value, (tuple, list)):
        return [option, _listed(value)]
    return [option, _text(value)]


def _listed(value: Any) -> str:
    return ",".join(map(_text, value)) if isinstance(value, (tuple, list)) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
