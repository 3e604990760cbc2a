"""The page of `docs/` on the fields of a registry file, made from the models that read it.

Names, types and defaults are those of the models, and so is the text above a table (docstrings).
What a field means is the comment `#:` beside it, or stands in `field_meanings.MEANINGS`.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from attenergy.registry.choices import Choice, EnergyLossSpec, SolverChoice, SolverNames
from attenergy.registry.files import builtin_source
from attenergy.registry.specs import (
    BundleSpec,
    EnergySpec,
    MixerSpec,
    ModelSpec,
    RegistryFile,
    StackEntry,
    StackQuantities,
    TaskSpec,
    TrainingSpec,
)
from attenergy.registry.tunables import Entry, Parameter, Range, Tunable, TunableNumber, as_written
from attenergy.testing.docs_pages.field_meanings import ABSENT, MEANINGS
from attenergy.testing.docs_pages.markdown import fence, paragraphs, plain, prose, table


class Section(NamedTuple):
    """A heading of the page with the table of one model.

    Attributes:
        heading: with its number of `#`.
        model: whose fields the table has.
        one: what a field that holds such a model is said to hold.
        text: Markdown below what the model's docstring says.
        example: keys in `registry.yaml`: a kind and a name, or also a field of that entry.
    """

    heading: str
    model: type[Entry]
    one: str
    text: str = ""
    example: tuple[str, ...] = ()


_HEAD = """\
# Every field of a registry file

Made by `make docs` from the models that read a registry file; a test compares.

A registry file is YAML. A field that no table below has is refused; a field without a default is
required. `attenergy energies check FILE` reads a file and says what is wrong and where. An editor
completes the fields if the first line of the file is
`# yaml-language-server: $schema=registry.schema.json` and
[that file](../registry.schema.json) lies beside it.

Names of entries have at most 64 characters of `a` to `z`, `0` to `9`, `_` and `-`, and begin with a
letter. Energies, mixers and stacks share one set of names. `no`, `yes` and `on` are texts here,
with or without quotes. All examples but the stack are entries of the toolkit's own `registry.yaml`,
or parts of them; [your own energy](tutorials/own_energy.md) and
[your own code](plugins.md) show whole files. The same entries as values of Python:
[the reference](reference/registry.md).
"""
_STACK = """\
version: 1
stacks:
  hybrid:
    title: HYLA between two log-sum-exps
    layers: [lse, hyla, lse]
    settings: {1.steps: 2}
"""
_DEFAULTS = """\
The default of every setting of an energy, and its range, are in its entry; a keyword of a layer
(`beta=2.0`) and `--fix NAME.beta=2.0` set another value.
"""
_SPACES = """\
A space is a mapping of quantities to [ranges](#ranges), and says what a search varies besides the
settings of energies and mixers. A quantity is a field of a [model](#model), a field of a
[training](#training) but `steps`, or the one in the table. A range that lacks the task's own value
is widened to hold it. `{}` varies nothing.
"""
SECTIONS = (
    Section("## The file", RegistryFile, "registry file"),
    Section("## Energies", EnergySpec, "energy", _DEFAULTS, ("energies", "lse")),
    Section("### Parameters", Parameter, "parameter"),
    Section("### Choices", Choice, "choice", "", ("energies", "rbm", "choices")),
    Section("### Options", Tunable, "option", "", ("energies", "ham", "options")),
    Section(
        "### Step size and steps",
        TunableNumber,
        "number with a range",
        "`step_size` is above 0, `steps` are whole numbers from 1 to 100,000.\n",
        ("energies", "graph_memory", "step_size"),
    ),
    Section("### Solvers", SolverChoice, "solver", "", ("energies", "graph_hopfield", "solver")),
    Section("### Solvers of a search", SolverNames, "solvers of a search"),
    Section("### Ranges", Range, "range", "", ("spaces", "sizes")),
    Section("## Mixers", MixerSpec, "mixer", "", ("mixers", "window")),
    Section("## Stacks", StackEntry, "stack", "More: [stacks](stacks.md).\n"),
    Section("## Tasks", TaskSpec, "task", "", ("tasks", "latch")),
    Section("### Model", ModelSpec, "model"),
    Section("### Training", TrainingSpec, "training"),
    Section("### Loss on energies", EnergyLossSpec, "loss on energies"),
    Section("## Spaces", StackQuantities, "space", _SPACES, ("spaces", "stacks")),
    Section("## Bundles", BundleSpec, "bundle", "", ("bundles", "smoke")),
)

_COMMENT = re.compile(r"((?:^    #: .*\n)+)^    (\w+):", re.MULTILINE)
_SIMPLE = {
    ("string",): "text",
    ("boolean",): "`true` or `false`",
    ("null",): "nothing",
    ("integer", "number"): "number",
    ("integer", "number", "string"): "number or expression",
    ("boolean", "integer", "number", "string"): "number, text, `true` or `false`",
}
#: What a field may be, where its schema says it in a pattern or without a name.
_FORMS = {
    "energy_loss": "`none`, `minimise:WEIGHT`, `contrast:WEIGHT`, or a "
    "[mapping](#loss-on-energies)",
    "spaces": "mapping, each value: [space](#spaces)",
}


def fields_page() -> str:
    """The page on all fields."""
    return "\n".join([_HEAD, *(_section(section) for section in SECTIONS)])


def _section(section: Section) -> str:
    """A heading, an example, what the model is, and the table of its fields."""
    parts = [f"{section.heading}\n"]
    if section.model is StackEntry:
        parts.append(fence(_STACK, "yaml"))
    elif section.example:
        parts.append(fence(_written(*section.example), "yaml"))
    parts.append(prose(paragraphs(section.model)))
    if section.text:
        parts.append(section.text)
    parts.append(table(("field", "what it may be", "default", "meaning"), rows(section.model)))
    return "\n".join(parts)


def rows(model: type[Entry]) -> list[tuple[str, str, str, str]]:
    """A row for every field of a model: its name, what it may be, its default, its meaning.

    Raises:
        ValueError: a field has no meaning or two, or a meaning or what is absent has no field.
    """
    meanings = _meanings(model)
    schema = model.model_json_schema(by_alias=True)["properties"]
    out = []
    for key, field in model.model_fields.items():
        name = field.alias or key
        form = _FORMS.get(name) or _form(schema[name])
        out.append((f"`{name}`", form, _default(model, name, field), meanings[name]))
    return out


def _meanings(model: type[Entry]) -> dict[str, str]:
    """What each field means."""
    comments = {
        name: plain(text[0].lower() + text[1:].removesuffix("."))
        for lines, name in _COMMENT.findall(inspect.getsource(model))
        for text in [" ".join(lines.replace("#: ", "").split())]
    }
    named = {field.alias or key for key, field in model.model_fields.items()}
    written = MEANINGS[model]
    absent = {f.alias or k for k, f in model.model_fields.items() if f.default is None}
    for wrong, text in (
        (comments.keys() & written.keys(), "two meanings"),
        (named - comments.keys() - written.keys(), "no meaning"),
        (written.keys() - named, "a meaning and no field"),
        (absent ^ ABSENT.get(model, {}).keys(), "no default of None, or no text that says so"),
    ):
        if wrong:
            raise ValueError(f"{model.__name__}: {', '.join(sorted(wrong))}: {text}")
    return {**comments, **written}


def _default(model: type[Entry], name: str, field: FieldInfo) -> str:
    """The default as a file would have it, or in words where there is none."""
    if field.is_required():
        return "required"
    value: Any = field.default
    if value is None:
        return ABSENT[model][name]
    if isinstance(value, Entry):
        content = value.model_dump(exclude_none=True).items()
        return f"`{{{', '.join(f'{key}: {as_written(each)}' for key, each in content)}}}`"
    return f"`{as_written(value)}`" if value not in ("", (), {}) else "empty"


def _form(node: dict[str, Any]) -> str:
    """What a part of a JSON schema allows, in words."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        section = next(section for section in SECTIONS if section.model.__name__ == name)
        anchor = section.heading.strip("# ").lower().replace(" ", "-")
        return f"[{section.one}](#{anchor})"
    if "enum" in node or "const" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum") or [node["const"]])
    if "anyOf" in node:
        return _either([each for each in node["anyOf"] if each.get("type") != "null"])
    if node["type"] == "array":
        least = f" of at least {node['minItems']}" if "minItems" in node else ""
        return f"list{least}, each item: {_form(node['items'])}"
    if node["type"] == "object":
        return f"mapping, each value: {_form(node['additionalProperties'])}"
    if node["type"] in ("integer", "number"):
        return _number(node)
    return _SIMPLE[(node["type"],)]


def _either(nodes: list[dict[str, Any]]) -> str:
    """One of several forms."""
    if len(nodes) == 1:
        return _form(nodes[0])
    if "enum" in nodes[0]:
        return f"{_form(nodes[0])}, or a name that [a plug-in](plugins.md) registers"
    return _SIMPLE[tuple(sorted(each["type"] for each in nodes))]


def _number(node: dict[str, Any]) -> str:
    """A number between its bounds."""
    ends = {
        "minimum": "from {}",
        "ge": "from {}",  # pydantic leaves it so after a validator
        "exclusiveMinimum": "above {}",
        "maximum": "to {}",
        "exclusiveMaximum": "below {}",
    }
    bounds = dict.fromkeys(text.format(node[end]) for end, text in ends.items() if end in node)
    joined = " ".join(bounds) if "maximum" in node else ", ".join(bounds)
    return f"{'whole number' if node['type'] == 'integer' else 'number'} {joined}".strip()


def _written(kind: str, name: str, *inside: str) -> str:
    """An entry of `registry.yaml` as a file of its own, or a field of it as it stands there."""
    lines = builtin_source().content.read_text(encoding="utf-8").splitlines()
    for depth, key in enumerate((kind, name, *inside)):
        lead = "  " * depth
        start = next(i for i, line in enumerate(lines) if line.startswith(f"{lead}{key}:"))
        rest = lines[start + 1 :]
        deeper = (i for i, line in enumerate(rest) if line and not line.startswith(f"{lead}  "))
        lines = [lines[start], *rest[: next(deeper, len(rest))]]
    if inside:
        return textwrap.dedent("\n".join(lines))
    return "\n".join(["version: 1", f"{kind}:", f"  my_{name}:", *lines[1:]])
