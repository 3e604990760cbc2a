"""Reading files that somebody else may have written, and writing whole ones or none.

And the files that a registry is read from: built-in, of installed plug-ins, of the user.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from io import BufferedReader
from pathlib import Path

from attenergy.registry.errors import Place, Problem, RegistryError, nearest
from attenergy.registry.plugins import load_plugins

MAX_BYTES = 500_000


def open_regular(path: Path, *, within: Path | None = None) -> BufferedReader:
    """Open a file for reading bytes if it is a regular one; a pipe or a device may never end.

    Args:
        path: the file; a link to one is followed.
        within: a folder that the file, all links followed, must lie in.

    Raises:
        OSError: it cannot be opened, is no regular file, or lies elsewhere.
    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "holds a character that no path can", str(path))
    if within is not None and not path.resolve().is_relative_to(within.resolve()):
        raise OSError(errno.EPERM, f"leads out of {within}", str(path))
    # Opening a pipe waits for a writer, but for this flag.
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        return open(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_regular(path: Path, most: int, *, within: Path | None = None) -> bytes:
    """The bytes of a regular file, if there are at most so many.

    Raises:
        OSError: as `open_regular` says, or it is larger.
    """
    with open_regular(path, within=within) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"is larger than {most} bytes, the limit", str(path))
    return content


def write_atomically(path: Path | str, text: str) -> None:
    """Write a text file so that readers and crashes see the old text or the new, never a part."""
    write_bytes_atomically(path, text.encode())


def write_bytes_atomically(path: Path | str, data: bytes) -> None:
    """The same for bytes."""
    path = Path(path)
    refuse_folder(path)
    temporary = path.with_name(f".{path.name[:64]}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # a crash's, or a link that somebody put there
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:  # of the temporary file, whose name means nothing to a user
        if error.strerror is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def refuse_folder(path: Path) -> None:
    """Raise IsADirectoryError where a file is to be written and a folder is."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, name a file", str(path))


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
        reason = _missing(source) if isinstance(error, FileNotFoundError) else error.strerror
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


def _missing(source: Source) -> str:
    """That there is no such file, and the YAML file beside it whose name is nearest."""
    path = Path(source.file)
    with suppress(OSError):
        beside = [each.name for each in path.parent.iterdir() if each.suffix in {".yaml", ".yml"}]
        if hint := nearest(path.name, beside):
            return f"no such file; {hint}"
    return "no such file"


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
