"""The glossary has one place for each word."""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "glossary.md").read_text()


def test_words_stand_once_and_in_their_order() -> None:
    words = [word.lower() for word in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)]
    assert words == sorted(set(words))
    assert len(words) > 80


def test_every_word_is_explained_somewhere() -> None:
    entries = re.split(r"^## .*$", PAGE, flags=re.MULTILINE)[1:]
    assert all(re.search(r"\(\[.*?\]\(.*?\).*\)\s*$", entry) for entry in entries)
