"""Every kind of error is explained, with an example that gives it."""

from __future__ import annotations

import importlib
import pickle
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attenergy.registry import ArgumentError, AttenergyError, load_registry
from attenergy.registry.errors import GENERAL, explained_by
from attenergy.registry.explained import EXPLAINED, LAWS, TOPICS, Example, Law
from attenergy.search.cli.app import app
from attenergy.search.cli.errors import topics_of
from attenergy.testing import LAWS as CHECKED
from attenergy.testing import check_law
from attenergy.testing.docs_pages.errors import errors_page, laws_page

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("registry", "energies", "attention", "tasks", "search", "analysis")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder that is also on Python's path, and modules as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(sys.modules)
    yield
    sys.modules.pop("mine", None)
    for name in [name for name, module in sys.modules.items() if module is None]:
        del sys.modules[name]
        if before.get(name) is not None:
            sys.modules[name] = before[name]


def message_of(example: Example, monkeypatch: pytest.MonkeyPatch) -> tuple[str, tuple[str, ...]]:
    """What the example says, and of which topics."""
    for name, text in example.files.items():
        Path(name).write_text(text, encoding="utf-8")
    space: dict[str, Any] = {}
    if example.before.startswith("attenergy "):
        done = CliRunner().invoke(app, shlex.split(example.before)[1:])
        assert done.exit_code == 0, done.output
    elif example.before:
        exec(example.before, space)  # noqa: S102
    if example.language == "python":
        with pytest.raises(AttenergyError) as caught:
            exec(example.code, space)  # noqa: S102
        return str(caught.value), caught.value.topics
    errors: list[BaseException] = []

    def topics(error: BaseException) -> tuple[str, ...]:
        errors.append(error)
        return topics_of(error)

    monkeypatch.setattr("attenergy.search.cli.errors.topics_of", topics)
    done = CliRunner().invoke(app, shlex.split(example.code)[1:])
    assert done.exit_code in {1, 2}, done.output
    assert errors, done.output
    if "lock" in space:
        space["lock"].close()
    pointer = explained_by(topics_of(errors[0]))
    assert done.stderr.rstrip().endswith(pointer), done.stderr
    return done.stderr.rstrip().removesuffix(pointer), topics_of(errors[0])


EXAMPLES = [
    pytest.param(name, marks=pytest.mark.slow) if topic.example.slow else name
    for name, topic in TOPICS.items()
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_topic_gives_the_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    example = TOPICS[name].example
    message, topics = message_of(example, monkeypatch)
    assert topics == (name,)
    parts = [re.escape(part) for part in example.message.split("...")]
    said = message.strip().splitlines()[-example.message.count("\n") - 1 :]  # no progress
    assert re.fullmatch("(?s:.*)".join(parts), "\n".join(said)), message


def test_every_topic_that_an_error_names_is_explained() -> None:
    """And none is explained that no error names."""
    named = {GENERAL}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if path.parent.name != "explained":
                text = path.read_text(encoding="utf-8")
                named |= set(re.findall(r'\btopic(?:: str)? ?= ?"([a-z-]+)"', text))
    named |= set(
        re.findall(r'\bProblem\(.*"([a-z-]+)"\)', (ROOT / "registry/files.py").read_text())
    )
    named |= {"yaml-syntax"}  # the default of `_Builder.complain`
    assert named == set(TOPICS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_example_of_a_law_breaks_it(law: Law) -> None:
    Path(law.file).write_text(law.text, encoding="utf-8")
    if law.file.endswith(".py"):
        energy = importlib.import_module("mine").Mine
    else:
        energy = load_registry("mine.yaml").energies["mine"]
    assert check_law(law.label, energy).passed is False


def test_every_law_is_explained() -> None:
    assert [law.label for law in LAWS] == list(CHECKED)


@pytest.mark.parametrize(
    ("page", "text"), [("errors", errors_page()), ("laws", laws_page())], ids=["errors", "laws"]
)
def test_the_pages_are_up_to_date(page: str, text: str) -> None:
    written = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    assert written == text, "run `make docs`"
    headings = re.findall(r"^### (\S+)$", written, re.MULTILINE)
    known = TOPICS if page == "errors" else [law.name for law in LAWS]
    assert headings == list(known)  # the addresses that messages name


def test_the_command_prints_what_the_page_says() -> None:
    def printed(*names: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["explain", *names])
        assert done.exit_code == code
        return done.stdout if code == 0 else done.stderr

    listed = printed()
    for name in EXPLAINED:
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)
    shown = " ".join(printed("mask", "4").split())
    for text in (TOPICS["mask"].mend, LAWS[3].mend):
        assert " ".join(text.split()) in shown
    assert "did you mean 'formula-type'" in printed("formulatype", code=2)


def test_errors_keep_their_topic_in_other_processes() -> None:
    with pytest.raises(AttenergyError) as caught:
        load_registry("nowhere.yaml")
    for error in (caught.value, ArgumentError("no mask", topic="mask"), ArgumentError("no")):
        twin = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (twin.topics, str(twin)) == (error.topics, str(error))
    assert caught.value.topics == ("file",)
