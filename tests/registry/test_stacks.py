"""Stacks: names that stand for several layers, and entries of registry files."""

from __future__ import annotations

from pathlib import Path

import pytest

from attenergy.registry import Registry, RegistryError, StackSpec, load_registry
from attenergy.registry.stacks import (
    as_entry,
    blocks_of,
    is_stack_name,
    layers_of,
    parts,
    settings_by_part,
    shared_heads,
    stack_name,
    stack_text,
)

REGISTRY = load_registry(plugins=False)


def written(tmp_path: Path, stack: str) -> Registry:
    file = tmp_path / "mine.yaml"
    file.write_text(f"version: 1\nstacks:\n  mine: {{title: Mine, {stack}}}\n", encoding="utf-8")
    return load_registry(file, plugins=False)


def stack(name: str) -> StackSpec:
    spec = REGISTRY.variant(name)
    assert isinstance(spec, StackSpec)
    return spec


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("lse/hyla", {"1": "lse", "2": "hyla"}),
        ("lse+rbm", {"a": "lse", "b": "rbm"}),
        ("lse:1+rbm:3/hyla", {"1a": "lse", "1b": "rbm", "2": "hyla"}),
    ],
)
def test_a_name_says_the_layers(name: str, places: dict[str, str]) -> None:
    spec = stack(name)
    assert {part.place: part.variant for part in parts(spec)} == places
    assert stack_name(spec.pattern) == name
    assert stack_text(spec) == name.replace("/", " > ")
    assert spec.entries == {n: REGISTRY.layer(n) for n in places.values()}
    assert StackSpec.model_validate_json(spec.model_dump_json(by_alias=True)) == spec


def test_a_share_of_one_need_not_be_written() -> None:
    assert stack("lse+rbm:3").pattern == stack("lse:1+rbm:3").pattern


@pytest.mark.parametrize("name", ["lse", "0.5*|xi|^2 - lse(X @ xi)", "a/", "/", "lse+", "x:0+y"])
def test_other_names_are_no_stacks(name: str) -> None:
    assert not is_stack_name(name)


def test_a_stack_is_no_single_layer() -> None:
    with pytest.raises(ValueError, match="one energy or mixer is needed"):
        REGISTRY.layer("lse/hyla")
    with pytest.raises(ValueError, match="did you mean 'hyla'"):
        REGISTRY.variant("lse/hylla")
    assert REGISTRY.variant("lse") == REGISTRY.energies["lse"]


def test_blocks_repeat_the_pattern() -> None:
    assert blocks_of(stack("lse/hyla"), 4) == [0, 1, 0, 1]
    assert blocks_of(stack("lse+rbm"), 3) == [0, 0, 0]
    assert stack_text(stack("lse/hyla"), 4) == "lse > hyla > lse > hyla"
    with pytest.raises(ValueError, match=r"a multiple of 2 blocks, .* has 3.*--fix layers=2"):
        blocks_of(stack("lse/hyla"), 3)


def test_heads_are_shared() -> None:
    (groups,) = layers_of(stack("lse:1+rbm:3"))
    assert shared_heads(groups, 8) == [2, 6]
    with pytest.raises(ValueError, match="6 heads cannot be shared 1:3 among lse\\+rbm"):
        shared_heads(groups, 6)


def test_settings_stand_at_their_place() -> None:
    spec = stack("lse/hyla+rbm")
    own = settings_by_part(spec, {"1.steps": 2, "2b.beta": 0.5})
    assert own == {"1": {"steps": 2}, "2a": {}, "2b": {"beta": 0.5}}
    for name in ("beta", "3.beta", "2.beta"):
        with pytest.raises(ValueError, match=r"2b\.NAME \(rbm\)"):
            settings_by_part(spec, {name: 1.0})


def test_a_file_names_stacks(tmp_path: Path) -> None:
    mine = written(tmp_path, "layers: [lse, hyla+rbm], settings: {1.steps: 2}").variant("mine")
    assert isinstance(mine, StackSpec)
    assert (mine.title, mine.settings, mine.repeats) == ("Mine", {"1.steps": 2}, False)
    assert stack_text(mine) == "lse > hyla+rbm"
    with pytest.raises(ValueError, match="of 2 blocks"):
        blocks_of(mine, 4)
    pattern = written(tmp_path, "pattern: [softmax, graph_memory]")
    assert blocks_of(pattern.variant("mine"), 4) == [0, 1, 0, 1]  # type: ignore[arg-type]
    assert as_entry(mine).layers == ("lse", "hyla+rbm")
    assert as_entry(pattern.variant("mine")) == pattern.stacks["mine"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ("layers: [lse, hylla]", r"mine.yaml:3:37: stacks.mine.layers.1: .*did you mean 'hyla'"),
        ("layers: [lse//rbm]", r"mine.yaml:3:32: .*joined by '\+'"),
        ("layers: [lse], pattern: [lse]", "exactly one of 'layers' and 'pattern'"),
        ("pattern: []", "at least 1"),
        ("pattern: [lse], settings: {2.beta: 1.0}", "no part of this stack.*'2.beta'"),
        ("blocks: [lse]", "unknown key 'blocks'"),
    ],
)
def test_mistakes_are_said_where_they_are(tmp_path: Path, entry: str, match: str) -> None:
    with pytest.raises(RegistryError, match=match):
        written(tmp_path, entry)


def test_the_name_of_a_stack_is_nobody_elses(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("version: 1\nstacks:\n  lse: {title: Mine, layers: [rbm]}\n", encoding="utf-8")
    with pytest.raises(RegistryError, match="is taken by the energy"):
        load_registry(file, plugins=False)
