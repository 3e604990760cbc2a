"""The C library's allocator, which on a CPU can cost more time than the arithmetic."""

from __future__ import annotations

import ctypes
import platform

# <malloc.h>: blocks above MMAP_THRESHOLD are mapped afresh each time, and freed memory above
# TRIM_THRESHOLD goes back to the system; both then cost a page fault per 4 kB at the next use.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1


def tune_cpu() -> bool:
    """Keep freed memory in the process, so that large tensors are not mapped anew every time.

    Off unless called; holds for the whole process until it ends. Steps that write out the scores of
    thousand patterns and more get two to four times faster, small ones do not change; the process
    keeps its high-water mark of memory. In a comparison, call it for both sides or for none.

    Returns:
        Whether it applied; False on systems without glibc, where nothing is done.

    Example:
        >>> isinstance(attenergy.tune_cpu(), bool)  # False where the system has no such setting
        True
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    done = [mallopt(option, _NEVER) for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD)]
    return done == [1, 1]
