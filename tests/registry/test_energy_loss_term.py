from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from attenergy.registry import RegistryError, TrainingSpec, load_registry


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("minimise: 0.010", "minimise:0.01"),
        ({"kind": "contrast", "weight": 1}, "contrast:1"),
        ({"weight": 0.123456789, "kind": "minimise"}, "minimise:0.123456789"),
        ("contrast-1e-3", "contrast:0.001"),
        (None, "none"),
        ("minimise:0", "none"),
    ],
)
def test_a_term_has_one_way_to_be_written(given: Any, shown: str) -> None:
    training = TrainingSpec(steps=1, energy_loss=given)
    assert training.energy_loss == shown
    assert str(training.energy_term or "none") == shown
    assert TrainingSpec.model_validate(training.model_dump()) == training


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("minimize:0.1", "did you mean 'minimise'?"),
        ({"kind": "contrasts", "weight": 1}, "did you mean 'contrast'?"),
        ("minimise", "WEIGHT a number from 0"),
        ("contrast:-1", "WEIGHT a number from 0"),
        ("contrast:nan", "WEIGHT a number from 0"),
        ({"kind": "contrast", "weight": True}, "WEIGHT a number from 0"),
        ({"kind": "contrast", "weight": 1, "more": 2}, "{kind: KIND, weight: WEIGHT}"),
        (3, "none, KIND:WEIGHT"),
    ],
)
def test_what_is_no_term_is_refused(given: Any, hint: str) -> None:
    with pytest.raises(ValidationError) as error:
        TrainingSpec(steps=1, energy_loss=given)
    assert hint in str(error.value)


def test_a_registry_file_gives_a_task_its_term(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    entry = (
        "version: 1\ntasks:\n  mine:\n    title: Mine\n    class: StackedRecall\n    model: {}\n"
        "    training: {steps: 1, energy_loss: {kind: %s, weight: 0.5}}\n"
    )
    file.write_text(entry % "contrast")
    assert load_registry(file, plugins=False).task("mine").training.energy_loss == "contrast:0.5"
    file.write_text(entry % "contrst")
    with pytest.raises(RegistryError) as error:
        load_registry(file, plugins=False)
    text = str(error.value)
    assert "my.yaml:7:" in text
    assert "tasks.mine.training.energy_loss" in text
    assert "did you mean 'contrast'?" in text
