"""A study of a discovery that is somebody else's, damaged, or of another version."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import Registry
from attenergy.search.discovery.run import run_discovery
from attenergy.search.runs.errors import StudyMismatch
from attenergy.search.runs.events import Listener
from attenergy.search.runs.plugin_needs import MissingPlugin
from tests.search.discovery.conftest import DiscoverPlanMaker

ABSENT = object()
TRIALS: list[tuple[str, Any, str]] = [
    ("formula", "0.5*|xi|^2 - gone(X @ xi)", "unknown function 'gone'"),
    ("formula", "<script>", "unexpected character"),
    ("formula", "+".join(["lse(X @ xi)"] * 400), "characters"),
    ("formula", 5, "formula: Input should be a valid string"),
    ("arm", "king", "arm: "),
    ("parents", ["1"], "parents.0"),
    ("fingerprint", None, "fingerprint: "),
    ("fingerprint", {"values": [float("nan")], "niche": []}, "fingerprint.values.0"),
    ("rejected", {"types": 5}, "rejected.types"),
    ("screened", "1", "screened: "),
    ("bar", "1", "bar: "),
    ("bar", ABSENT, "bar: Field required"),
    ("result", [], "result: "),
    ("result", {"scores": {"denoising": "1"}}, "result.scores.denoising"),
    (
        "result",
        {"scores": {"gone": 1}, "settings": {}, "cost": 1, "seconds": 1, "runs": []},
        "no rung 'gone'",
    ),
]


def change(database: Path, owner: str, name: str, value: Any) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        if value is ABSENT:
            connection.execute(f"DELETE FROM {owner}_user_attributes WHERE key = ?", (name,))
        else:
            changed = f"UPDATE {owner}_user_attributes SET value_json = ? WHERE key = ?"
            connection.execute(changed, (json.dumps(value), name))


@pytest.mark.long
@pytest.mark.usefixtures("instant", "no_page")
def test_what_no_discovery_writes_is_refused_in_a_sentence(
    built_in: Registry, make_discovery: DiscoverPlanMaker
) -> None:
    plan = make_discovery(candidates=1, seed_energies=())
    run_discovery(plan, built_in, Listener())
    database = Path(plan.folder) / "study.db"
    shutil.copy(database, whole := database.with_suffix(".whole"))
    cases = [("trial", *case) for case in TRIALS]
    cases += [("study", "identity", value, "it is no discovery") for value in (ABSENT, 3)]
    for owner, name, value, text in cases:
        change(database, owner, name, value)
        with pytest.raises((StudyMismatch, MissingPlugin), match="cannot be resumed") as caught:
            run_discovery(plan, built_in, Listener(), resume=True)
        assert text in str(caught.value)
        assert ("its trial 0 cannot be read" in str(caught.value)) == (owner == "trial")
        shutil.copy(whole, database)
    change(database, "study", "seconds", "many")
    assert run_discovery(plan, built_in, Listener(), resume=True).seconds < 1000
