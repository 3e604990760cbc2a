"""Whatever takes a registry takes a file, too."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import attenergy
from attenergy.registry import RegistryError, given_registry

MINE = """\
version: 1
energies:
  mine: {title: Mine, formula: "0.5*|xi|^2 - lse(X @ xi)", quadratic: 1.0}
mixers:
  my_mixer: {title: Mine, class: EluAttention}
tasks:
  my_task:
    title: Mine
    class: Latch
    model: {layers: 1, width: 8, heads: 1, mlp: 0, positions: none}
    training:
      {steps: 2, batch_size: 2, learning_rate: 1e-3, valid_instances: 2, test_instances: 2}
"""
CALLS: dict[str, Callable[[Any], object]] = {
    "AssociativeMemory": lambda r: attenergy.AssociativeMemory("mine", dim=4, registry=r),
    "EnergyAttention": lambda r: attenergy.EnergyAttention(4, 2, "mine", registry=r),
    "EnergyLookup": lambda r: attenergy.EnergyLookup(4, 2, "mine", num_patterns=3, registry=r),
    "EnergyMultiheadAttention": lambda r: attenergy.EnergyMultiheadAttention(
        4, 2, energy="mine", registry=r
    ),
    "LanguageModel": lambda r: attenergy.LanguageModel(
        vocabulary=3, length=4, width=4, heads=2, layers=["mine", "my_mixer"], mlp=0, registry=r
    ),
    "Transformer": lambda r: attenergy.Transformer(
        kind="vector",
        size=3,
        length=4,
        outputs=2,
        width=4,
        heads=2,
        layers="mine/my_mixer+mine",
        mlp=0,
        positions="none",
        registry=r,
    ),
    "make_energy": lambda r: attenergy.make_energy("mine", dim=4, registry=r),
    "make_layer": lambda r: attenergy.make_layer("mine", embed_dim=4, num_heads=2, registry=r),
    "make_mixer": lambda r: attenergy.make_mixer("my_mixer", embed_dim=4, num_heads=2, registry=r),
    "make_task": lambda r: attenergy.make_task("my_task", registry=r),
    "relax": lambda r: attenergy.relax("mine", torch.ones(2, 4), torch.ones(3, 4), registry=r),
}
#: One has an energy of its own, one needs Optuna, one a model of transformers.
ELSEWHERE = {"EnergyTransformerBlock", "energize", "suggest"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "mine.yaml"
    path.write_text(MINE)
    return path


def test_every_public_name_that_takes_a_registry_is_here() -> None:
    taking = set()
    for name in dir(attenergy):
        thing = getattr(attenergy, name)
        if callable(thing) and "registry" in inspect.signature(thing).parameters:
            taking.add(name)
    assert taking == {*CALLS, *ELSEWHERE}


@pytest.mark.parametrize("name", CALLS)
def test_a_path_is_as_its_registry(name: str, file: Path) -> None:
    made = CALLS[name](attenergy.load_registry(file))
    for path in (file, str(file)):
        assert type(CALLS[name](path)) is type(made)
    with pytest.raises(ValueError, match=r"mine|my_mixer|my_task"):
        CALLS[name](None)


def test_the_built_in_entries_stay(file: Path) -> None:
    assert {"lse", "mine"} <= set(given_registry(file).energies)


def test_a_file_that_is_wrong_or_absent_says_so(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("version: 1\nenergies: {mine: {titel: Mine}}\n")
    with pytest.raises(RegistryError, match=r"wrong.yaml:2:19: .*'titel'"):
        attenergy.make_energy("mine", dim=4, registry=wrong)
    with pytest.raises(RegistryError, match=r"absent.yaml"):
        attenergy.make_energy("mine", dim=4, registry=tmp_path / "absent.yaml")


@pytest.mark.parametrize("registry", [3, ["a.yaml"], {"energies": {}}])
def test_anything_else_is_refused(registry: Any) -> None:
    with pytest.raises(TypeError, match=r"a Registry, .* the path of a file, or None"):
        attenergy.make_energy("lse", dim=4, registry=registry)
