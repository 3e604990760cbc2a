"""Whatever the file holds, it is a registry or a RegistryError; and scalars read as in YAML 1.2."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attenergy.registry import Registry, RegistryError, load_registry
from attenergy.registry.yaml_scalars import read_scalar

WORDS = [
    *["version: 1", "energies:", "mixers:", "tasks:", "spaces:", "default:", "search:", "low:"],
    *["high:", "choices:", "title: t", "formula: ", "class: C", "parameters:", "options:"],
    *["init: 1.0", "model: {}", "a:", "b:", "\n", "\n  ", "\n    ", "\t", " ", "- ", "? ", ": "],
    *[", ", "[", "]", "{", "}", "&x ", "*x", "<<: *x", "!t ", "!!str ", "'", '"', "|", ">", ">-"],
    *["#", "---\n", "...\n", "1e3", ".inf", "0x1F", "true", "null", "~", "%YAML 1.2\n", "@", "`"],
    *["\\", "\u00e9", "\u2028", "\x00", "\ud7ff", "\ufeff", "1e999"],
]
BREAKS = "\n\r\x85\u2028\u2029"  # all of these end a line in YAML
KEYS = st.sampled_from(
    [
        *["version", "energies", "mixers", "tasks", "spaces", "title", "formula", "class"],
        *["energy", "parameters", "choices", "options", "steps", "step_size", "default", "search"],
        *["low", "high", "log", "step", "model", "training", "space", "init", "layers", "heads"],
        *["width", "learning_rate", "domain", "shape", "argument", "quadratic", "a", "B", "xi"],
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
TREES = st.recursive(
    SCALARS | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
ENTRIES = st.dictionaries(st.sampled_from(["a", "b", "C"]), TREES, max_size=2)
REGISTRIES = st.fixed_dictionaries(
    {"version": st.just(1)},
    optional=dict.fromkeys(("energies", "mixers", "tasks", "spaces"), ENTRIES),
)


def read(folder: Path, content: bytes) -> Registry | RegistryError:
    path = folder / "any.yaml"
    path.write_bytes(content)
    try:
        return load_registry(path, builtin=False, plugins=False)
    except RegistryError as error:
        return error


def check(folder: Path, content: bytes) -> None:
    """A registry, or problems that stand inside the file and can be written to a screen."""
    result = read(folder, content)
    if isinstance(result, Registry):
        return
    assert result.problems
    assert str(result).encode()
    assert all(problem.message for problem in result.problems)
    breaks = sum(content.decode("utf-8", "replace").count(mark) for mark in BREAKS)
    assert all(1 <= problem.place.line <= breaks + 1 for problem in result.problems)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


@settings(max_examples=100)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode()))
def test_any_bytes(folder: Path, content: bytes) -> None:
    check(folder, content)


@settings(max_examples=300)
@given(words=st.lists(st.sampled_from(WORDS), max_size=30))
@example(words=['"\\U00110000"'])
@example(words=["%YAML 1.", "9" * 5000, "\n---\na"])
@example(words=["a: ", "9" * 5000])
@example(words=["? ", "9" * 5000])
def test_any_words_of_yaml(folder: Path, words: list[str]) -> None:
    text = "".join(words)
    check(folder, text.encode())


@pytest.mark.long
@settings(max_examples=120)
@given(data=REGISTRIES | st.dictionaries(KEYS, TREES, max_size=4))
def test_any_tree_of_known_keys(folder: Path, data: dict[str, Any]) -> None:
    text = yaml.safe_dump(data, allow_unicode=True)
    check(folder, text.encode())


@given(value=st.floats(allow_nan=False, allow_infinity=False))
@example(value=1e-3)
@example(value=-0.0)
def test_floats_are_read_back_exactly(value: float) -> None:
    for text in (repr(value), f"{value:.17e}", f"{value:.17E}", f"{value:+.17e}"):
        got = read_scalar(text)
        assert isinstance(got, float | int)
        assert got == value


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_integers_are_read_back_exactly(value: int) -> None:
    for text in (str(value), f"{value:+d}", f"{value:020d}"):
        assert read_scalar(text) == value
        assert isinstance(read_scalar(text), int)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1e-3", 0.001), ("1E5", 1e5), ("1e5", 1e5), (".5", 0.5), ("-.5", -0.5), ("2.", 2.0)],
        *[("-3", -3), ("+2", 2), ("010", 10), ("0o17", 15), ("0xfF", 255), ("-0", 0)],
        *[("true", True), ("True", True), ("FALSE", False)],
        *[("null", None), ("~", None), ("", None), ("NULL", None)],
        *[(text, text) for text in ("no", "on", "yes", "off", "y", "tRue", "12:30:00", "1_000")],
        *[
            (text, text)
            for text in ("2024-01-01", "1e", "e3", ".", "-", "0x", "0b1", "1.2.3", "inf")
        ],
        *[(text, text) for text in ("nan", "1 2", "0o8", "--1", "\uff11")],
    ],
)
def test_unquoted_words(text: str, value: object) -> None:
    got = read_scalar(text)
    assert type(got) is type(value)
    assert got == value


@pytest.mark.parametrize("text", [".inf", "-.Inf", "+.INF", ".nan", ".NaN", "1e999", "-1e400"])
def test_numbers_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"finite|64 bits"):
        read_scalar(text)


@pytest.mark.parametrize("text", [str(2**63), str(-(2**63) - 1), "9" * 10_000, "0x" + "f" * 17])
def test_whole_numbers_beyond_64_bits_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too large for 64 bits"):
        read_scalar(text)
    assert not math.isinf(read_scalar("1e308"))  # type: ignore[arg-type]
