"""Writing what a discovery has come to: its data, the entries, the page."""

from __future__ import annotations

from pathlib import Path

from attenergy.registry import Registry
from attenergy.registry.files import write_atomically
from attenergy.registry.printable import markdown
from attenergy.search.discovery.results import tables
from attenergy.search.discovery.results.discovery import ENTRIES, PAGE, Discovery, save_discovery
from attenergy.search.discovery.results.entries import entries_text
from attenergy.search.discovery.results.finding import Finding, judge, read_finals
from attenergy.search.discovery.results.terminal import NOTES
from attenergy.search.results import formats


def write_discovery(
    discovery: Discovery, folder: Path, registry: Registry | None = None, *, with_page: bool = True
) -> Finding:
    """Write `discovered.json`, `discovered.yaml` and `discovery.html` into the folder of a study.

    Args:
        discovery: everything that is known.
        folder: of the study; the finals, if any, are in `finals/` below it.
        registry: whose names are taken, and where nearest energies are looked up; the built-in one
            if None.
        with_page: whether to write the page too, which takes some seconds.

    Returns:
        What was discovered, in a sentence.

    Raises:
        NoMatplotlib: the page is wanted, without matplotlib.
        NoTemplates: the page is wanted, without jinja2.
    """
    save_discovery(discovery, folder)
    write_atomically(folder / ENTRIES, entries_text(discovery, registry))
    if with_page:
        from attenergy.search.discovery.results.page import page

        write_atomically(folder / PAGE, page(folder, discovery, registry))
    return judge(discovery, read_finals(folder, discovery))


def as_markdown(folder: Path, discovery: Discovery) -> str:
    """The discovery in Markdown: the sentence, then every table that has rows.

    Raises:
        ValueError: a record of the finals is damaged.
    """
    finding = judge(discovery, read_finals(folder, discovery))
    shown = tables.shown(
        [
            tables.best_formulas(discovery, finding.winner),
            tables.against(finding),
            tables.equal_seconds(discovery),
            tables.ablation(discovery),
            tables.laws(discovery),
            tables.rungs(discovery),
            tables.filters(discovery),
            tables.arms(discovery),
        ]
    )
    parts = [f"# {markdown(discovery.name)}", markdown(finding.verdict.sentence, code=True)]
    for table in shown:
        parts += [f"## {table.title}", formats.markdown_table(table.header, table.rows)]
    return "\n\n".join([*parts, "\n".join(f"- {markdown(note)}" for note in NOTES)]) + "\n"
