"""Runs on a GPU: they learn what they learn on the CPU, stop and go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from attenergy.search.training.train import train
from tests.search.training.conftest import STEPS, Run

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("variant", ["softmax", "lse", "rbm", "hyla"])
def test_a_run_has_the_curve_of_the_cpu(
    make_run: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
    optimizer: str,
) -> None:
    config = make_run(variant, optimizer=optimizer, dropout=0.0).config
    there = train(config)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here = train(config)
    assert there.status == here.status == "complete", there.reason
    assert there.machine["device"] != "cpu" == here.machine["device"]
    # Muon takes its steps in bfloat16.
    error = 2e-2 if optimizer == "muon" else 1e-3
    for mine, theirs in zip(there.curve, here.curve, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=error)
        assert mine["valid_loss"] == pytest.approx(theirs["valid_loss"], rel=error)


def test_precision_of_bfloat16(make_run: Callable[..., Run]) -> None:
    record = train(make_run("lse", precision="bfloat16", optimizer="muon").config)
    assert record.status == "complete", record.reason


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_goes_on_from_its_checkpoint(make_run: Callable[..., Run], optimizer: str) -> None:
    run = make_run(optimizer=optimizer, dropout=0.0)
    whole = train(run.config)
    run.stop_after(4)
    record = run.train("continued")
    assert record.continued == (4,)
    assert record.status == whole.status == "complete", record.reason
    assert record.curve[-1]["step"] == STEPS
    assert record.curve[-1]["loss"] == pytest.approx(whole.curve[-1]["loss"], rel=1e-3)
    assert not [text for text in run.messages if "passed over" in text]
