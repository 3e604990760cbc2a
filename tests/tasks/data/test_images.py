from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from attenergy.registry import AttenergyError
from attenergy.tasks import IGNORE, Images

Image = pytest.importorskip("PIL.Image", reason="needs Pillow, of the extra `data`")


def draw(path: Path, colour: tuple[int, ...] | int, size: tuple[int, int] = (8, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "L" if isinstance(colour, int) else "RGB"
    image = Image.new(mode, size, colour)
    image.putpixel((1, 2), 255 if mode == "L" else (255, 0, 0))
    image.save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shade = random.Random(0).sample(range(200), 40)
    for k in range(40):
        draw(tmp_path / "shots" / ["day", "night"][k % 2] / f"{k}.png", shade[k])
    (tmp_path / "shots" / "notes.txt").write_text("not an image")
    (tmp_path / "shots" / "day" / ".hidden.png").write_text("nor this")
    return tmp_path / "shots"


def test_patches_are_cut_row_by_row(folder: Path) -> None:
    task = Images(path=str(folder), patch=2)
    assert (task.inputs.length, task.inputs.size) == (2 * 4 + 1, 4)
    batch = task.batch("train", 0, 5)
    data = task.instances("train", 0, 5)
    pixels = data["pixels"].float()
    train = task.instances("train", 0, task.sizes["train"])["pixels"].double()
    mean, deviation = train.mean(), train.std(correction=0)
    scaled = (pixels[..., 0] - mean) / deviation
    for row, column in ((0, 0), (1, 3)):
        patch = scaled[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].flatten(1)
        torch.testing.assert_close(batch.inputs[:, 4 * row + column].double(), patch.double())
    assert (batch.inputs[:, -1] == 0).all()
    assert (batch.targets[:, :-1] == IGNORE).all()
    names = [str(task.sample("train", k)).split("/")[0] for k in range(5)]
    assert names == [["day", "night"][k] for k in batch.targets[:, -1]]


def test_folders_may_say_the_split(tmp_path: Path) -> None:
    for split, count in (("train", 20), ("val", 6), ("test", 8)):
        for k in range(count):
            draw(tmp_path / split / "ab"[k % 2] / f"{k}.bmp", len(split) + 5 * k)
    draw(tmp_path / "train" / "a" / "again.bmp", 7)
    draw(tmp_path / "test" / "b" / "again.bmp", 7)
    task = Images(path=str(tmp_path), patch=4)
    assert task.sizes["valid"] <= 6
    assert any("rows of train are left out" in note for note in task.notes)
    shown = {task.sample("test", k).file for k in range(task.sizes["test"])}
    assert all(file.startswith("test/") for file in shown)


def test_colours_and_sizes(folder: Path) -> None:
    assert Images(path=str(folder), channels=3).inputs.size == 16 * 3
    draw(folder / "day" / "colour.png", (1, 2, 3))
    assert Images(path=str(folder)).inputs.size == 16 * 3
    assert Images(path=str(folder), channels=1).inputs.size == 16
    draw(folder / "night" / "large.jpg", 9, (16, 16))
    with pytest.raises(
        ValueError, match=r"several sizes: .* is 8 x 4, .*large.jpg is 16 x 16; .*--set size=4"
    ):
        Images(path=str(folder))  # fmt: skip
    assert Images(path=str(folder), size=16).inputs.length == 16 + 1


def test_images_that_change_are_other_images(folder: Path) -> None:
    task = Images(path=str(folder))
    moved = folder.rename(folder.with_name("moved"))
    assert Images(path=str(moved)).content == task.content
    draw(moved / "day" / "0.png", 250)
    assert Images(path=str(moved)).content != task.content
    with pytest.raises(ValueError, match="have changed"):
        Images(path=str(moved), content=task.content)


def test_what_cannot_be_read_is_refused(folder: Path) -> None:
    for options, said in (
        ({"path": str(folder / "day")}, r"no images .* in folders named after their classes"),
        ({"path": str(folder / "notes.txt")}, "must be a folder"),
        ({"path": str(folder.with_name("shot"))}, "did you mean 'shots'"),
        ({"patch": 3}, "'patch' must divide the images, which are 8 x 4, got 3; allowed: 1, 2, 4"),
        ({"channels": 2}, "'channels' must be 0, 1 or 3, got 2"),
        ({"path": "sklearn:wine"}, "holds no images"),
    ):
        with pytest.raises(ValueError, match=said):
            Images(**({"path": str(folder)} | options))
    (folder / "day" / "bad.png").write_bytes(b"\x89PNG but no more")
    with pytest.raises(ValueError, match=r"bad.png: cannot be read as an image"):
        Images(path=str(folder))
    # What says that it is a PNG is not handed to another reader.
    (folder / "day" / "bad.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    with pytest.raises(ValueError, match=r"bad.png: cannot be read as an image"):
        Images(path=str(folder))


def test_links_and_names_that_lead_nowhere_are_refused(folder: Path) -> None:
    link = folder / "day" / "link.png"
    for target in ("nowhere.png", "link.png", "/dev/zero"):
        link.symlink_to(target)
        with pytest.raises(AttenergyError, match=r"link.png: "):
            Images(path=str(folder))
        link.unlink()
    try:
        draw(folder / "day" / "\udcff.png", 1)
    except OSError:
        pytest.skip("names are UTF-8 on this system")
    with pytest.raises(AttenergyError, match="is no UTF-8: rename it"):
        Images(path=str(folder))


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_sixteen_bits_become_eight_not_white(tmp_path: Path, ending: str) -> None:
    shades = np.random.default_rng(0).integers(0, 1 << 16, (40, 4, 4), dtype=np.uint16)
    for k, shade in enumerate(shades):
        path = tmp_path / "ab"[k % 2] / f"{k}.{ending}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(shade).save(path)
    task = Images(path=str(tmp_path), patch=4)
    drawn = task.instances("train", 0, 5)
    files = [task.sample("train", k).file for k in range(5)]
    numbers = [int(Path(file).stem) for file in files]
    assert drawn["pixels"][..., 0].tolist() == (shades[numbers] >> 8).tolist()
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a" / "0.tiff")
    with pytest.raises(AttenergyError, match="pixels of 32 bits have no known range"):
        Images(path=str(tmp_path))


@pytest.mark.parametrize(("patch", "said"), [(1, "length = 1048577"), (1024, "2 positions of 1,0")])
def test_instances_that_are_too_large_for_a_model(tmp_path: Path, patch: int, said: str) -> None:
    for k in range(12):
        draw(tmp_path / "ab"[k % 2] / f"{k}.bmp", k, (1024, 1024))
    with pytest.raises(AttenergyError, match=f"the data do not fit a model: .*{said}"):
        Images(path=str(tmp_path), patch=patch)


def test_digits_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn")
    whole = datasets.load_digits()
    task = Images(path="sklearn:digits", patch=2)
    assert (task.inputs.length, task.inputs.size, task.outputs.size) == (17, 4, 10)
    row = int(task.instances("test", 3, 1)["row"])
    assert task.sample("test", 3).answer == str(whole.target[row])
    assert torch.equal(
        task.instances("test", 3, 1)["pixels"][0, ..., 0], torch.tensor(whole.images[row]).byte()
    )
