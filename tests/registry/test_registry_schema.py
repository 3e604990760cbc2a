"""The JSON schema for editors agrees with the models, and with the file in the repository."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from attenergy.attention.solvers.catalogue import trainable
from attenergy.energies import DOMAINS
from attenergy.registry import EnergySpec, ModelSpec, TrainingSpec
from attenergy.registry.schema import json_schema, schema_text
from attenergy.registry.yaml_document import read_yaml

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"object": dict, "array": tuple, "string": str, "boolean": bool, "null": type(None)}


def accepts(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """The part of JSON schema that the registry's schema uses, written out for the test."""
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root)
    if "anyOf" in schema:
        return any(accepts(option, value, root) for option in schema["anyOf"])
    kind = schema.get("type")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "number" and not number:
        return False
    if kind == "integer" and not (number and float(value).is_integer()):
        return False
    if kind in KINDS and not isinstance(value, KINDS[kind]):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if number and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if isinstance(value, tuple):
        return all(accepts(schema.get("items", {}), item, root) for item in value)
    return accepts_keys(schema, value, root) if isinstance(value, dict) else True


def accepts_keys(schema: dict[str, Any], value: dict[str, Any], root: dict[str, Any]) -> bool:
    names = schema.get("propertyNames", {})
    if any(not re.search(names.get("pattern", ""), key) for key in value):
        return False
    if "enum" in names and not set(value) <= set(names["enum"]):
        return False
    if not set(schema.get("required", ())) <= set(value):
        return False
    for key, item in value.items():
        inner = schema.get("properties", {}).get(key, schema.get("additionalProperties", {}))
        if inner is False or not accepts(inner, item, root):
            return False
    return True


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


@cache
def _builtin() -> dict[str, Any]:
    return read_yaml((ROOT / "registry.yaml").read_text(), "registry.yaml").data


def builtin() -> dict[str, Any]:
    """What the file in the repository holds, to change at will."""
    return deepcopy(_builtin())


def test_the_file_in_the_repository_is_up_to_date() -> None:
    command = "python -m attenergy.registry.schema > registry.schema.json"
    assert (ROOT / "registry.schema.json").read_text() == schema_text(), f"run {command}"


def test_the_command_prints_the_schema() -> None:
    command = [sys.executable, "-W", "error", "-m", "attenergy.registry.schema"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json_schema()


def test_the_first_line_of_the_builtin_file_names_the_schema() -> None:
    first = (ROOT / "registry.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./registry.schema.json"


def test_every_reference_resolves_and_every_object_is_closed() -> None:
    schema = json_schema()
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    for node in nodes(schema):
        if isinstance(reference := node.get("$ref"), str):
            assert reference.removeprefix("#/$defs/") in schema["$defs"]
        if node.get("type") == "object":
            assert "additionalProperties" in node
    assert all(model["description"] for model in schema["$defs"].values())


def test_keys_are_spelt_as_in_yaml() -> None:
    energy = json_schema()["$defs"]["EnergySpec"]["properties"]
    expected = {name.rstrip("_") for name in EnergySpec.model_fields}
    assert set(energy) == expected
    assert "class" in energy


def test_the_builtin_file_is_accepted() -> None:
    schema = json_schema()
    assert accepts(schema, builtin(), schema)
    # PyYAML reads the file differently only where the two disagree on YAML's version.
    assert yaml.safe_load((ROOT / "registry.yaml").read_text()).keys() == builtin().keys()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("energy",), {}),
        (("energies", "LSE"), {"title": "A", "formula": "f"}),
        (("energies", "lse", "stepz"), 1),
        (("energies", "lse", "read"), "weigths"),
        (("energies", "lse", "title"), 3),
        (("energies", "lse", "steps"), {"default": True}),
        (("energies", "lse", "solver"), {"default": 3}),
        (("mixers", "mine"), {"title": "A"}),
        (("tasks", "raven", "model", "layers"), 0),
        (("spaces", "default", "learning_rte"), {"low": 0.1, "high": 0.2}),
    ],
)
def test_broken_files_are_refused(path: tuple[str, ...], value: Any) -> None:
    schema, data = json_schema(), builtin()
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert not accepts(schema, data, schema)


def test_switches_are_accepted() -> None:
    schema, data = json_schema(), builtin()
    options = data["mixers"]["window"]["options"]
    options["causal"] = {"default": True, "search": {"choices": (True, False)}}
    assert accepts(schema, data, schema)


def test_a_space_may_vary_every_number_of_model_and_training() -> None:
    names = json_schema()["properties"]["spaces"]["additionalProperties"]["propertyNames"]["enum"]
    assert set(names) == {*ModelSpec.model_fields, *TrainingSpec.model_fields, "blocks"}


def test_names_of_domains_and_solvers_are_offered_and_others_are_accepted() -> None:
    """Names that editors complete exist; a new one need not be among them."""
    schema, data = json_schema(), builtin()
    models = {name: model["properties"] for name, model in schema["$defs"].items()}
    domain, solver = models["EnergySpec"]["domain"], models["SolverChoice"]["default"]
    offered, items = solver["anyOf"], models["SolverNames"]["choices"]["items"]
    assert set(domain["anyOf"][0]["enum"]) <= set(DOMAINS)
    assert set(offered[0]["enum"]) <= set(trainable())
    assert items["anyOf"] == offered
    assert (domain["default"], solver["default"]) == ("real", "descent")
    data["energies"]["lse"] |= {"domain": "torus", "solver": {"default": "newton"}}
    assert accepts(schema, data, schema)
