"""Tuning the C library's allocator: applied in a process of its own, which ends with the test."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from attenergy.attention.gradients import allocator

#: Page faults of filling 64 MB ten times; the module's own file, so that no torch is imported.
_FAULTS = """
import resource, runpy, sys
tune_cpu = runpy.run_path(sys.argv[1])["tune_cpu"]
applied = tune_cpu() if sys.argv[2] == "on" else None
size = 2**26
b"x" * size
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    b"x" * size
print(applied, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_large_tensors_are_mapped_once():
    page_faults = {}
    for switch in ("off", "on"):
        command = [sys.executable, "-c", _FAULTS, allocator.__file__, switch]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert out[0] == {"on": "True", "off": "None"}[switch]
        page_faults[switch] = int(out[1])
    assert page_faults["on"] < page_faults["off"] / 10


@pytest.mark.parametrize("broken", ["other library", "no symbols", "no mallopt", "refused"])
def test_elsewhere_nothing_is_done(broken, monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.0"))
    if broken == "other library":
        monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
        monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("not to be asked"))
    elif broken == "no symbols":

        def fail(name):
            raise OSError

        monkeypatch.setattr(ctypes, "CDLL", fail)
    elif broken == "no mallopt":
        monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    else:
        library = type("Library", (), {"mallopt": staticmethod(lambda option, value: 0)})
        monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert allocator.tune_cpu() is False
