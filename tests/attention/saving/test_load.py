from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import attenergy
from attenergy.attention.loading import build, load
from attenergy.attention.saving import weights
from attenergy.attention.saving.description import read_arguments
from attenergy.attention.saving.format import LayerArguments, ModelArguments, save
from attenergy.attention.saving.weights import SavedError
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)
NAMES = [*REGISTRY.energies, *REGISTRY.mixers]


def describe(name: str = "lse", **settings: float | int | str) -> ModelArguments:
    layer = LayerArguments(
        name=name, spec=REGISTRY.layer(name), embed_dim=8, num_heads=2, settings=settings
    )
    return ModelArguments(
        layer=layer,
        kind="vector",
        size=5,
        length=6,
        outputs=3,
        layers=2,
        mlp=16,
        positions="relative",
    )


def trained(arguments: ModelArguments) -> torch.nn.Module:
    """A model whose every parameter has moved from where it began."""
    model = build(arguments)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model(torch.randn(4, 6, 5)).square().mean().backward()
        optimizer.step()
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    arguments = describe()
    return save(tmp_path / "out", model=trained(arguments), arguments=arguments)


@pytest.mark.by_kind
@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_model_computes_the_same_bits(name: str, tmp_path: Path) -> None:
    arguments = describe(name)
    model = trained(arguments)
    save(tmp_path / "out", model=model, arguments=arguments)
    x = torch.randn(3, 6, 5)
    again = load(tmp_path / "out", part="model")
    assert torch.equal(again(x), model(x))
    states = torch.randn(3, 6, 8)
    for index in (0, 1, -1):
        layer = load(tmp_path / "out", index=index)
        assert torch.equal(layer(states), model.blocks[index].mixer(states))
    assert not torch.equal(load(tmp_path / "out", index=1)(states), layer_of(model, 0)(states))


@pytest.mark.by_kind
@pytest.mark.parametrize("name", NAMES)
def test_weights_explain_a_model_of_any_size(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory that is allowed grows with the weights, twice as fast as it has to."""
    monkeypatch.setattr(weights, "_SPARE_BYTES", 500_000)
    monkeypatch.setattr(weights, "_TIMES_BYTES", weights._TIMES_BYTES // 2)
    model = describe(name)
    layer = model.layer.model_copy(update={"embed_dim": 128})
    arguments = model.model_copy(update={"layer": layer, "mlp": 256})
    save(tmp_path / "out", model=build(arguments), arguments=arguments)
    assert load(tmp_path / "out", part="model") is not None


def test_weights_may_lie_in_memory_in_any_order(tmp_path: Path) -> None:
    """safetensors takes rows after rows alone; `performer` draws its directions as columns."""
    arguments = describe("performer")
    model = build(arguments)
    for tensor in model.state_dict().values():
        if tensor.ndim == 2:
            tensor.set_(tensor.T.contiguous().T)
    save(tmp_path / "out", model=model, arguments=arguments)
    again = load(tmp_path / "out", part="model")
    x = torch.randn(2, 6, 5)
    torch.testing.assert_close(again(x), model(x))


def layer_of(model: torch.nn.Module, index: int) -> torch.nn.Module:
    return model.blocks[index].mixer


def test_settings_survive(tmp_path: Path) -> None:
    arguments = describe("rbm", prior="spin", steps=3, step_size=0.7, beta=0.9)
    model = trained(arguments)
    save(tmp_path / "out", model=model, arguments=arguments)
    assert read_arguments(tmp_path / "out") == arguments
    x = torch.randn(2, 6, 5)
    assert torch.equal(load(tmp_path / "out", part="model")(x), model(x))


def test_tokens_with_channels_survive(tmp_path: Path) -> None:
    arguments = describe().model_copy(update={"kind": "token", "channels": 2})
    model = build(arguments)
    save(tmp_path / "out", model=model, arguments=arguments)
    x = torch.randint(5, (2, 6, 2))
    assert torch.equal(load(tmp_path / "out", part="model")(x), model(x))


def test_the_public_name_loads(folder: Path) -> None:
    layer = attenergy.load(folder)
    assert layer(torch.randn(1, 4, 8)).shape == (1, 4, 8)
    assert layer.training


def test_a_loaded_layer_trains(folder: Path) -> None:
    layer = load(folder)
    layer(torch.randn(2, 4, 8)).square().sum().backward()
    assert all(p.grad is not None for p in layer.parameters() if p.requires_grad)


def test_loading_leaves_the_random_stream_alone(folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load(folder)
    assert torch.equal(torch.rand(2), expected)


def test_the_saved_dtype_counts_not_the_default_one(folder: Path) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        layer = load(folder)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in layer.parameters()} == {torch.float32}


@pytest.mark.long
def test_loading_needs_the_folder_alone(folder: Path) -> None:
    # Neither a registry file nor the rooms of tasks and search are touched.
    program = (
        "import sys, yaml\n"
        "def refuse(*_, **__): raise AssertionError('a registry file was read')\n"
        "yaml.compose = yaml.compose_all = refuse\n"
        "from attenergy.attention.loading import load\n"
        f"load({str(folder)!r}); load({str(folder)!r}, part='model')\n"
        "rooms = ('attenergy.search', 'attenergy.tasks')\n"
        "assert not [m for m in sys.modules if m.startswith(rooms)]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_config_is_plain_and_complete(tmp_path: Path) -> None:
    arguments = describe("rbm", prior="spin")
    save(tmp_path / "o", model=build(arguments), arguments=arguments, about={"task": "raven"})
    config = json.loads((tmp_path / "o" / "config.json").read_text())
    assert config["format"] == 1
    assert config["about"] == {"task": "raven"}
    assert config["model"]["layer"]["spec"]["formula"].startswith("0.5*|xi|^2")
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == [
        *["README.md", "config.json", "model.safetensors"]
    ]


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_no_saved_model_says_what_it_is(folder: Path, tmp_path: Path) -> None:
    """Nothing, a file, a folder of other things, and the folder above a saved model."""
    with pytest.raises(SavedError, match="nowhere: not a saved model, there is no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(SavedError, match=r"config\.json: is a file; a saved model is a folder"):
        load(folder / "config.json")
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(SavedError, match=r"other: not a saved model, there is no config\.json$"):
        load(other)
    shutil.copytree(folder, other / "exported")
    with pytest.raises(SavedError, match=r"there is no config\.json; .*exported has one"):
        load(other)


def test_a_newer_format_asks_for_an_upgrade(folder: Path) -> None:
    edit(folder, format=3)
    with pytest.raises(SavedError, match="format 3, but this attenergy reads up to 2; upgrade"):
        load(folder)


@pytest.mark.parametrize("version", [None, "1", True, 0, 1.5])
def test_a_format_that_is_no_version_is_refused(folder: Path, version: object) -> None:
    edit(folder, format=version)
    with pytest.raises(SavedError, match="not a saved model, 'format' is"):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00", '"x"'])
def test_a_config_that_is_no_config_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(SavedError, match=r"config\.json: (cannot be read|not a saved model)"):
        load(folder)


def test_every_wrong_field_is_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())["model"]
    edit(folder, model={**config, "layers": 0, "widht": 3})
    with pytest.raises(SavedError, match=r"model\.layers: .*model\.widht: Extra inputs"):
        load(folder)


def test_a_layer_that_cannot_be_built_names_the_file(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())["model"]
    edit(folder, model={**config, "layer": {**config["layer"], "settings": {"bta": 1}}})
    with pytest.raises(SavedError, match=r"config\.json: .*bta"):
        load(folder)


def test_missing_weights_are_said(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(SavedError, match=r"model\.safetensors: cannot be read"):
        load(folder)


def test_cut_weights_are_said(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(SavedError, match=r"model\.safetensors: cannot be read"):
        load(folder)


def test_pickled_weights_are_never_read(folder: Path) -> None:
    torch.save({"x": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(SavedError, match="cannot be read"):
        load(folder)


def test_weights_of_another_model_are_said(folder: Path, tmp_path: Path) -> None:
    other = describe().model_copy(update={"layers": 1})
    save(tmp_path / "other", model=build(other), arguments=other)
    (tmp_path / "other" / "model.safetensors").rename(folder / "model.safetensors")
    with pytest.raises(SavedError, match=r"(?s)does not fit its model.*Missing key"):
        load(folder)


def test_part_and_index_are_checked(folder: Path) -> None:
    with pytest.raises(ValueError, match="'attention'; allowed are 'layer' and 'model'"):
        load(folder, part="attention")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no layer 2: the model has 2"):
        load(folder, index=2)
    with pytest.raises(ValueError, match="no layer -3"):
        load(folder, index=-3)


def test_an_older_export_is_replaced_only_by_force(folder: Path) -> None:
    arguments = describe("rbm")
    with pytest.raises(SavedError, match="already holds an export"):
        save(folder, model=build(arguments), arguments=arguments)
    assert read_arguments(folder).layer.name == "lse"
    save(folder, model=build(arguments), arguments=arguments, force=True)
    assert read_arguments(folder).layer.name == "rbm"
    assert [p.name for p in folder.parent.iterdir()] == ["out"]


def test_other_folders_are_never_replaced(tmp_path: Path) -> None:
    arguments = describe()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("precious")
    (tmp_path / "file").write_text("")
    with pytest.raises(SavedError, match="thesis: holds other files"):
        save(tmp_path / "thesis", model=build(arguments), arguments=arguments, force=True)
    with pytest.raises(SavedError, match="file: is a file"):
        save(tmp_path / "file", model=build(arguments), arguments=arguments, force=True)
    (tmp_path / "empty").mkdir()
    save(tmp_path / "empty", model=build(arguments), arguments=arguments)
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "precious"


def test_a_save_that_fails_leaves_the_old_export(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    arguments = describe()
    with pytest.raises(TypeError):
        save(folder, model=build(arguments), arguments=arguments, about={"x": {1}}, force=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (None, TypeError, "path must be the path of a saved model's folder.* got NoneType"),
        (3, TypeError, "path must be the path of a saved model's folder.* got int"),
        (b"x", TypeError, "path must be the path of a saved model's folder.* got bytes"),
        ("", ValueError, "path must be the path of a saved model's folder, got an empty text"),
    ],
)
def test_what_is_no_path_is_refused(path, error, message):
    for read in (attenergy.load, attenergy.EnergyAttention.from_pretrained):
        with pytest.raises(error, match=message):
            read(path)


@pytest.mark.parametrize("name", ["outputs", "heads", "mlp", "length", "conv"])
def test_sizes_of_numpy_are_whole_numbers(tmp_path: Path, name: str) -> None:
    numpy = pytest.importorskip("numpy")
    sizes = {"outputs": 4, "width": 16, "heads": 2, "mlp": 8, "size": 3, "length": 5, "conv": 2}
    sizes[name] = numpy.int64(sizes[name])
    model = attenergy.Transformer(layers=["lse"], positions="absolute", kind="vector", **sizes)
    model.save_pretrained(tmp_path / "saved")
    again = attenergy.load(tmp_path / "saved", part="model")
    assert type(again.description().model_dump()[{"heads": "layer"}.get(name, name)]) in (int, dict)
