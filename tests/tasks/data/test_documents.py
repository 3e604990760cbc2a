"""The page on one's own data and its example run."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attenergy.registry import load_registry
from attenergy.search.cli.app import app
from attenergy.tasks import CLASSES

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
LITTLE = ["--steps", "2", "--workers", "0", "--plain", "--seeds", "1", "--fix", "width=8"]


def sections() -> dict[str, str]:
    return dict(part.split("\n", 1) for part in PAGE.split("\n## ")[1:])


def run(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[0] == "compare":
        words += [word for word in LITTLE if word not in {"--seeds", "1"} or "--seeds" not in words]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"{line}\n{result.output}"


def follow(title: str) -> None:
    """What a section's Python says, then what its commands do."""
    text = sections()[title]
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        script = Path(f"part{number}.py")
        script.write_text(code, encoding="utf-8")
        runpy.run_path(str(script))
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if " search " not in line:
                run(line)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_table(here: Path) -> None:
    head, *rows = re.findall(r"```text\n(.*?)```", sections()["A table"], re.DOTALL)[0].splitlines()
    more = [
        f"{9 + k % 7 / 2},{'red' if k % 2 else 'green'},0.{k},{rows[k % 2][-2:]}" for k in range(60)
    ]
    (here / "shop.csv").write_text("\n".join([head, *rows, *more]), encoding="utf-8")
    follow("A table")


@pytest.mark.parametrize("title", ["Sequences", "Graphs", "Datasets of PyTorch"])
def test_a_section(here: Path, title: str) -> None:
    follow(title)


def test_images(here: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow, of the extra `data`")
    for k in range(40):
        file = here / "shots" / ["day", "night"][k % 2] / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.new("L", (8, 8), 5 * k).save(file)
    follow("Images")


def test_a_class_of_ones_own(here: Path) -> None:
    text = sections()["A class of your own"]
    code, entry = (
        re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)[0] for kind in ("python", "yaml")
    )
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    numbers = "\n".join(" ".join(f"{k % 9 + day / 7:.3f}" for day in range(8)) for k in range(90))
    lines = [f"{line[:-5]}{k:.3f}" for k, line in enumerate(numbers.splitlines())]
    (here / "days.txt").write_text("\n".join(lines), encoding="utf-8")
    (here / "temperatures.yaml").write_text(entry, encoding="utf-8")
    (here / "temperatures.py").write_text(code, encoding="utf-8")
    runpy.run_path("temperatures.py")
    try:
        command = re.findall(r"```console\n(.*?)```", text, re.DOTALL)[0].strip()
        run(command.replace("--plugin temperatures ", ""))
    finally:
        del CLASSES["Temperatures"], CLASSES.owners["Temperatures"]


def test_every_task_of_the_page_is_there() -> None:
    named = set(re.findall(r"^\| `([\w-]+)` \|", PAGE.split("\n## ")[0], re.MULTILINE))
    waiting = {
        n for n, s in load_registry(plugins=False).tasks.items() if s.options.get("path") == ""
    }
    assert named == waiting


def test_the_example(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn, of the extra `data`")
    example = runpy.run_path(str(ROOT / "examples" / "own_data.py"))
    example["main"](steps=2, folder=here)
    printed = capsys.readouterr().out
    assert printed.count("softmax: 0.") == printed.count("rbm: 0.") == 2
    assert "price is a class, 2 of them" in printed
