"""Every block of code of README, CONTRIBUTING and docs/ does what its page says.

The generated pages of energies, mixers and tasks have few kinds of blocks; the first page of each
kind is always run, and all of them by `make test-slow`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks_of, pages
from tests.docs.commands import ELSEWHERE, lines_of
from tests.docs.runner import run_page

BLOCKS = {page.relative_to(ROOT).as_posix(): blocks_of(page) for page in pages()}
ENTRIES = {"docs/energies", "docs/mixers", "docs/tasks"}
#: Blocks that no test runs whole: each has its reason beside it.
MOST_WITH_A_REASON = 19


def kind_of(name: str) -> str:
    """What the page of an entry has in common with others: its code without its own name."""
    own, text = re.compile(rf"[\w-]*{re.escape(Path(name).stem)}[\w-]*"), [str(Path(name).parent)]
    for block in BLOCKS[name]:
        code = own.sub("NAME", block.code) if block.language in {"python", "sh"} else ""
        text += [block.language, *sorted(block.run), re.sub(r"--sweep \w+", "--sweep", code)]
    return "\n".join(text)


def always() -> list[str]:
    """The pages that are run each time."""
    entries = [name for name in sorted(BLOCKS) if str(Path(name).parent) in ENTRIES]
    first = {kind_of(name): name for name in reversed(entries)}
    return sorted({*BLOCKS} - {*entries} | {*first.values()})


ALWAYS = always()
SLOW = [n for n in BLOCKS if n not in ALWAYS or any("slow" in b.run for b in BLOCKS[n])]


@pytest.mark.parametrize("name", ALWAYS)
def test_a_page_runs(name: str, tmp_path: Path) -> None:
    run_page(BLOCKS[name], tmp_path, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_page_runs_with_what_takes_long(name: str, tmp_path: Path) -> None:
    run_page(BLOCKS[name], tmp_path, slow=True)


def never_run(block: Block) -> bool:
    """Whether it has a line that no test runs."""
    programs = {w for line, _ in lines_of(block.code) for w in re.findall(r"[\w-]+", line)}
    return "checked" in block.run or (block.language == "sh" and bool(programs & ELSEWHERE))


def test_what_is_never_run_has_its_reason() -> None:
    blocks = [block for name in BLOCKS for block in BLOCKS[name]]
    assert [b.place for b in blocks if "checked" in b.run and not b.because] == []
    assert [b.place for b in blocks if b.because and not never_run(b)] == []
    reasons = [f"{b.place}: {b.because}" for b in blocks if b.because]
    assert len(reasons) <= MOST_WITH_A_REASON, "\n".join(reasons)


def test_some_pages_of_entries_are_run_each_time() -> None:
    """One of each kind, and few of them."""
    entries = {name for name in BLOCKS if str(Path(name).parent) in ENTRIES}
    assert len({kind_of(name) for name in entries}) == len(entries & {*ALWAYS}) < len(entries) / 4
    assert entries - {*ALWAYS} <= {*SLOW}
