"""Which plug-ins something saved needs: written down with it, and looked for when it is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from attenergy.registry.catalogue import CATALOGUES, SCRIPT
from attenergy.registry.errors import UnknownName
from attenergy.registry.plugins import Plugin, failures, is_module_name, named_plugins
from attenergy.registry.specs import MixerSpec, StackSpec
from attenergy.registry.stacks import VariantSpec, parts, settings_by_part

#: The kind of a thing, as its table calls it, and its name.
Use = tuple[str, str]
_Text = Annotated[str, Field(max_length=200)]


class PluginNeed(BaseModel):
    """A plug-in that something saved uses, and what it uses of it: names by kind.

    Example:
        >>> PluginNeed(name="my-package", version="1.0", module="my_package").module
        'my_package'
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: _Text
    version: _Text
    module: _Text
    provides: dict[_Text, tuple[_Text, ...]] = Field(default={}, max_length=64)

    def without(self, *kinds: str) -> PluginNeed:
        """The same but for things of some kinds."""
        rest = {kind: names for kind, names in self.provides.items() if kind not in kinds}
        return self.model_copy(update={"provides": rest})

    def items(self) -> list[Use]:
        """What it is needed for."""
        return [(kind, name) for kind, names in self.provides.items() for name in names]


_NEEDS = TypeAdapter(list[PluginNeed])


def layer_uses(spec: VariantSpec, settings: Mapping[str, Any]) -> Iterator[Use]:
    """What a layer, or a stack of layers, with these settings refers to by name.

    A formula is given word by word, whether a word names anything or not.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> next(layer_uses(registry.energies["lse"], {})) is not None
        True
    """
    if isinstance(spec, StackSpec):
        own = settings_by_part(spec, settings)
        for part in parts(spec):
            yield from layer_uses(part.spec, own[part.place])
        return
    if isinstance(spec, MixerSpec):
        yield "mixer class", spec.class_
        return
    if spec.class_ is not None:
        yield "energy class", spec.class_
    yield "domain", spec.domain
    texts = [spec.formula or "", *(t for c in spec.choices.values() for t in c.options.values())]
    for word in re.findall(r"[A-Za-z]\w*", " ".join(texts)):
        yield "formula function", word
    offered = spec.solver.search.choices if spec.solver.search else ()
    for name in (spec.solver.default, settings.get("solver"), *(offered or ())):
        if name is not None:
            yield "solver", str(name)


def needed(uses: Iterable[Use]) -> list[PluginNeed]:
    """The plug-ins that registered what is used, each with what it registered of that.

    Args:
        uses: what something saved refers to; what is the toolkit's own is passed over.

    Example:
        >>> needed([])
        []
    """
    provides: dict[Plugin, dict[str, list[str]]] = {}
    for kind, name in dict.fromkeys(uses):
        owner = CATALOGUES[kind].owners.get(name) if kind in CATALOGUES else None
        if owner is not None:
            provides.setdefault(owner, {}).setdefault(kind, []).append(name)
    return [
        PluginNeed(
            name=owner.package, version=owner.release, module=owner.module,
            provides={kind: tuple(names) for kind, names in things.items()},
        )
        for owner, things in provides.items()
    ]  # fmt: skip


def read_needs(content: object) -> list[PluginNeed]:
    """The plug-ins in plain data, which anybody may have written, or in its JSON.

    Raises:
        ValidationError: it is no such list.

    Example:
        >>> read_needs([])
        []
    """
    if isinstance(content, bytes):
        return _NEEDS.validate_json(content)
    return _NEEDS.validate_python(content)


def missing(needs: Iterable[PluginNeed]) -> str:
    """What is not there of what was saved with plug-ins, in a sentence; empty if all is.

    Plug-ins that are installed or named are loaded; a module is not imported because it is needed.

    Example:
        >>> missing([])
        ''
    """
    sentences = []
    for need in needs:
        lacks = [f"{kind} {name!r}" for kind, name in need.items() if not _is_there(kind, name)]
        if lacks:
            sentences.append(_sentence(need, lacks))
    return "; ".join(sentences + (failures() if sentences else []))


def carried() -> tuple[str, ...]:
    """Modules that another process has to import to know what this one does.

    Those named as plug-ins, and those that have registered something. Installed plug-ins are found
    there without that; what the main script has registered cannot be carried.

    Example:
        >>> isinstance(carried(), tuple)
        True
    """
    owners = [owner for table in CATALOGUES.values() for owner in table.owners.values()]
    modules = [owner.target for owner in owners if not owner.distribution]
    return tuple(
        dict.fromkeys(m for m in (*named_plugins(), *modules) if m != SCRIPT and is_module_name(m))
    )


def _is_there(kind: str, name: str) -> bool:
    if kind not in CATALOGUES:
        return True  # nobody here would look it up
    try:
        CATALOGUES[kind].lookup(name)
    except UnknownName:
        return False
    return True


def _sentence(need: PluginNeed, lacks: list[str]) -> str:
    things = ", ".join(lacks)
    if need.module == SCRIPT:
        return (
            f"{things}: registered by the script that made it, which is not running; put it into a "
            "module of its own and name that with --plugin"
        )
    package = f"{need.name} {need.version}".strip()
    text = f"the plug-in {package} is needed ({things}) and not loaded here: install it"
    if not is_module_name(need.module):  # anybody may have written it
        return text
    return (
        f"{text}, or name its module (attenergy --plugin {need.module} ..., "
        f"plugins=[{need.module!r}] in Python)"
    )
