"""`python -m attenergy.testing.docs_pages.pictures docs [--all] [NAME ...]` draws the pictures.

Those that are there already are left, unless they are named or `--all` is given, so that a broken
run goes on when it is started again. `make docs` then writes the pages around them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from attenergy.registry import Registry, load_registry
from attenergy.testing.docs_pages.pictures.energies import draw_energy
from attenergy.testing.docs_pages.pictures.files import Album, Drawn
from attenergy.testing.docs_pages.pictures.mixers import draw_mixer
from attenergy.testing.docs_pages.pictures.tasks import draw_task

DRAW: dict[str, Callable[[Registry, str], Drawn]] = {
    "energies": draw_energy,
    "mixers": draw_mixer,
    "tasks": draw_task,
}


def main() -> None:
    """Draw what is missing."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the pages of entries.")
    parser.add_argument("docs", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="these alone, and anew")
    parser.add_argument("--all", action="store_true", help="those that are there as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    registry = load_registry(plugins=False)
    album = Album(options.docs / "pictures" / "entries")
    keys = {f"{kind}/{name}" for kind in DRAW for name in getattr(registry, kind)}
    album.forget_others(keys)
    for kind, draw in DRAW.items():
        for name in getattr(registry, kind):
            key = f"{kind}/{name}"
            named = name in options.names
            if not named and (options.names or (album.has(key) and not options.all)):
                continue
            start = time.process_time()
            drawn = draw(registry, name)
            size = album.add(key, drawn)
            print(f"{key:40} {size:6} bytes {time.process_time() - start:5.1f} s", flush=True)


if __name__ == "__main__":
    main()
