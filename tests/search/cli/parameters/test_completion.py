"""A shell completes names, the parts before them left as they are, without importing PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attenergy.search.cli.parameters import completion

ASK = "import sys; from attenergy.search.cli import main; sys.argv = ['attenergy']; main()"


def completed(words: str, cwd: Path | None = None) -> list[str]:
    """What bash would offer for the last word."""
    variables = {
        "_ATTENERGY_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK], env={**os.environ, **variables}, cwd=cwd, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.long
def test_options_and_arguments_complete_in_a_shell(tmp_path: Path) -> None:
    assert "raven-small" in completed("attenergy search --task raven")
    assert completed("attenergy energies show zero_s") == ["zero_sink"]
    study = tmp_path / "runs" / "evening"
    study.mkdir(parents=True)
    (study / "records.jsonl").touch()
    assert completed("attenergy report ev", cwd=tmp_path) == ["evening"]
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    assert completed("attenergy export --folder elsewhere ev", cwd=tmp_path) == ["evening"]


@pytest.mark.parametrize(
    ("completer", "typed", "word"),
    [
        (completion.complete_layers, "lse,zero_s", "lse,zero_sink"),
        (completion.complete_layers, "hyla+rb", "hyla+rbm"),
        (completion.complete_layers, "softm", "softmax"),
        (completion.complete_energy, "sparse", "sparsemax"),
        (completion.complete_task, "latch,raven-s", "latch,raven-small"),
        (completion.complete_bundle, "smo", "smoke"),
        (completion.complete_explanation, "formula-n", "formula-name"),
    ],
)
def test_a_name_is_completed(completer: completion.Completer, typed: str, word: str) -> None:
    assert word in completer(typed)
    assert completer(f"{typed}-no-such-name") == []


def test_a_mixer_is_no_energy() -> None:
    assert completion.complete_energy("softm") == []


def test_no_folder_of_studies_completes_nothing(tmp_path: Path) -> None:
    assert completed("attenergy report ", cwd=tmp_path) == []


def test_completion_does_not_import_torch() -> None:
    code = (
        "import sys; from attenergy.search.cli.parameters.completion import complete_layers as c; "
        "assert c('ls') and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
