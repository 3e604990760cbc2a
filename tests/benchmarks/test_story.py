"""The pictures and tables of a discovery's story come from the records in its folder."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from attenergy.analysis import landscape
from attenergy.registry import load_registry
from attenergy.search.discovery.results.discovery import save_discovery
from tests.search.discovery.results.conftest import around, made_up, write_final

pytestmark = pytest.mark.long  # whole searches or processes

pytest.importorskip("matplotlib")
FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "discovery"


def test_a_folder_becomes_pictures_and_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import story

    monkeypatch.setattr(story, "landscape", partial(landscape, resolution=10))
    scores = {"softmax": around(0.4), "discovered_5": around(0.5), "random_2": around(0.2)}
    save_discovery(made_up(), tmp_path)
    write_final(tmp_path, "stacked-recall-small", scores, load_registry(plugins=False))
    chosen = "family,ablation,landscape-winner,weights,finals-stacked-recall-small"
    story.main([str(tmp_path), "--pictures", str(tmp_path / "drawn"), "--only", chosen])
    drawn = {path.name for path in (tmp_path / "drawn").iterdir()}
    assert drawn == {f"discovery-{name}.png" for name in chosen.split(",")}
    assert "it beats `softmax` by 0.100" in (tmp_path / "story.md").read_text()
    story.main([str(tmp_path), "--list"])
    assert set(chosen.split(",")) <= set(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        story.main([str(tmp_path), "--only", "no-such"])


def test_what_cannot_be_read_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import story

    def refused(text: str) -> None:
        with pytest.raises(SystemExit) as ended:
            story.main([str(tmp_path), "--list"])
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert text in said
        assert said.count("\n") == 1

    refused("discovered.json: No such file or directory")
    (tmp_path / "discovered.json").write_text("{")
    refused("discovered.json: cannot be read as a discovery: ")
    save_discovery(made_up(), tmp_path)
    write_final(
        tmp_path, "stacked-recall-small", {"softmax": around(0.4)}, load_registry(plugins=False)
    )
    records = tmp_path / "finals" / "stacked-recall-small" / "records.jsonl"
    whole = records.read_text()
    records.write_text(f"damaged\n{whole}")
    refused("records.jsonl:1: ")


def test_nothing_of_the_benchmarks_stays_on_the_path() -> None:
    assert str(FOLDER) not in sys.path
