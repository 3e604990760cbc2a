"""`attenergy doctor` tells what is there, what is missing, and what is too old."""

from __future__ import annotations

import json
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from attenergy.search.cli import doctor
from attenergy.search.cli.app import app

ROOT = Path(__file__).parents[3]


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *words])


def test_every_extra_is_explained() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(doctor.EXTRAS) == set(settings["project"]["optional-dependencies"])


def test_a_whole_installation_is_well() -> None:
    result = run("--format", "json")
    assert result.exit_code == 0, result.output
    lines = {line["name"]: line for line in json.loads(result.stdout)}
    assert lines["torch"] | {"text": metadata.version("torch")} == lines["torch"]
    assert {line["state"] for line in lines.values()} <= {"good", "missing"}
    assert {"python", "cores", "GPU", "hf", "report"} <= set(lines)
    assert run().stdout.startswith("All that attenergy needs is there")


def test_what_is_too_old_or_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "lark":
            raise metadata.PackageNotFoundError(name)
        return {"optuna": "4.9.0", "matplotlib": "3.1"}.get(name) or real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    result = run()
    assert result.exit_code == 1
    assert result.stdout.startswith("2 to mend: optuna, lark\n")
    assert "!! optuna" in result.stdout
    assert "4.9.0, but >=5.0 is needed" in result.stdout
    assert "missing: pip install 'lark>=" in result.stdout
    lines = {line.name: line for line in doctor.findings()}
    assert lines["report"].state == "missing"
    assert "without matplotlib: pip install 'attenergy[report]'" in lines["report"].text


def test_a_machine_without_some_numbers_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(doctor.os, "sysconf", lambda _: (_ for _ in ()).throw(ValueError))
    lines = {line.name: line for line in doctor.findings()}
    assert "memory" not in lines
    assert "does nothing" in lines["allocator"].text
    assert doctor.usable_cores() >= 1
