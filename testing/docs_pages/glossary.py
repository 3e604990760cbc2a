"""The page of `docs/` on words, made from what `attenergy explain` prints."""

from __future__ import annotations

from attenergy.registry.explained.glossary import glossary_text


def glossary_page() -> str:
    """The glossary as it is written, with a comment that says where it comes from."""
    source = "registry/explained/glossary.md"
    return glossary_text(f"Made from {source} by `make docs`; a test compares.")
