from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from attenergy.tasks import Text

LETTERS = bytes(range(33, 127))


@pytest.fixture
def unlike(tmp_path: Path) -> Path:
    """A file in which no eight bytes occur twice."""
    path = tmp_path / "unlike.bin"
    path.write_bytes(random.Random(0).randbytes(40_000))
    return path


def test_windows_are_pieces_of_the_text_and_targets_the_next_bytes(unlike: Path) -> None:
    content = unlike.read_bytes()
    task = Text(path=str(unlike), length=16)
    batch = task.batch("train", 0, 50)
    assert batch.inputs.shape == batch.targets.shape == (50, 16)
    assert batch.mask is None
    for inputs, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        at = content.index(bytes(inputs))
        assert content[at + 1 : at + 17] == bytes(targets)


def test_splits_share_no_byte_and_stay_on_their_pages(unlike: Path) -> None:
    content = unlike.read_bytes()
    task = Text(path=str(unlike), length=16)
    pages = {}
    for split in task.splits:
        starts = {
            content.index(bytes(row)) for row in task.instances(split, 0, 2000)["windows"].tolist()
        }
        pages[split] = {start // 2000 for start in starts}
        assert pages[split] == {(start + 16) // 2000 for start in starts}
    assert [len(pages[split]) for split in task.splits] == [18, 1, 1]
    assert len(set.union(*pages.values())) == 20
    other = Text(path=str(unlike), length=16, split_seed=1)
    assert not torch.equal(other.batch("test", 0, 9).inputs, task.batch("test", 0, 9).inputs)


def test_equal_windows_belong_to_one_split_wherever_they_stand(tmp_path: Path) -> None:
    words = [bytes(random.Random(i).choices(LETTERS, k=6)) for i in range(30)]
    path = tmp_path / "refrain.txt"
    path.write_bytes(b" ".join(random.Random(0).choices(words, k=8000)))
    task = Text(path=str(path), length=7)
    windows = [
        {tuple(row) for row in task.instances(split, 0, 2000)["windows"].tolist()}
        for split in task.splits
    ]
    assert sum(map(len, windows)) == len(set.union(*windows))


def test_training_alone_depends_on_the_seed(unlike: Path) -> None:
    tasks = [Text(path=str(unlike), length=16, seed=seed) for seed in (0, 1)]
    for split in tasks[0].splits:
        same = torch.equal(*(task.batch(split, 0, 20).inputs for task in tasks))
        assert same == (split != "train")


def test_a_text_is_the_same_wherever_it_lies(unlike: Path, tmp_path: Path) -> None:
    copy = tmp_path / "folder" / "copy.txt"
    copy.parent.mkdir()
    copy.write_bytes(unlike.read_bytes())
    task, other = (Text(path=str(path), length=16) for path in (unlike, copy.parent))
    for split in task.splits:
        assert torch.equal(task.batch(split, 0, 9).inputs, other.batch(split, 0, 9).inputs)
    assert other.options["path"] == str(copy.parent)


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name, letter in (("c.txt", b"c"), ("b/a.txt", b"b"), ("a.txt", b"a"), ("d.md", b"d"),
                         (".hidden/x.txt", b"x"), (".y.txt", b"y")):  # fmt: skip
        (tmp_path / name).write_bytes(letter * 8000)
    task = Text(path=str(tmp_path), suffix=".txt", length=4, max_bytes=20_000)
    read = bytes(task.content.flatten().tolist())
    assert read == b"a" * 8000 + b"b" * 8000 + b"c" * 4000
    assert [file.name for file in Text(path=str(tmp_path), length=4).files] == [
        "a.txt", "a.txt", "c.txt", "d.md",
    ]  # fmt: skip


def test_metrics_of_equal_and_of_certain_logits(tmp_path: Path) -> None:
    path = tmp_path / "four.txt"
    path.write_bytes(bytes(random.Random(0).choices(b"abcd", k=40_000)))
    task = Text(path=str(path), length=32)
    equal = task.evaluate(lambda b: torch.zeros(*b.inputs.shape, 256), "test", 300)
    assert equal["bits_per_byte"] == pytest.approx(8.0)
    assert equal["bits_saved"] == pytest.approx(task.chance["bits_saved"], abs=1e-6)
    assert equal["loss"] == pytest.approx(math.log(256))
    assert equal["unigram_bits"] == pytest.approx(2.0, abs=0.03)
    best = task.evaluate(lambda b: 100.0 * torch.nn.functional.one_hot(b.targets, 256), "test", 300)
    assert best["bits_saved"] == pytest.approx(8.0)
    assert best["accuracy"] == 1.0
    half = torch.full((1, 2, 256), -1e9)
    half[0, 0, :2] = 0  # one bit, right
    half[0, 1, 4:8] = 0  # two bits, wrong
    values = task.metrics(half, torch.tensor([[0, 5]]))
    assert values["bits_per_byte"].item() == pytest.approx(1.5)
    assert values["accuracy"].item() == 0.5


def test_unigram_bits_are_the_entropy_of_the_targets(unlike: Path) -> None:
    task = Text(path=str(unlike), length=16)
    counts = Counter(task.batch("valid", 0, 100).targets.flatten().tolist())
    shares = [count / 1600 for count in counts.values()]
    metrics = task.evaluate(
        lambda b: torch.zeros(*b.inputs.shape, 256), "valid", 100, batch_size=33
    )
    assert metrics["unigram_bits"] == pytest.approx(-sum(p * math.log2(p) for p in shares))


def test_the_default_is_the_standard_library_read_when_needed() -> None:
    task = Text(length=64, max_bytes=200_000)
    assert "content" not in vars(task)
    assert task.describe().startswith("text: Text(")
    assert "content" not in vars(task)
    assert task.files == tuple(sorted(task.files))
    assert task.files[0].name == "__future__.py"
    text = "".join(str(task.sample("train", i)) for i in range(50))
    assert len(text) >= 50 * 60
    assert "self" in text
    metrics = task.evaluate(lambda b: torch.zeros(*b.inputs.shape, 256), "test", 200)
    # Another Python has another library: all that is sure is that bytes of text are neither alike
    # (0 bits) nor noise (8).
    assert 2 < metrics["unigram_bits"] < 7


def test_a_text_that_shrinks_after_it_was_named_says_so(unlike: Path) -> None:
    task = Text(path=str(unlike), length=16)
    unlike.write_bytes(b"short")
    with pytest.raises(ValueError, match="has become shorter: 5 of 40000 bytes are left"):
        task.batch("train", 0, 1)


def test_a_text_of_one_letter_is_refused_when_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * 40_000)
    task = Text(path=str(path), length=16)
    with pytest.raises(ValueError, match="the task has too few different contexts"):
        [task.batch(split, 0, 1) for split in task.splits]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nowhere.txt", {}, r"'path' must be a file or a folder, got '.*nowhere.txt', which is"),
        ("", {"suffix": ".tex"}, r"the folder '.*' holds no file that ends in '.tex'"),
        ("empty", {}, r"the folder '.*empty' holds no file$"),
        ("small.txt", {"length": 16}, r"gives 5439 bytes; 20 pages of 272 bytes need 5440: take"),
        ("", {"length": 16, "max_bytes": 4000}, "gives 4000 bytes; 20 pages"),
        ("", {"length": 0}, "'length' must be a whole number >= 1, got 0"),
        ("", {"max_bytes": -1}, "'max_bytes' must be a whole number >= 1, got -1"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, name: str, options: dict, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "small.txt").write_bytes(b"x" * 5439)
    with pytest.raises(ValueError, match=message):
        Text(path=str(tmp_path / name), **options)
