"""Plug-ins: installed packages, or modules that a user names, with code and registry files.

An installed plug-in is an entry point `name = package.module:ATTRIBUTE` of the group
`attenergy.registries`. A named one is a module on Python's path, given with `--plugin`, in the
variable `ATTENERGY_PLUGINS` (commas between names) or to `load_plugins`. Either is imported, which
registers what its code registers; the attribute, `REGISTRY` if none is named, says where its
registry files are. One that fails is warned about and left out, with all that it had registered.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache, reduce
from importlib import import_module, invalidate_caches, metadata
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

from attenergy.registry.errors import ArgumentError

GROUP = "attenergy.registries"
VARIABLE = "ATTENERGY_PLUGINS"
_ATTRIBUTE = "REGISTRY"
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*)?")


class PluginWarning(UserWarning):
    """A plug-in that is left out, by name, and why.

    Example:
        >>> str(PluginWarning("my_package is left out: it has no such module"))[:10]
        'my_package'
    """


@dataclass(frozen=True)
class Plugin:
    """Where a plug-in comes from.

    Args:
        name: of the entry point, or of the module as it was given.
        target: what is imported, `module` or `module:ATTRIBUTE`.
        distribution: name of the installed package, empty for a module that was named.
        version: of the distribution.
        place: folder that the distribution is installed in.
    """

    name: str
    target: str
    distribution: str = ""
    version: str = ""
    place: str = ""

    @property
    def module(self) -> str:
        """The module that is imported."""
        return self.target.partition("[")[0].partition(":")[0].strip()

    @property
    def package(self) -> str:
        """Name of the installed package, or else of the module's topmost package."""
        return self.distribution or _owner(self.module)[0]

    @property
    def release(self) -> str:
        """Version of the package; empty if it has none."""
        return self.version if self.distribution else _owner(self.module)[1]

    def __str__(self) -> str:
        if not self.distribution:
            return f"plug-in {self.target!r}"
        owner = f"{self.distribution} {self.version}"
        return f"plug-in {self.name!r} ({self.target}) of the distribution {owner}"


class _State:
    """The plug-ins of this process: named, loaded with their files, failed with the reason."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.named: dict[str, None] = {}  # in order
        self.files: dict[Plugin, tuple[Traversable, ...]] = {}
        self.failures: dict[Plugin, str] = {}
        self.loading: Plugin | None = None
        self.undo: list[Callable[[], object]] = []


_STATE = _State()


def _owner(module: str) -> tuple[str, str]:
    """Name and version of the distribution that a module belongs to, or what it says itself."""
    top = module.partition(".")[0]
    try:
        name = _distributions(tuple(sys.path))[top][0]
        return name, metadata.version(name)
    except Exception:  # no distribution, or a broken one
        version = getattr(sys.modules.get(top), "__version__", "")
        return top, version if isinstance(version, str) else ""


@lru_cache(maxsize=1)
def _distributions(path: tuple[str, ...]) -> Mapping[str, list[str]]:
    """Distributions by the modules in them; looking takes seconds, and every run asks for them."""
    return metadata.packages_distributions()


def name_plugins(modules: Iterable[str]) -> None:
    """Let modules be plug-ins of this process; they are imported when a registry is read.

    One that failed before is tried again.

    Raises:
        ArgumentError: a text that is no name of a module.

    Example:
        >>> try:
        ...     name_plugins(["not a module"])
        ... except ArgumentError as error:
        ...     print("name of a module" in str(error))
        True
    """
    for module in modules:
        if not isinstance(module, str) or not is_module_name(module):
            raise ArgumentError(
                f"a plug-in is the name of a module on Python's path, such as my_package or "
                f"my_package.part, got {module!r}",
                topic="plug-in",
            )
        _STATE.named[module] = None
        _STATE.failures.pop(Plugin(module, module), None)


def is_module_name(text: str) -> bool:
    """Whether a text looks like `package.module` or `package.module:ATTRIBUTE`."""
    return _NAME.fullmatch(text) is not None


def load_plugins(*modules: str) -> dict[Plugin, tuple[Traversable, ...]]:
    """Import every plug-in, installed or named, that this process has not imported yet.

    What a plug-in prints goes to the error stream. A plug-in that fails in any way, `SystemExit`
    included, costs a `PluginWarning`.

    Args:
        modules: names of further modules that are plug-ins from now on.

    Returns:
        The plug-ins that are loaded, installed ones first, and the registry files of each.

    Raises:
        ArgumentError: a text that is no name of a module.

    Example:
        >>> plugins = attenergy.load_plugins()  # those that are installed, and named so far
        >>> all(plugin.module for plugin in plugins)
        True
    """
    name_plugins(modules)
    with _STATE.lock:
        known = _known()
        if _STATE.loading is None:  # else a plug-in asks for a registry while it is imported
            for plugin in known:
                if plugin not in _STATE.files and plugin not in _STATE.failures:
                    _load(plugin)
                if plugin in _STATE.failures:
                    leave_out(str(plugin), _STATE.failures[plugin])
        return {plugin: _STATE.files[plugin] for plugin in known if plugin in _STATE.files}


def loaded_plugin(module: str) -> Plugin | None:
    """The plug-in, installed or named, whose code is this module; imported if it was not yet."""
    return next((plugin for plugin in load_plugins() if plugin.module == module), None)


def search_folder(modules: Iterable[str], folder: Path) -> None:
    """Let modules that a user names be imported from a folder, if they are nowhere else.

    The folder goes to the end of Python's path, so that nothing in it hides anything.
    """
    for module in modules:
        top = module.partition(":")[0].partition(".")[0]
        if str(folder) not in sys.path and _lies_in(folder, top) and not _is_on_path(top):
            sys.path.append(str(folder))


def leave_out(label: str, reason: str) -> None:
    """Warn that a plug-in is not read: it must not keep the rest from working."""
    warnings.warn(f"{label} is left out: {reason}", PluginWarning, stacklevel=3)


def failures() -> list[str]:
    """What plug-ins of this process were left out, and why, a sentence each."""
    return [
        f"{plugin} is left out: {_STATE.failures[plugin]}"
        for plugin in _known()
        if plugin in _STATE.failures
    ]


def named_plugins() -> tuple[str, ...]:
    """Modules that were named in this process or by the variable `ATTENERGY_PLUGINS`.

    Example:
        >>> isinstance(named_plugins(), tuple)
        True
    """
    given = os.environ.get(VARIABLE, "").split(",")
    return tuple(dict.fromkeys([*_STATE.named, *filter(None, map(str.strip, given))]))


def loading() -> Plugin | None:
    """The plug-in that is being imported."""
    return _STATE.loading


def undo_on_failure(undo: Callable[[], object]) -> None:
    """Have something undone if the plug-in that is being imported fails; else nothing."""
    if _STATE.loading is not None:
        _STATE.undo.append(undo)


def _known() -> list[Plugin]:
    points = sorted(metadata.entry_points(group=GROUP), key=lambda p: (p.name, p.value))
    plugins = [_installed(point) for point in points]
    modules = {plugin.module for plugin in plugins}
    plugins += [Plugin(name, name) for name in named_plugins() if name not in modules]
    return list(dict.fromkeys(plugins))


def _installed(point: metadata.EntryPoint) -> Plugin:
    owner = point.dist
    if owner is None:
        return Plugin(point.name, point.value, "unknown")
    return Plugin(point.name, point.value, owner.name, owner.version, str(owner.locate_file("")))


def _load(plugin: Plugin) -> None:
    _STATE.loading, _STATE.undo = plugin, []
    try:
        with ExitStack() as if_it_fails:
            if_it_fails.enter_context(warnings.catch_warnings())  # its filters go, too
            with redirect_stdout(sys.stderr):  # a command may be writing JSON
                _STATE.files[plugin] = tuple(map(_file, _listed(_imported(plugin))))
            if_it_fails.pop_all()
    except KeyboardInterrupt:
        _undo()
        raise
    except BaseException as error:  # foreign code may fail in any way, SystemExit among them
        _undo()
        _STATE.failures[plugin] = _reason(error, plugin)
    finally:
        _STATE.loading, _STATE.undo = None, []


def _undo() -> None:
    for undo in reversed(_STATE.undo):
        undo()


def _imported(plugin: Plugin) -> object:
    """Import the module; return what its attribute says of registry files, or nothing."""
    if not _NAME.fullmatch(plugin.target.replace(" ", "").partition("[")[0]):
        raise _Unusable(f"{plugin.target!r} is not the name of a module such as my_package")
    module = import_module(plugin.module)
    attribute = plugin.target.partition(":")[2].partition("[")[0].strip()
    if not attribute:
        return getattr(module, _ATTRIBUTE, ())
    return reduce(getattr, attribute.split("."), module)


def _listed(content: object) -> Iterable[object]:
    return content if isinstance(content, (tuple, list)) else (content,)


def _file(content: object) -> Traversable:
    if isinstance(content, str):
        content = Path(content)
    if not isinstance(content, Traversable):
        raise _Unusable(f"must be the path of a YAML file, got {type(content).__name__}")
    if isinstance(content, Path) and "\0" in str(content):
        raise _Unusable(f"{str(content)!r} is no path: it holds a null byte")
    if isinstance(content, Path) and not content.is_absolute():
        raise _Unusable(f"is a relative path ({content}); write Path(__file__).parent / ...")
    return content


class _Unusable(ValueError):
    """A plug-in that names no module or no file."""


def _reason(error: BaseException, plugin: Plugin) -> str:
    if isinstance(error, _Unusable):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name == plugin.module.partition(".")[0]:
        return f"there is no module {error.name!r} on Python's path{_here(error.name)}"
    try:
        text = " ".join(str(error).split())
    except Exception:  # foreign code again
        text = ""
    return f"cannot be loaded: {type(error).__name__}{f': {text}' if text else ''}"


def _here(module: str) -> str:
    """A hint for a module that lies in the working folder, which is not looked through."""
    if _lies_in(Path(), module):
        return "; it lies in this folder, which is not searched: install it, or set PYTHONPATH=."
    return ""


def _lies_in(folder: Path, module: str) -> bool:
    return any((folder / f"{module}{end}").exists() for end in ("", ".py"))


def _is_on_path(module: str) -> bool:
    invalidate_caches()
    return module in sys.modules or find_spec(module) is not None
