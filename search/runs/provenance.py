"""The circumstances of a run, and the record of a run that could not even be made."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.failures import clean

Purpose = Literal["trial", "final", "compare"]


def now() -> str:
    """Return the present moment, ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    packages = {name: metadata.version(name) for name in ("torch", "optuna", "attenergy")}
    return {"python": platform.python_version(), **packages}


def machine() -> dict[str, str]:
    """Describe the kind of machine, without anything that names this one."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count() or 1),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def retried(record: RunRecord, deaths: Sequence[str]) -> RunRecord:
    """The record of a run, with what became of the workers that had it before."""
    if not deaths:
        return record
    facts = "; ".join(filter(None, [f"retried once: {deaths[0]}", record.reason]))
    return record.model_copy(update={"reason": clean(facts)})


def with_deaths(reason: str, deaths: Sequence[str]) -> str:
    """Why a run failed, and what became of the worker that had it before."""
    return f"{reason}; retried once: {deaths[0]}" if deaths else reason


def lost(config: RunConfig, purpose: Purpose, deaths: Sequence[str]) -> RunRecord:
    """The record of a run that has cost two workers."""
    return failed(config, purpose, with_deaths(deaths[1], deaths))


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
