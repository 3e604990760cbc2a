"""The circumstances of a run, and the record of a run that could not even be made."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from attenergy.search.runs.config import RunConfig, RunRecord

Purpose = Literal["trial", "final", "compare"]


def now() -> str:
    """Return the present moment, ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    packages = {name: _version(name) for name in ("torch", "optuna", "attenergy")}
    return {"python": platform.python_version(), **packages}


@cache  # it reads a file, which takes longer than a short run
def _version(name: str) -> str:
    return metadata.version(name)


def machine() -> dict[str, str]:
    """Describe the kind of machine, without anything that names this one."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count() or 1),
    }


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def failed(config: RunConfig, purpose: Purpose, reason: str) -> RunRecord:
    """Make the record of a run that ended without a result, and say why."""
    return RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status="failed",
        reason=reason,
        versions=versions(),
        machine=machine(),
        started=now(),
        purpose=purpose,
    )
