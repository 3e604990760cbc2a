"""`docs/own_model.md` and its example do what they say, from a folder outside of the checkout."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from attenergy.search.cli.app import app
from attenergy.search.runs.records import read_records

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "own_model.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:`(\S+)`:\n\n)?```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)
FILES = {file: text for file, _, text in BLOCKS if file}
COMMANDS = [line for _, kind, text in BLOCKS if kind == "console" for line in text.splitlines()]
Write = Callable[[str, str], None]


def call(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_the_page_on_models_tells_the_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_module: Write
) -> None:
    """Its files are written down, its commands are typed, what it loads answers."""
    assert len(FILES) == 2
    assert len(COMMANDS) == 5
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    own_module("unrelated", "")  # and forgets what the page names
    for file, text in FILES.items():
        monkeypatch.delitem(sys.modules, file.removesuffix(".py"), raising=False)
        Path(file).write_text(text, encoding="utf-8")
    for line in COMMANDS:
        result = call(*shlex.split(line)[1:])
        assert result.exit_code == 0, f"{line}: {result.stderr} {result.output}"
    records = read_records(Path("runs/latch"))
    assert {record.status for record in records} == {"complete"}
    assert {record.config.own_model.build for record in records if record.config.own_model} == {
        "my_model:build"
    }
    (code,) = (text for file, kind, text in BLOCKS if kind == "python" and not file)
    names: dict[str, torch.nn.Module] = {}
    exec(code, names)  # noqa: S102 - the page is ours
    assert names["model"](torch.zeros(1, 20, dtype=torch.int64)).shape == (1, 1, 2)
    assert names["layer"](torch.zeros(1, 20, 32)).shape == (1, 20, 32)
    encoder = {r.config.variant for r in read_records(Path("runs/encoder"))}
    assert encoder == {"softmax", "lse", "rbm"}


def test_the_example_predicts_the_same_in_another_process(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "searched_model.py", tmp_path)
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), "")))
    done = subprocess.run(
        [sys.executable, "searched_model.py"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    here, there = done.stdout.splitlines()[-2:]
    values = [json.loads(line.split(maxsplit=1)[1]) for line in (here, there)]
    assert values[0] == values[1]
    assert torch.tensor(values[0]).isfinite().all()
