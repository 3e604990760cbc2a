"""Analyses one after another: what is finished is there, and is not done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("matplotlib")

from attenergy.analysis import Subject
from attenergy.attention import EnergyAttention, Transformer
from attenergy.registry import ArgumentError, UnknownName
from attenergy.search.analyses.series import Outcome, analyse, choose, fingerprint


def subject(name: str = "it", seed: int = 0) -> Subject:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Transformer(
            outputs=3,
            layers=2,
            width=8,
            heads=2,
            mlp=0,
            positions="none",
            make_layer=lambda: EnergyAttention(8, 2),
            kind="vector",
            size=4,
            length=6,
        )
        return Subject(model.eval(), name, [((torch.randn(2, 6, 4),), {})])


def done(outcomes: list[Outcome]) -> dict[str, bool]:
    return {o.kind.name: o.result is not None for o in outcomes}


def test_every_analysis_that_fits_is_done_and_saved(examples: Any, tmp_path: Path) -> None:
    outcomes = list(analyse(subject(), choose((), {}), tmp_path, about={"run": "abc"}))
    assert done(outcomes) == dict.fromkeys(("failing", "needy", "refusing"), False) | {
        "entropies": True
    }
    reasons = {o.kind.name: o.reason for o in outcomes}
    assert "before training" in reasons["needy"]
    assert reasons["refusing"] == "its layers have no states"
    saved = json.loads((tmp_path / "entropies.json").read_text())
    assert saved["about"]["run"] == "abc"
    assert saved["about"]["settings"] == {"scale": 1.0}
    assert set(saved["numbers"]["entropy"]) == {"blocks.0.mixer", "blocks.1.mixer"}


@pytest.mark.long
def test_what_is_there_is_not_done_again(examples: Any, tmp_path: Path) -> None:
    choices = choose(["entropies"], {})
    (first,) = analyse(subject(), choices, tmp_path)
    (second,) = analyse(subject(), choices, tmp_path)
    assert (first.earlier, second.earlier, examples.count) == (False, True, 1)
    assert second.result is not None
    assert second.result.sentence == "The weights of 2 layers were read."
    assert second.result.tables[0].header == ["layer", "nats"]
    for change in (
        {"subject": subject(seed=1)},
        {"choices": choose(["entropies"], {"entropies.scale": 2})},
        {"force": True},
    ):
        before = examples.count
        arguments: dict[str, Any] = {"subject": subject(), "choices": choices, "folder": tmp_path}
        list(analyse(**{**arguments, **change}))
        assert examples.count == before + 1


@pytest.mark.parametrize("damage", ["entropies.json", "entropies-bars.svg"])
def test_what_is_damaged_is_done_again(examples: Any, tmp_path: Path, damage: str) -> None:
    list(analyse(subject(), choose(["entropies"], {}), tmp_path))
    path = tmp_path / damage
    path.write_text("{") if damage.endswith("json") else path.unlink()
    (outcome,) = analyse(subject(), choose(["entropies"], {}), tmp_path)
    assert not outcome.earlier


def test_a_crash_costs_the_others_nothing(examples: Any, tmp_path: Path) -> None:
    examples.error = ZeroDivisionError("by design")
    outcomes = list(analyse(subject(), choose((), {}), tmp_path))
    assert [outcome.bug for outcome in outcomes] == [examples.error, None, None, None]
    assert "by design" in outcomes[0].reason
    assert done(outcomes)["entropies"]


def test_an_interrupt_keeps_what_is_finished(examples: Any, tmp_path: Path) -> None:
    examples.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        list(analyse(subject(), choose(["entropies", "failing"], {}), tmp_path))
    assert (tmp_path / "entropies.json").is_file()


def test_names_and_options_are_checked_before_anything_is_done(examples: Any) -> None:
    with pytest.raises(UnknownName, match="did you mean 'entropies'"):
        choose(["entropie"], {})
    with pytest.raises(UnknownName, match="did you mean 'scale'"):
        choose((), {"entropies.scal": 1})
    with pytest.raises(UnknownName, match="no analysis 'entropy'"):
        choose((), {"entropy.scale": 1})
    with pytest.raises(UnknownName, match=r"entropies\.scale is set"):
        choose(["refusing"], {"entropies.scale": 1})
    with pytest.raises(ArgumentError, match=r"entropies\.scale must be at least 0, got -1"):
        choose((), {"entropies.scale": -1})


def test_a_fingerprint_tells_models_inputs_and_names_apart() -> None:
    first = subject()
    assert fingerprint(first) == fingerprint(subject())
    assert fingerprint(first) != fingerprint(subject(seed=1))
    assert fingerprint(first) != fingerprint(subject("other"))
    first.model.blocks[0].mixer.steps = 3  # no tensor says so
    assert fingerprint(first) != fingerprint(subject())
