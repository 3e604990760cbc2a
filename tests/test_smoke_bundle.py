"""The bundle `smoke` tells variants apart, in the order that is known for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attenergy.search.cli.app import app

pytestmark = pytest.mark.slow

VARIANTS = "softmax,linear,squared_kernel,window,mean"


def test_the_known_order_of_five_variants(tmp_path: Path) -> None:
    command = ["compare", "--bundle", "smoke", "--variants", VARIANTS, "--workers", "2"]
    result = CliRunner().invoke(app, [*command, "--folder", str(tmp_path), "--plain"])
    assert result.exit_code == 0, result.output
    matrix = json.loads((tmp_path / "compare-smoke" / "matrix.json").read_text())
    scores = {
        column["name"]: {v: interval["mean"] for v, interval in column["scores"].items()}
        for column in matrix["columns"]
    }
    retrieval, bags, recall = (scores[n] for n in ("retrieval", "mil", "stacked-recall-small"))
    # An exponential memory holds more than a cubic one, that more than a quadratic one.
    assert retrieval["softmax"] > retrieval["squared_kernel"] > retrieval["linear"]
    assert retrieval["softmax"] > retrieval["window"] > retrieval["mean"]
    # A mean over a bag hides the one signal in it.
    assert bags["softmax"] > 0.9
    assert bags["mean"] < bags["softmax"] - 0.1
    # The sharper the weights, the better a key is found among sixteen.
    assert recall["softmax"] > 0.95
    assert recall["softmax"] > recall["linear"] > recall["mean"]
    assert recall["squared_kernel"] > recall["linear"]
    assert recall["mean"] < 0.15
