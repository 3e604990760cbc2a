"""The page on the fields of a registry file has every field of every model, with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml

from attenergy.registry import specs
from attenergy.registry.choices import SolverNames
from attenergy.registry.specs import MixerSpec, RegistryFile, StackQuantities
from attenergy.registry.tunables import Entry, Range
from attenergy.testing.docs_pages.field_meanings import ABSENT, MEANINGS
from attenergy.testing.docs_pages.fields import SECTIONS, fields_page, rows

PAGE = Path(__file__).resolve().parents[3] / "docs" / "registry_fields.md"
MODELS = [section.model for section in SECTIONS]
#: Models that no file is read into as they stand: what others become when they are used.
INSIDE = {"Entry", "GroupSpec", "StackSpec", "OwnModel"}


def named(model: type[Entry]) -> dict[str, Any]:
    """The fields of a model by the names that a file gives them."""
    return {field.alias or key: field for key, field in model.model_fields.items()}


def shown(model: type[Entry]) -> list[list[str]]:
    """The rows of a model's table on the page."""
    heading = next(section.heading for section in SECTIONS if section.model is model)
    text = PAGE.read_text(encoding="utf-8").split(f"\n{heading}\n")[1]
    text = re.split(r"^##", text, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == fields_page(), "run `make docs`"


def test_every_model_of_a_file_has_a_table() -> None:
    schema = RegistryFile.model_json_schema()
    read = {*schema["$defs"], "RegistryFile", "EnergyLossSpec", "StackQuantities"}
    assert {model.__name__ for model in MODELS} == read
    entries = {
        name
        for name, value in vars(specs).items()
        if isinstance(value, type) and issubclass(value, Entry)
    }
    assert entries - INSIDE <= read


@pytest.mark.parametrize("model", MODELS)
def test_every_field_has_a_row_with_its_default(model: type[Entry]) -> None:
    table = {name.strip("`"): cells for name, *cells in shown(model)}
    assert list(table) == list(named(model))
    for name, field in named(model).items():
        form, default, meaning = table[name]
        assert form, name
        assert meaning.strip("`"), name
        if field.is_required():
            assert default == "required", name
        elif default == "empty":
            assert not field.default, name
            assert field.default is not None, name
        elif default[0] == "`":
            value = field.default
            written = value.model_dump(exclude_none=True) if isinstance(value, Entry) else value
            assert yaml.safe_load(default.strip("`")) == written, name
        else:
            assert re.match("none|by the ", default), name
            assert field.default is None, name


def literals(annotation: Any) -> list[Any]:
    """What stands in the `Literal` of an annotation, however deep."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in literals(part)]


@pytest.mark.parametrize("model", MODELS)
def test_all_values_of_a_list_of_names_are_shown(model: type[Entry]) -> None:
    for (_, form, *_), field in zip(rows(model), model.model_fields.values(), strict=True):
        if values := literals(field.annotation):
            assert re.findall(r"`(\w+)`", form) == [str(value) for value in values]


def test_what_a_newcomer_looks_for_stands_there() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for cells in (
        "| `learnable` | `no`, `shared`, `per_head` | `per_head` |",
        "| `constraint` | `real`, `positive`, `unit` | `real` |",
        "| `read` | `weights`, `state` | by the energy: `weights` if it has weights",
        "| `solver` | [solver](#solvers) | `{default: descent}` |",
        "| `dropout` | number from 0, below 1 | `0.0` |",
        "| `prune_after` | number from 0 to 1 | `0.5` | share of the training before which",
    ):
        assert cells in page
    assert "\\|" not in page


def test_a_field_without_a_meaning_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wider(Range):
        unheard: int = 1

    cases: tuple[tuple[type[Entry], dict[str, str], str], ...] = (
        (Wider, MEANINGS[Range], "unheard: no meaning"),
        (SolverNames, {"choices": "x", "chioces": "x"}, "chioces: a meaning and no field"),
        (StackQuantities, {"blocks": "x"}, "blocks: two meanings"),
    )
    for model, meanings, text in cases:
        monkeypatch.setitem(MEANINGS, model, meanings)
        with pytest.raises(ValueError, match=text):
            rows(model)
    mixer: type[Entry] = MixerSpec
    nothing: dict[str, str] = {}
    monkeypatch.setitem(ABSENT, mixer, nothing)
    with pytest.raises(ValueError, match="energy: no default of None, or no text"):
        rows(MixerSpec)
