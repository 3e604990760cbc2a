"""The pictures of the pages: small, whole, and of every entry."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from attenergy.registry import load_registry
from attenergy.testing.docs_pages.pictures.energies import draw_energy
from attenergy.testing.docs_pages.pictures.files import MOST_BYTES, WIDTH, Album, Drawn, png
from attenergy.testing.docs_pages.pictures.mixers import draw_mixer
from attenergy.testing.docs_pages.pictures.tasks import draw_task

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "pictures" / "entries"
REGISTRY = load_registry(plugins=False)
KINDS = ("energies", "mixers", "tasks")


def test_every_entry_has_a_picture_or_a_reason_why_not() -> None:
    album = Album(FOLDER)
    keys = {f"{kind}/{name}" for kind in KINDS for name in getattr(REGISTRY, kind)}
    assert set(album.about) == keys
    files = {p.relative_to(FOLDER).with_suffix("").as_posix(): p for p in FOLDER.glob("*/*.png")}
    assert set(files) == {key for key, about in album.about.items() if "why not" not in about}
    sizes = [path.stat().st_size for path in files.values()]
    assert max(sizes) <= MOST_BYTES
    assert sum(sizes) < 4_000_000
    for about in album.about.values():
        assert all(about.values())


def test_what_is_there_is_not_drawn_again(tmp_path: Path) -> None:
    album = Album(tmp_path)
    assert not album.has("energies/lse")
    album.add("energies/lse", Drawn(Image.new("RGB", (960, 400), "white"), "x", "y", "z"))
    album.add("energies/none", Drawn(None, "it is a game."))
    again = Album(tmp_path)
    assert again.has("energies/lse")
    assert again.has("energies/none")
    (tmp_path / "energies" / "lse.png").unlink()
    assert not again.has("energies/lse")
    again.forget_others({"energies/lse"})
    assert list(again.about) == ["energies/lse"]


def test_a_picture_of_many_colours_is_small_all_the_same() -> None:
    content = png(Image.effect_noise((1200, 900), 90).convert("RGB"), "noise")
    assert len(content) <= 3 * MOST_BYTES  # noise cannot be made smaller
    plain = png(Image.linear_gradient("L").resize((1200, 900)).convert("RGB"), "plain")
    assert len(plain) <= MOST_BYTES


@pytest.mark.parametrize(
    ("draw", "name"),
    [(draw_energy, "classical_hopfield"), (draw_mixer, "window"), (draw_task, "latch")],
)
def test_a_picture_is_drawn_with_words(draw, name) -> None:
    drawn = draw(REGISTRY, name)
    assert drawn.image is not None
    assert drawn.image.width >= WIDTH
    assert len(drawn.image.getcolors(1 << 24)) > 8
    assert name in drawn.alt
    assert name in drawn.command
    assert drawn.caption.endswith(".")


def test_an_entry_that_cannot_be_drawn_says_why() -> None:
    drawn = draw_energy(REGISTRY, "causal_tokens")
    assert drawn.image is None
    assert "energy of its own" in drawn.caption
    assert draw_task(REGISTRY, "table").image is None
