"""Folders that somebody sent: loading ends in a module or a SavedError, whatever they hold."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch

from attenergy.attention.loading import build, load
from attenergy.attention.saving.format import CONFIG, WEIGHTS, LayerArguments, ModelArguments, save
from attenergy.attention.saving.weights import Allowance, SavedError, TooLarge
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)
SIZES = ("size", "length", "channels", "outputs", "layers", "mlp", "conv")
HUGE = [10**6, 2**31, 2**63]


def describe(name: str = "lse", **changes: Any) -> ModelArguments:
    layer = LayerArguments(name=name, spec=REGISTRY.layer(name), embed_dim=8, num_heads=2)
    values: dict[str, Any] = {
        "kind": "vector", "size": 5, "length": 6, "outputs": 3, "layers": 2, "mlp": 16,
        "positions": "relative",
    }  # fmt: skip
    return ModelArguments(layer=layer, **{**values, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    arguments = describe()
    return save(tmp_path / "out", model=build(arguments), arguments=arguments)


def edit(folder: Path, path: tuple[str, ...], value: Any) -> None:
    """Change one entry of the configuration."""
    config = json.loads((folder / CONFIG).read_text())
    here = config
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    (folder / CONFIG).write_text(json.dumps(config))


def refused(folder: Path, match: str = ".") -> None:
    """Refused in words that name the folder, without taking much memory."""
    tracemalloc.start()
    try:
        with pytest.raises(SavedError, match=match) as caught:
            load(folder, part="model")
        assert str(folder) in str(caught.value)
        assert len(str(caught.value)) < 5000
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def assert_loads_or_is_refused(folder: Path) -> None:
    try:
        load(folder)
        message = str(folder)
    except SavedError as error:
        message = str(error)
    assert str(folder) in message


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("field", SIZES)
def test_a_description_that_its_weights_do_not_explain_is_refused(
    folder: Path, field: str, value: int
) -> None:
    if field == "channels":
        edit(folder, ("model", "kind"), "token")
    edit(folder, ("model", field), value)
    refused(folder)


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("field", ["embed_dim", "num_heads", "head_dim"])
def test_a_layer_of_any_size_is_refused(folder: Path, field: str, value: int) -> None:
    edit(folder, ("model", "layer", field), value)
    refused(folder)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        *(
            (where, value)
            for where in ("embed_dim", "num_heads", "head_dim")
            for value in (True, "2", 2.0, 2.5, [2])
        ),
        *((where, value) for where in SIZES for value in (True, "2", 2.0)),
    ],
)
def test_numbers_are_no_texts_and_no_truth_values(folder: Path, where: str, value: object) -> None:
    of_layer = where in {"embed_dim", "num_heads", "head_dim"}
    edit(folder, ("model", *(("layer",) if of_layer else ()), where), value)
    with pytest.raises(SavedError, match=where):
        load(folder)


@pytest.mark.parametrize("positions", ["relative", "absolute"])
def test_tables_of_positions_count(tmp_path: Path, positions: str) -> None:
    arguments = describe(positions=positions)
    folder = save(tmp_path / "out", model=build(arguments), arguments=arguments)
    edit(folder, ("model", "length"), 50_000)  # squared, that is 20 GB
    refused(folder)


@pytest.mark.parametrize("name", [*REGISTRY.energies, *REGISTRY.mixers])
def test_every_entry_is_rebuilt_without_values(name: str) -> None:
    arguments = describe(name, layers=1)
    real = build(arguments).state_dict()
    with Allowance(10_000, 10**6), torch.device("meta"):
        skeleton = build(arguments).state_dict()
    assert {n: v.shape for n, v in skeleton.items()} == {n: v.shape for n, v in real.items()}


@pytest.mark.parametrize("name", [n for n, spec in REGISTRY.energies.items() if spec.options])
def test_options_of_any_size_are_refused_or_cost_nothing(tmp_path: Path, name: str) -> None:
    arguments = describe(name, layers=1)
    folder = save(tmp_path / "out", model=build(arguments), arguments=arguments)
    for option in REGISTRY.energies[name].options:
        edit(folder, ("model", "layer", "settings"), {option: 10**7})
        try:
            assert_loads_or_is_refused(folder)
        except Exception as error:
            raise AssertionError(f"option '{option}'") from error


@pytest.mark.parametrize(
    "text",
    [
        '{"format": ' + "9" * 5000 + "}",
        '{"format": ' + "9" * 4000 + "}",
        "[" * 200_000,
        '{"a":' * 100_000,
        " " * 5_000_000,
        '{"format": 1, "layer": {"name": "\\ud800"}}',
        '{"format": 1, "layer": {"\\u001b[31m\\u202e": 1}}',
        '{"format": 1, "model": null}',
        '{"format": 1, "layer": {}, "model": {}}',
        "\ufeff{}",
    ],
    ids=lambda text: text[:24],
)
def test_a_config_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / CONFIG).write_text(text, encoding="utf-8")
    with pytest.raises(SavedError, match=r"config\.json: ") as caught:
        load(folder)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_what_is_no_file_is_refused_and_not_waited_for(folder: Path, name: str) -> None:
    path, links = (
        folder / name,
        [folder / name, folder, "/dev/zero", "/dev/stdin", "/proc/self/mem"],
    )
    path.unlink()
    path.mkdir()
    refused(folder, "no regular file|directory")
    path.rmdir()
    os.mkfifo(path)
    refused(folder, "no regular file")
    path.unlink()
    for target in links:
        path.symlink_to(target)
        refused(folder)
        path.unlink()


def test_a_link_to_a_file_is_followed(folder: Path, tmp_path: Path) -> None:
    # As in the caches of hubs, where a folder holds links to blobs.
    for name in (CONFIG, WEIGHTS):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
    load(folder)


def test_weights_that_only_say_that_they_are_large_are_refused(folder: Path) -> None:
    path = folder / WEIGHTS
    good = path.read_bytes()
    for content in (
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 2**40) + good[8:],
        struct.pack("<Q", 20_000_000) + b" " * 20_000_000,
        struct.pack("<Q", 8) + b"[[[[[[[[",
        good[:40],
        good + b"\0" * 100,
    ):
        path.write_bytes(content)
        refused(folder, "cannot be read")
    with path.open("wb") as file:
        header = b'{"a":{"dtype":"U8","shape":[1000000000],"data_offsets":[0,1000000000]}}'
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 10**9)
    refused(folder, "mostly holes")


def test_bits_that_flipped_change_values_or_are_refused(folder: Path) -> None:
    path = folder / WEIGHTS
    good = path.read_bytes()
    for place in range(0, 400, 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 16]) + good[place + 1 :])
        assert_loads_or_is_refused(folder)


def test_an_allowance_is_of_bytes_and_of_operations() -> None:
    with Allowance(100, 10_000), pytest.raises(TooLarge):
        torch.zeros(10**9, 10**5)
    with Allowance(100, 10_000):
        assert torch.ones(10).sum() == 10
        with pytest.raises(TooLarge):
            torch.ones(10_000, 1).expand(10_000, 10_000).contiguous()
    with Allowance(5, 10**9), pytest.raises(TooLarge):
        [torch.zeros(1) for _ in range(10**9)]


def test_a_description_with_many_mistakes_is_refused_in_a_few_lines(folder: Path) -> None:
    described = json.loads((folder / "config.json").read_text())
    described["model"] |= {f"unknown{i}" + "x" * (i % 300): i for i in range(9000)}
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(SavedError, match=r"and 89\d\d more") as caught:
        load(folder)
    assert len(str(caught.value)) < 4000
