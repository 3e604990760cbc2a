"""A page, run from top to bottom in an empty folder, as a reader would type it."""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import json
import os
import random
import re
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from attenergy.analysis import ANALYSES
from attenergy.attention.integrations.model_builders import MODELS
from attenergy.energies.language.table import forget_results
from attenergy.registry import load_registry
from attenergy.registry.catalogue import CATALOGUES
from attenergy.registry.plugins import _STATE
from attenergy.search.cli.show import check_formulas
from tests.docs.blocks import BadPage, Block
from tests.docs.commands import Mode, run_block

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SECTIONS = {"energies", "mixers", "tasks", "spaces", "stacks", "bundles"}


def run_page(blocks: list[Block], folder: Path, *, slow: bool) -> None:
    """Run the blocks of a page in their order; those that are slow only if they are asked for.

    Raises:
        BadPage: what a block says is not so.
    """
    printed: str | None = None
    with isolated(folder) as names:
        for block in reversed(blocks):  # what a command reads may be shown further down
            _save(block)
        for block in blocks:
            block.check()
            try:
                if "output" in block.run:
                    if printed is not None:
                        compare_words(block.code, printed)
                    continue
                check = "checked" in block.run or ("slow" in block.run and not slow)
                printed = None if _skipped(block) else _run(block, names, check=check)
                printed = None if check else printed
            except Exception as error:
                error.add_note(f"in the block at {block.place}")
                raise


def _skipped(block: Block) -> bool:
    """Whether a package is missing."""
    absent = [
        name for name in block.notes.get("needs", ()) if importlib.util.find_spec(name) is None
    ]
    if block.language == "python" and absent:
        compile(block.code, block.place, "exec")
    return bool(absent)


def _save(block: Block) -> None:
    if block.file is not None:
        Path(block.file).parent.mkdir(parents=True, exist_ok=True)
        Path(block.file).write_text(block.code, encoding="utf-8")


def _run(block: Block, names: dict[str, Any], *, check: bool) -> str:
    """What the block prints."""
    fails = "fails" in block.run
    _save(block)
    match block.language:
        case "python":
            return _python(block, names, run=block.file is None and not check, fails=fails)
        case "sh":
            if check and block.exit_code and "checked" not in block.run:
                return ""  # only those who run it see how it ends
            for line in () if check else block.notes.get("before", ()):
                run_block(line, Mode(small=True))
            small, elsewhere = "small" in block.run, bool(block.because)
            return run_block(block.code, Mode(check, small, elsewhere, block.exit_code))
        case "yaml":
            return _yaml(block.code, fails=fails)
        case "toml":
            tomllib.loads(block.code)
        case "json":
            json.loads(block.code)
    return ""


def _python(block: Block, names: dict[str, Any], *, run: bool, fails: bool) -> str:
    if block.code.lstrip().startswith(">>>"):
        return _doctest(block, names)
    # The page is the file of the code, line by line, so that tracebacks show it.
    code = compile("\n" * block.line + block.code, str(block.page), "exec")
    printed = io.StringIO()
    if not run:
        return ""
    with contextlib.redirect_stdout(printed):
        try:
            exec(code, names)  # noqa: S102 - the page is ours
        except Exception as error:
            if not fails:
                raise
            return f"{printed.getvalue()}{type(error).__name__}: {error}"
    if fails:
        raise BadPage("nothing was raised")
    return printed.getvalue()


def _doctest(block: Block, names: dict[str, Any]) -> str:
    """Run `>>>` lines, whose results stand below them; names stay for the next block."""
    parsed = doctest.DocTestParser().get_doctest(
        block.code, names, block.place, str(block.page), block.line
    )
    parsed.globs = names  # get_doctest copies
    report = io.StringIO()
    results = doctest.DocTestRunner(optionflags=FLAGS).run(
        parsed, out=report.write, clear_globs=False
    )
    if results.failed:
        raise BadPage(report.getvalue())
    return ""


def _yaml(code: str, *, fails: bool) -> str:
    """Registry entries are loaded, everything else is parsed."""
    content = yaml.safe_load(code)
    if not (isinstance(content, dict) and "version" in content and SECTIONS & set(content)):
        return ""
    file = Path(".block.yaml")
    file.write_text(code, encoding="utf-8")
    try:
        check_formulas(load_registry(file, plugins=False), tuple(content.get("energies") or ()))
    except Exception as error:
        if not fails:
            raise
        return f"{type(error).__name__}: {error}"
    if fails:
        raise BadPage("the entries are accepted")
    return ""


def words_of(text: str) -> list[str]:
    """The words of a text and its `...`; numbers and drawings are left out."""
    return re.findall(r"[A-Za-z]+|\.\.\.", text)


def compare_words(shown: str, printed: str) -> None:
    """Compare what a page shows with what was printed; `...` stands for anything.

    Raises:
        BadPage: other words were printed.
    """
    places, position = words_of(printed), 0
    parts = " ".join(words_of(shown)).split("...")
    for number, part in enumerate(parts):
        wanted = part.split()
        starts = range(position, len(places) - len(wanted) + 1)
        if number == 0:
            starts = starts[:1]
        elif number == len(parts) - 1 and wanted:
            starts = starts[-1:]
        start = next((s for s in starts if places[s : s + len(wanted)] == wanted), None)
        if start is None:
            raise BadPage(f"the page shows\n{shown}\nbut this was printed:\n{printed}")
        position = start + len(wanted)
    if len(parts) == 1 and position != len(places):
        raise BadPage(f"the page shows\n{shown}\nbut more was printed:\n{printed}")


@contextlib.contextmanager
def isolated(folder: Path) -> Iterator[dict[str, Any]]:
    """Work in a folder with the names of a new main module; leave everything as it was."""
    page = types.ModuleType("__main__")
    tables: list[dict[Any, Any]] = [ANALYSES, MODELS, MODELS.owners, _STATE.named, _STATE.files]
    tables += [_STATE.failures, *CATALOGUES.values(), *(t.owners for t in CATALOGUES.values())]
    saved = [(table, dict(table)) for table in tables]
    place, modules, path, argv = Path.cwd(), dict(sys.modules), [*sys.path], [*sys.argv]
    environment, states = dict(os.environ), (random.getstate(), np.random.get_state())  # noqa: NPY002
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - what a page leaves to chance is the same each time
    try:
        os.chdir(folder)
        sys.modules["__main__"] = page
        sys.path.insert(0, str(folder))
        yield page.__dict__
    finally:
        os.chdir(place)
        sys.path[:], sys.argv[:] = path, argv
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
        sys.modules["__main__"] = modules["__main__"]
        for table, rows in saved:
            if table != rows:
                table.clear()
                table.update(rows)
                forget_results()
        os.environ.clear()
        os.environ.update(environment)
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
