"""What cannot answer a task is refused before it is trained, or left out of one of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from attenergy.energies import make_energy
from attenergy.energies.tokens.place_rbm import PlaceRBM
from attenergy.registry import ArgumentError, load_registry
from attenergy.search.comparison.compare import run_compare
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.runs.events import Listener

REGISTRY = load_registry(plugins=False)
COUPLED = [
    name
    for name, spec in REGISTRY.energies.items()
    if make_energy(spec, dim=4).states_interact and name != "tap"  # which takes seconds
]


class Started(Listener):
    """Counts runs."""

    count = 0

    def started(self, config: Any) -> None:
        self.count += 1


def plan(folder: Path, task: str, *variants: str, **fix: Any) -> ComparePlan:
    return ComparePlan(
        name="c", folder=str(folder / "c"), task=task, variants=variants, seeds=1, steps=1,
        workers=0, fix={"valid_instances": 4, "test_instances": 4, **fix},
    )  # fmt: skip


@pytest.mark.parametrize("name", COUPLED)
def test_a_causal_task(name: str, tmp_path: Path) -> None:
    listener = Started()
    with pytest.raises(ArgumentError, match=f"{name} cannot answer copying: .* cannot be causal"):
        run_compare(plan(tmp_path, "copying", "softmax", name), REGISTRY, listener)
    assert listener.count == 0
    assert not (tmp_path / "c").exists()


def test_too_few_places(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot answer latch: a sequence of 20 places is too"):
        run_compare(
            plan(tmp_path, "latch", "softmax", "place_rbm", **{"place_rbm.length": 5}),
            REGISTRY,
            Listener(),
        )


def test_what_fits_is_trained(tmp_path: Path) -> None:
    listener = Started()
    run_compare(plan(tmp_path, "latch", "softmax", "place_rbm"), REGISTRY, listener)
    assert listener.count == 2


class Broken(PlaceRBM):
    """One that has a mistake."""

    def coupling(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        raise RuntimeError("a mistake of mine")


def test_a_mistake_in_a_class_is_a_run_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlaceRBM, "coupling", Broken.coupling)
    records = run_compare(plan(tmp_path, "latch", "softmax", "place_rbm"), REGISTRY, Listener())
    assert [record.status for record in records] == ["complete", "failed"]
    assert "a mistake of mine" in records[1].reason
