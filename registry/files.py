"""Reading files that somebody else may have written, and writing whole ones or none."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from io import BufferedReader
from pathlib import Path


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
