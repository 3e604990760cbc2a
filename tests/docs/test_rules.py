"""The tests of pages find what is wrong on a page, and leave nothing behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from attenergy.energies import CLASSES
from tests.docs.blocks import ROOT, BadPage, Block, blocks_of
from tests.docs.commands import lines_of, run_block
from tests.docs.runner import compare_words, run_page

PAGE = ROOT / "docs" / "index.md"


def block(language: str, code: str, line: int = 1, **notes: str) -> Block:
    return Block(PAGE, line, language, code, {key: [text] for key, text in notes.items()})


def test_blocks_with_their_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "---\ntitle: Page\n---\n\n<!-- made by: x -->\n<!-- file: a.yaml -->\n```yaml\na: 1\n```\n"
        "1. In a list\n\n   <!-- run: slow fails -->\n\n   ````sh\n   ls ```\n   ````\n> ```text\n"
        "> quoted\n> ```\n"
    )
    yaml, sh, text = blocks_of(page)
    assert (yaml.code, yaml.file, yaml.line, yaml.notes) == (
        *("a: 1\n", "a.yaml", 7), {"file": ["a.yaml"]},
    )  # fmt: skip
    assert (sh.code, sh.run, sh.language) == ("ls ```\n", {"slow", "fails"}, "sh")
    assert (text.code, text.notes) == ("quoted\n", {})
    page.write_text("Code:\n\n    attenergy search\n")
    with pytest.raises(BadPage, match="without a fence"):
        blocks_of(page)
    page.write_text("```sh\nls\n")
    with pytest.raises(BadPage, match="not closed"):
        blocks_of(page)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (block("", "x"), "without a language"),
        (block("console", "x"), "is none of"),
        (block("python", "x", rum="slow"), "unknown notes"),
        (block("python", "x", run="slowly"), "cannot be"),
        (block("text", "x", run="slow"), "cannot be"),
        (block("sh", "x", run="slow checked"), "never run"),
        (block("python", "x", run="small"), "cannot be"),
        (block("sh", "x", run="small checked"), "has no size"),
        (block("sh", "x", run="checked", before="ls"), "nothing comes before"),
    ],
)
def test_a_note_that_cannot_be_followed(wrong: Block, text: str) -> None:
    with pytest.raises(BadPage, match=text):
        wrong.check()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (block("python", "1/0"), "division by zero"),
        (block("python", "1 +", run="checked"), "invalid syntax"),
        (block("python", "1 +", file="a.py"), "invalid syntax"),
        (block("python", "1", run="fails"), "nothing was raised"),
        (block("python", ">>> 1 + 1\n3\n"), "Expected"),
        (block("yaml", "a: [1"), "expected"),
        (block("yaml", "version: 1\nenergies: {x: {title: X, formula: xii}}"), "xi"),
        (block("toml", "a = "), "Invalid value"),
        (block("sh", "attenergy energies show lsee"), "lse"),
        (block("sh", "attenergy energies show lse", run="fails"), "ended with 0, not 2"),
        (block("sh", "attenergy energies show --bettta lse", run="checked"), "No such option"),
        (block("sh", "attenergy search --task raven-smal", run="checked"), "raven-small"),
        (block("sh", "attenergy compare -t latch -e lsee", run="checked"), "lse"),
        (block("sh", "attenergy compare -t latch -e lse --fix lsee.beta=1", run="checked"), "lse"),
        (block("sh", "make serch", because="long"), "serch"),
        (block("sh", "make wheel"), "no test runs 'make'"),
        (block("sh", "pip install 'attenergy[hff]'", because="an index"), "no extra 'hff'"),
        (block("sh", "python examples/none.py"), "there is no"),
        (block("sh", "python examples/digits.py --sav x", run="checked"), "has no option --sav"),
        (block("sh", "python -m attenergy.nothing"), "no such module"),
        (block("sh", "curl x"), "neither run nor known"),
        (block("sh", "ls absent"), "ended with 2"),
    ],
)
def test_what_is_wrong_on_a_page_fails(wrong: Block, text: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=text):
        run_page([wrong], tmp_path, slow=True)


def test_a_page_is_one_session(tmp_path: Path) -> None:
    run_page(
        [
            block("python", "def half(x):\n    return x / 2", file="mine/tools.py"),
            block("python", "from mine.tools import half\nprint(half(3), 'is a number')"),
            block("text", "2.5 is a number\n", run="output"),
            block("sh", "mkdir -p a/b && ls a > listing  # a comment\ncat listing"),
            block("text", "b", run="output"),
            block("sh", "cat > two.py <<'EOF'\nfrom mine.tools import half\nprint(half(4))\nEOF\n"
                  "X=1 python two.py"),
            block("python", "import pathlib\nassert pathlib.Path('listing').read_text() == 'b\\n'\n"
                  "half(None)", run="fails"),
            block("text", "TypeError: unsupported ... NoneType and int", run="output"),
            block("sh", "ls made", before="mkdir made"),
            block("sh", "attenergy search --task latch --trials 5000", run="small slow"),
            block("python", "1/0", run="slow"),
            block("python", "import nothing", needs="nothing"),
            block("sh", "attenergy energies show lsee", run="fails"),
        ],
        tmp_path, slow=False,
    )  # fmt: skip


def test_nothing_stays_behind(tmp_path: Path) -> None:
    """Registered names, modules, folder, environment and random numbers are as they were."""
    torch.manual_seed(3)
    before = (dict(CLASSES), Path.cwd(), [*sys.path], dict(os.environ), torch.get_default_dtype())
    code = (
        "import os, torch, attenergy, own\nos.environ['A'] = 'b'\n"
        "torch.set_default_dtype(torch.float64)\n"
        "@attenergy.register_energy\nclass Mine(attenergy.Energy):\n"
        "    def energy(self, xi, X, mask, field):\n        return xi.sum(-1)\n"
    )
    main = sys.modules["__main__"]
    run_page([block("python", "", file="own.py"), block("python", code)], tmp_path, slow=False)
    after = (dict(CLASSES), Path.cwd(), [*sys.path], dict(os.environ), torch.get_default_dtype())
    assert before == after
    assert "own" not in sys.modules
    assert sys.modules["__main__"] is main


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("softmax .459", "softmax .461"),
        ("a ... z", "a b c z"),
        ("... z", "x y z"),
        ("a ...", "a 3 b"),
        ("│ a │", "a"),
    ],
)
def test_words_are_compared(shown: str, printed: str) -> None:
    compare_words(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"), [("a", "a b"), ("a", ""), ("a ... z", "a z y"), ("b ...", "a b")]
)
def test_other_words_are_noticed(shown: str, printed: str) -> None:
    with pytest.raises(BadPage, match="printed"):
        compare_words(shown, printed)


def test_lines_go_on_after_a_backslash() -> None:
    assert [line for line, _ in lines_of("$ a \\\n  --b\n# no\n\nc")] == ["a    --b", "c"]
    with pytest.raises(BadPage, match="ended with 1"):
        run_block("ls && cat absent")
