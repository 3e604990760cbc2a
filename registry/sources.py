"""The files that a registry is read from: built-in, of installed plug-ins, of the user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from attenergy.registry.errors import Place, Problem, RegistryError
from attenergy.registry.plugins import load_plugins

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


def plugin_sources() -> Iterator[Source]:
    """The registry files of every plug-in, installed or named; see `load_plugins`."""
    for plugin, files in load_plugins().items():
        for content in files:
            yield Source(str(content), content, str(plugin))


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
    return RegistryError(
        [Problem(Place(file=source.file, line=line, column=column), "", message, topic="file")]
    )
