"""Registry files to one `Registry` of validated entries."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from pydantic import ValidationError

from attenergy.registry.checks import check
from attenergy.registry.error_messages import explain
from attenergy.registry.errors import (
    ArgumentError,
    ArgumentTypeError,
    Path,
    Place,
    Problem,
    RegistryError,
    UnknownName,
    nearest,
)
from attenergy.registry.files import Source, builtin_source, plugin_sources, read_text, user_source
from attenergy.registry.plugins import leave_out
from attenergy.registry.specs import (
    BundleSpec,
    EnergySpec,
    MixerSpec,
    RegistryFile,
    StackEntry,
    TaskSpec,
)
from attenergy.registry.stacks import VariantSpec, entered_stack, is_stack_name, named_stack
from attenergy.registry.tunables import Range
from attenergy.registry.yaml_document import Document, read_yaml
from attenergy.registry.yaml_scalars import Text

_OF_A_FILE = "from a file of yours: --registry FILE, in Python registry=FILE"
#: Of an energy, as they are written.
_KEYS = {field.alias or name for name, field in EnergySpec.model_fields.items()}
_MOST_PROBLEMS = 200  # of one kind in one file; nobody reads more, and each takes time


@dataclass(frozen=True)
class Registry:
    """Energies, mixers, stacks, tasks, search spaces and bundles, by name, in the files' order.

    `places` says where each part of an entry was written: `places["energies", "lse"]` is its key,
    `places["energies", "lse", "formula"]` the first character of the formula. `files` are the
    files read.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> registry.energies["lse"].formula
        '0.5*|xi|^2 - lse(beta * X @ xi + h)/beta'
        >>> registry.task("latch").title
        'The first symbol decides the class, distractors follow'
    """

    energies: dict[str, EnergySpec] = field(default_factory=dict)
    mixers: dict[str, MixerSpec] = field(default_factory=dict)
    stacks: dict[str, StackEntry] = field(default_factory=dict)
    tasks: dict[str, TaskSpec] = field(default_factory=dict)
    spaces: dict[str, dict[str, Range]] = field(default_factory=dict)
    bundles: dict[str, BundleSpec] = field(default_factory=dict)
    places: dict[Path, Place] = field(default_factory=dict, repr=False)
    texts: dict[Path, Text] = field(default_factory=dict, repr=False)
    files: tuple[str, ...] = ()

    def layer(self, name: str) -> EnergySpec | MixerSpec:
        """The energy or mixer of this name.

        Raises:
            UnknownName: there is none.
            ArgumentError: it is a stack's.
        """
        spec = self.energies.get(name) or self.mixers.get(name)
        if spec is None and (name in self.stacks or is_stack_name(name)):
            raise ArgumentError(
                f"one energy or mixer is needed, and {name!r} is a stack of them", topic="stack"
            )
        if spec is None:
            raise self._unknown("energy or mixer", name, [*self.energies, *self.mixers])
        return spec

    def variant(self, name: str) -> VariantSpec:
        """The energy, mixer or stack of this name; `lse/hyla` and `lse+rbm` are stacks too.

        Raises:
            UnknownName: there is none.
        """
        if name in self.stacks:
            return entered_stack(self.stacks[name], self.layer)
        if is_stack_name(name):
            return named_stack(name, self.layer)
        known = {**self.energies, **self.mixers}
        if name not in known:
            raise self._unknown("energy or mixer", name, [*known, *self.stacks])
        return self.layer(name)

    def task(self, name: str) -> TaskSpec:
        """The task of this name.

        Raises:
            UnknownName: there is none.
        """
        if name not in self.tasks:
            raise self._unknown("task", name, self.tasks)
        return self.tasks[name]

    def space(self, name: str) -> dict[str, Range]:
        """The search space of this name: a range for each quantity that it varies.

        Raises:
            UnknownName: there is none.
        """
        if name not in self.spaces:
            raise UnknownName("space", name, self.spaces)
        return self.spaces[name]

    def bundle(self, name: str) -> BundleSpec:
        """The bundle of tasks of this name.

        Raises:
            UnknownName: there is none.
        """
        if name not in self.bundles:
            raise UnknownName("bundle", name, self.bundles)
        return self.bundles[name]

    def _unknown(self, kind: str, name: str, known: Iterable[str]) -> UnknownName:
        """The error for a name; one that resembles no other may stand in a file not given."""
        known = tuple(known)
        alone = len(self.files) < 2 and not nearest(name, known)
        return UnknownName(kind, name, known, _OF_A_FILE if alone else "")

    def locate(self, path: Path, offset: int) -> Place | None:
        """Where character `offset` of the text at `path` was written, None if it was not.

        `path` is as in `places`; the text may be quoted or run over several lines.
        """
        text = self.texts.get(path)
        return text.at(offset) if text is not None else None


#: What is taken where a registry is asked for: one, or the path of a file on top of the built-in.
RegistryLike = Registry | str | os.PathLike[str]


def load_registry(
    *paths: str | os.PathLike[str], builtin: bool = True, plugins: bool = True
) -> Registry:
    """Read the built-in registry, those of installed plug-ins, and the given files.

    Args:
        paths: further YAML files. A file named twice is read once.
        builtin: read the toolkit's own entries.
        plugins: read the files of the entry point group `attenergy.registries`. A plug-in that
            cannot be imported or read, or whose file is wrong, is left out with a `PluginWarning`.

    Raises:
        RegistryError: anything wrong in any of the other files; all of it is reported at once.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> "lse" in registry.energies, "raven" in registry.tasks
        (True, True)
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    for source in _sources(paths, builtin=builtin, plugins=plugins):
        if source.plugin:
            documents += _plugged(source, documents)
            continue
        try:
            documents.append(_document(read_text(source), source.file))
        except RegistryError as error:
            problems += error.problems
    problems += _problems(documents, complete=not problems)
    if problems:
        raise RegistryError(problems)
    return _merge([_validated(document) for document in documents], documents)


def readable_energies(*paths: str | os.PathLike[str]) -> Registry:
    """The energies of files that `load_registry` refuses, as far as they can be read.

    An entry without a title, or with unknown keys, is read without them, so that the mistakes in
    its formula can be reported beside those; any other mistake leaves the entry out.

    Example:
        >>> with open("bad.yaml", "w") as file:
        ...     _ = file.write("{version: 1, energies: {mine: {formla: x, formula: lsee(xi)}}}")
        >>> readable_energies("bad.yaml").energies["mine"].formula
        'lsee(xi)'
    """
    documents = []
    for source in _sources(paths, builtin=False, plugins=False):
        with suppress(RegistryError):
            documents.append(_document(read_text(source), source.file))
    files = [RegistryFile(version=1, energies=dict(_readable(each))) for each in documents]
    return _merge(files, documents)


def _readable(document: Document) -> Iterator[tuple[str, EnergySpec]]:
    for name in document.section("energies"):
        entry = {"title": name, **document.section("energies", name)}
        known = {key: value for key, value in entry.items() if key in _KEYS}
        with suppress(ValidationError):
            yield name, EnergySpec.model_validate(known, strict=True, by_name=False)


def given_registry(registry: RegistryLike | None) -> Registry:
    """The registry that a caller gave: one, a file, or None for the built-in one and plug-ins.

    A file's entries come on top of the built-in ones, as with `load_registry`.

    Raises:
        RegistryError: anything wrong in the file.
        TypeError: it is none of them.

    Example:
        >>> "lse" in given_registry(None).energies
        True
    """
    if registry is None:
        return load_registry()
    if isinstance(registry, (str, os.PathLike)):
        return load_registry(registry)
    if not isinstance(registry, Registry):
        raise ArgumentTypeError(
            "registry must be a Registry, as load_registry(files) gives it, the path of a file, or "
            f"None, got {type(registry).__name__}"
        )
    return registry


@lru_cache(maxsize=8)
def _document(text: str, file: str) -> Document:
    # Reading the built-in file takes a quarter of a second; its text decides the result.
    return read_yaml(text, file)


def _problems(documents: list[Document], *, complete: bool = True) -> list[Problem]:
    problems = []
    for document in documents:
        problems += document.problems
        try:
            _validated(document)
        except ValidationError as error:
            problems += islice(explain(error, document), _MOST_PROBLEMS)
    return [*problems, *islice(check(documents, complete=complete), _MOST_PROBLEMS)]


def _validated(document: Document) -> RegistryFile:
    return RegistryFile.model_validate(document.data, strict=True, by_name=False)


def _plugged(source: Source, before: list[Document]) -> list[Document]:
    """The document of a plug-in; none, and a warning, if anything is wrong with it."""
    try:
        document = _document(read_text(source), source.file)
        problems = [
            problem
            for problem in _problems([*before, document])
            if problem.place.file == source.file
        ]
        if problems:
            raise RegistryError(problems)
    except Exception as error:  # where its file lies is foreign code, too
        leave_out(source.plugin, str(error))
        return []
    return [document]


def _sources(
    paths: tuple[str | os.PathLike[str], ...], *, builtin: bool, plugins: bool
) -> list[Source]:
    named = [builtin_source()] if builtin else []
    named += plugin_sources() if plugins else ()
    named += map(user_source, paths)
    sources: dict[str, Source] = {}
    for source in named:
        sources.setdefault(source.identity, source)
    return list(sources.values())


def _merge(files: list[RegistryFile], documents: list[Document]) -> Registry:
    registry = Registry(files=tuple(document.file for document in documents))
    for content, document in zip(files, documents, strict=True):
        registry.energies.update(content.energies)
        registry.mixers.update(content.mixers)
        registry.stacks.update(content.stacks)
        registry.tasks.update(content.tasks)
        registry.spaces.update(content.spaces)
        registry.bundles.update(content.bundles)
        for path in document.values:
            if len(path) > 1:  # the sections themselves stand in every file
                text = document.texts.get(path)
                registry.places[path] = text.place if text else document.place(path)
        registry.texts.update(document.texts)
    return registry
