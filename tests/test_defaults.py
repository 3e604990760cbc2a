"""Defaults are promises: whoever leaves an argument out gets today what they got yesterday.

`python tests/test_defaults.py > tests/defaults.json` writes them anew; a default that changes is
told in CHANGELOG.md.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

RECORDED = Path(__file__).with_name("defaults.json")
PACKAGES = ("registry", "energies", "attention", "tasks", "search", "analysis")
PLAIN = (bool, int, float, str, type(None))


def modules() -> Iterator[ModuleType]:
    for name in PACKAGES:
        package = importlib.import_module(f"attenergy.{name}")
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            last = info.name.rsplit(".", 1)[-1]
            if not last.startswith(("_", "cli", "commands")):  # not the commands
                yield importlib.import_module(info.name)


def shown(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (tuple, list)):
        return [shown(part) for part in value]
    return getattr(value, "__name__", type(value).__name__)


def of(call: Any) -> dict[str, Any]:
    try:
        parameters = inspect.signature(call).parameters
    except (TypeError, ValueError):  # a class that takes what another one takes
        return {}
    empty = inspect.Parameter.empty
    return {n: shown(p.default) for n, p in parameters.items() if p.default is not empty}


def defaults() -> dict[str, dict[str, Any]]:
    """Of every public function, class and method, by its full name."""
    result = {}
    for module in modules():
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__:
                continue
            if inspect.isclass(thing) or callable(thing):
                result[f"{module.__name__}.{name}"] = of(thing)
            if inspect.isclass(thing):
                for method, call in vars(thing).items():
                    if not method.startswith("_") and inspect.isfunction(call):
                        result[f"{module.__name__}.{name}.{method}"] = of(call)
    return {name: values for name, values in sorted(result.items()) if values}


def test_no_default_has_changed() -> None:
    recorded, now = json.loads(RECORDED.read_text(encoding="utf-8")), defaults()
    changed = {
        f"{name}({argument}=...)": (values[argument], now[name][argument])
        for name, values in recorded.items()
        for argument in values.keys() & now.get(name, {}).keys()
        if values[argument] != now[name][argument]
    }
    assert not changed, "if that is meant: python tests/test_defaults.py > tests/defaults.json"
    assert len(recorded.keys() & now.keys()) > 0.9 * len(recorded), "record them anew"


if __name__ == "__main__":
    lines = (f"{json.dumps(name)}: {json.dumps(values)}" for name, values in defaults().items())
    print("{\n" + ",\n".join(lines) + "\n}")
