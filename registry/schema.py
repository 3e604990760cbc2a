"""JSON schema of a registry file, with which editors complete and check it.

`python -m attenergy.registry.schema > registry.schema.json` writes it anew.
"""

from __future__ import annotations

import json
from typing import Any, get_args

from attenergy.registry.specs import (
    Kind,
    ModelSpec,
    RegistryFile,
    StackQuantities,
    TrainingSpec,
)


def json_schema() -> dict[str, Any]:
    """The schema of a registry file, in JSON schema draft 7, which YAML editors understand.

    What a schema cannot say (defaults inside their ranges, names that exist) is left to
    `load_registry`.
    """
    schema: dict[str, Any] = _without_titles(RegistryFile.model_json_schema(by_alias=True))
    entry_name = {"pattern": "^[a-z][a-z0-9_-]{0,63}$"}
    for section in get_args(Kind):
        schema["properties"][section]["propertyNames"] = entry_name
    kinds = (ModelSpec, TrainingSpec, StackQuantities)
    searched = [name for kind in kinds for name in kind.model_fields]
    space = schema["properties"]["spaces"]["additionalProperties"]
    space["propertyNames"] = {"enum": searched}
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "attenergy registry"}
    return {**head, **schema}


def _without_titles(node: Any) -> Any:
    """Drop the titles that pydantic makes from field names: an editor shows the names anyway.

    Descriptions are docstrings, whose examples in Python say nothing to who writes YAML.
    """
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value.partition("\n\nExample:")[0]
        if key == "description" and isinstance(value, str)
        else _without_titles(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str))
    }


def schema_text() -> str:
    """The schema as the text of `registry.schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
