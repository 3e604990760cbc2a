"""Every block of code of README, CONTRIBUTING and docs/ does what its page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks_of, pages
from tests.docs.runner import run_page

PAGES = {page.relative_to(ROOT).as_posix(): page for page in pages()}
SLOW = [name for name, page in PAGES.items() if any("slow" in b.run for b in blocks_of(page))]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_runs(name: str, tmp_path: Path) -> None:
    run_page(blocks_of(PAGES[name]), tmp_path, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_page_runs_with_what_takes_long(name: str, tmp_path: Path) -> None:
    run_page(blocks_of(PAGES[name]), tmp_path, slow=True)
