"""The command `explain` and the page of the glossary have one source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attenergy.registry.explained import EXPLAINED, LAWS
from attenergy.registry.explained.glossary import glossary_words
from attenergy.search.cli.app import app
from attenergy.search.cli.parameters.completion import complete_explanation
from attenergy.testing.docs_pages.glossary import glossary_page

DOCS = Path(__file__).resolve().parents[3] / "docs"
WORDS = glossary_words()


def printed(*names: str) -> str:
    done = CliRunner().invoke(app, ["explain", *names])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def refused(*names: str) -> str:
    done = CliRunner().invoke(app, ["explain", *names])
    assert (done.exit_code, done.stdout) == (2, "")
    return done.stderr.strip()


def headings(*names: str) -> list[str]:
    """What was explained: topics and laws by their names, words in capitals."""
    text = printed(*names)
    topics = [f"{name}: {entry.title}" for name, entry in EXPLAINED.items()]
    words = [f"{name}: a word of the glossary" for name in WORDS]
    lines = [line for line in text.splitlines() if line in topics or line in words]
    return [line.split(":")[0].upper() if line in words else line.split(":")[0] for line in lines]


def test_the_page_is_up_to_date() -> None:
    page = (DOCS / "glossary.md").read_text(encoding="utf-8")
    assert page == glossary_page(), "run `make docs`"
    assert page.splitlines()[2].startswith("<!-- Made from registry/explained/glossary.md")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(WORDS)


@pytest.mark.parametrize("name", WORDS)
def test_every_word_is_explained(name: str) -> None:
    word = WORDS[name]
    for typed in (name, name.upper(), f"{name}s"):
        assert headings(typed)[-1] == name.upper()
    assert headings(*name.split())[-1] == name.upper()
    shown = word.plain()
    assert shown in printed(name)
    assert "](" not in shown
    assert "$" not in shown
    assert max(map(len, shown.split("\n\n", 2)[1].splitlines())) <= 88
    assert word.text.endswith((".", ".)"))
    for page in word.pages:
        assert f"docs/{page}" in shown
        assert (DOCS / page.split("#")[0]).is_file()


@pytest.mark.parametrize(
    ("typed", "explained"),
    [
        ("ceiling finalists Beta", ["CEILING", "FINALIST", "BETA"]),
        ("nobody learned", ["NOBODY LEARNED"]),
        ("ood nobody learned seeds", ["OOD", "NOBODY LEARNED", "SEED"]),
        ("law 9", [LAWS[8].name]),
        ("9 law", [LAWS[8].name, "LAW"]),
        ("step size", ["step-size", "STEP SIZE"]),
        ("step-size", ["step-size", "STEP SIZE"]),
        ("step_size step size", ["step-size", "STEP SIZE"]),
        ("steps", ["STEP"]),
        ("density", ["density"]),
        ("masks", ["mask", "MASK"]),
        ("entries Energies", ["ENTRY", "ENERGY"]),
        ("final", ["FINALS"]),
        ("formula type", ["formula-type"]),
    ],
)
def test_what_was_typed_is_looked_up(typed: str, explained: list[str]) -> None:
    assert headings(*typed.split()) == explained
    if " " in typed and len(explained) == 1:
        assert headings(typed) == explained


def test_an_unknown_word_names_the_nearest() -> None:
    end = "; `attenergy explain` lists all"
    for typed, nearest in {
        "celing": "ceiling",
        "laplacien": "Laplacian",
        "formulatype": "formula-type",
        "nobody lerned": "nobody learned",
    }.items():
        said = f"no explanation {typed!r} (did you mean {nearest!r}?){end}"
        assert refused(*typed.split()) == refused(typed) == said
    assert refused("ceiling", "zzzzzz", "qqqqqq") == f"no explanation 'zzzzzz'{end}"
    assert refused("") == f"no explanation ''{end}"


def test_all_words_are_listed_after_the_topics() -> None:
    topics, _, words = printed().partition("Words:\n")
    assert LAWS[-1].title in topics
    assert " ".join(words.split()) == ", ".join(WORDS)
    assert all(line.startswith("  ") and len(line) <= 88 for line in words.splitlines())


def test_words_are_completed() -> None:
    assert complete_explanation("ceil") == ["ceiling"]
    assert complete_explanation("step") == ["step-size", "step", "step size"]
