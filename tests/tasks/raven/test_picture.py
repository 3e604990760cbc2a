from __future__ import annotations

import sys

import pytest

from attenergy.tasks import Raven, RavenInstance

pytest.importorskip("matplotlib")

from matplotlib import image as images
from matplotlib.figure import Figure

from attenergy.tasks.raven.picture import draw


def texts(instance: RavenInstance, tmp_path, monkeypatch) -> list[str]:
    """Everything that is written in the picture of a matrix."""
    figures: list[Figure] = []
    save = Figure.savefig

    def save_and_record(figure: Figure, *args, **options) -> None:
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", save_and_record)
    draw(instance, tmp_path / "matrix.png")
    return [text.get_text() for text in figures[0].axes[0].texts]


@pytest.mark.parametrize(("features", "grid", "rules"), [(1, 3, 8), (4, 3, 8), (5, 2, 5)])
def test_a_picture_shows_every_number_and_rule(
    tmp_path, monkeypatch, features: int, grid: int, rules: int
) -> None:
    instance = Raven(features=features, grid=grid, rules=rules).sample("test", 0)
    shown = texts(instance, tmp_path, monkeypatch)
    context = instance.shown.flatten().tolist()[:-features]
    numbers = [*context, *instance.grid.flatten().tolist(), *instance.answer]
    assert sorted(t for t in shown if t.isdigit()) == sorted(map(str, numbers))
    assert shown.count("?") == 1
    for rule in instance.rules:
        assert any(t.startswith(rule.split("_")[0]) for t in shown)
    pixels = images.imread(tmp_path / "matrix.png")
    assert pixels.shape[1] > pixels.shape[0] > 150
    assert pixels[..., :3].std() > 0.02  # not a blank page


def test_a_rule_is_written_as_people_write_it(tmp_path, monkeypatch) -> None:
    task = Raven(features=1, rules="constant,progression_minus_2", ood_fraction=0.5)
    split = "test" if task.in_distribution.item() == 1 else "ood"
    shown = texts(task.sample(split, 0), tmp_path, monkeypatch)
    assert "progression \N{MINUS SIGN}2" in shown


def test_an_ending_that_cannot_be_written_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="foo"):
        draw(Raven(features=2).sample("test", 0), tmp_path / "matrix.foo")


def test_without_matplotlib_the_install_line_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install attenergy\[report\]"):
        draw(Raven(features=2).sample("test", 0), tmp_path / "matrix.png")
