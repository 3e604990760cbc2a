"""The files that a registry is read from: built-in, of installed plug-ins, of the user."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

from attenergy.registry.errors import Place, Problem, RegistryError

PLUGIN_GROUP = "attenergy.registries"
MAX_BYTES = 500_000


@dataclass(frozen=True)
class Source:
    """A registry file: the name that errors give it, where its bytes are, and whose it is."""

    file: str
    content: Traversable
    plugin: str = ""

    @property
    def identity(self) -> str:
        """Equal for two names of the same file on disk."""
        return str(self.content.resolve() if isinstance(self.content, Path) else self.content)


def builtin_source() -> Source:
    """The toolkit's own `registry.yaml`, from the installed package or the repository."""
    packaged = resources.files("attenergy") / "data" / "registry.yaml"
    if packaged.is_file():
        return Source(str(packaged), packaged)
    beside = Path(__file__).resolve().parents[1] / "registry.yaml"
    return Source(str(beside), beside)


def user_source(path: str | os.PathLike[str]) -> Source:
    """A file of the user, named in errors as the user wrote it."""
    return Source(os.fspath(path), Path(path))


def plugin_modules() -> tuple[str, ...]:
    """Modules of the installed plug-ins: where a `class` of their entries is looked for."""
    return tuple(dict.fromkeys(point.module for point in _entry_points()))


class PluginWarning(UserWarning):
    """A plug-in that is left out, by name, and why."""


def plugin_sources() -> Iterator[Source]:
    """The registry file of every installed plug-in; a plug-in that has none is warned about.

    A plug-in is an entry point `name = package.module:attribute` of the group
    `attenergy.registries`. The attribute is the absolute path of a YAML file, a text or a path
    object such as `Path(__file__).parent / "energies.yaml"`.
    """
    for point in _entry_points():
        owner = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
        label = f"plug-in {point.name!r} ({point.value}) of the distribution {owner}"
        try:
            content = _plugin_content(point)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # foreign code may fail in any way, SystemExit among them
            leave_out(label, _reason(error))
        else:
            yield Source(str(content), content, label)


def leave_out(label: str, reason: str) -> None:
    """Warn that a plug-in is not read: it must not keep the rest from working."""
    warnings.warn(f"{label} is left out: {reason}", PluginWarning, stacklevel=2)


def _plugin_content(point: metadata.EntryPoint) -> Traversable:
    content = point.load()
    if isinstance(content, str):
        content = Path(content)
    if not isinstance(content, Traversable):
        raise _NoFile(f"must be the path of a YAML file, got {type(content).__name__}")
    if isinstance(content, Path) and not content.is_absolute():
        raise _NoFile(f"is a relative path ({content}); write Path(__file__).parent / ...")
    return content


class _NoFile(ValueError):
    """A plug-in that names no file."""


def _reason(error: BaseException) -> str:
    if isinstance(error, _NoFile):
        return str(error)
    try:
        text = " ".join(str(error).split())
    except Exception:  # foreign code again
        text = ""
    return f"cannot be loaded: {type(error).__name__}{f': {text}' if text else ''}"


def _entry_points() -> list[metadata.EntryPoint]:
    return sorted(metadata.entry_points(group=PLUGIN_GROUP), key=lambda p: (p.name, p.value))


def read_text(source: Source, what: str = "a registry") -> str:
    """The text of a file (UTF-8, at most 500 kB).

    Args:
        source: the file.
        what: what it is, in errors.

    Raises:
        RegistryError: the file is missing, unreadable, too large or not UTF-8.
    """
    try:
        content = _read_bytes(source.content)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise _refusal(source, f"cannot be read: {reason or error}") from error
    if len(content) > MAX_BYTES:
        raise _refusal(source, f"larger than {MAX_BYTES} bytes, the limit for {what} file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        message = f"not UTF-8 text (byte 0x{content[error.start]:02x})"
        raise _refusal(source, message, line, column) from error


def _read_bytes(content: Traversable) -> bytes:
    if content.is_dir():
        raise IsADirectoryError(0, "it is a directory")
    if isinstance(content, Path) and content.exists() and not content.is_file():
        raise OSError(0, "it is no regular file")  # a pipe or device could block for ever
    with content.open("rb") as stream:
        return bytes(stream.read(MAX_BYTES + 1))


def _refusal(source: Source, message: str, line: int = 1, column: int = 1) -> RegistryError:
    return RegistryError([Problem(Place(file=source.file, line=line, column=column), "", message)])
