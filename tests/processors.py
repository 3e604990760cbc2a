"""Run the fast suite as other processors would: three instruction sets, with 1, 2 and 4 threads.

    python tests/processors.py [--sets default,avx2,avx512] [--threads 1,2,4] [-- TESTS AND OPTIONS]

PyTorch and the libraries below it choose their kernels by the processor, and sums of the same
numbers then differ in the last bits. Each run takes the kernels of one set, and the tests in
another random order. A set that this processor lacks is skipped, and said to be.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
#: For each set what PyTorch, MKL and oneDNN call it, from the least to the greatest.
SETS = {
    "default": ("default", "SSE4_2", "SSE41"),
    "avx2": ("avx2", "AVX2", "AVX2"),
    "avx512": ("avx512", "AVX512", "AVX512_CORE"),
}
VARIABLES = ("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")
THREADS = (1, 2, 4)


@dataclass(frozen=True)
class Run:
    """One run of the suite: what was asked of the processor, and how it ended."""

    instructions: str
    threads: int
    code: int | None  # exit code of pytest; None if the processor lacks the set
    words: str

    @property
    def verdict(self) -> str:
        return "skipped" if self.code is None else "red" if self.code else "green"


def kernels(instructions: str) -> dict[str, str]:
    """Return the environment in which PyTorch and the libraries below it keep to one set."""
    above = {"default": ("X86_", "AVX"), "avx2": ("X86_V4", "AVX512"), "avx512": ()}[instructions]
    try:  # NumPy refuses names that its build does not know, so they are asked of it.
        from numpy._core._multiarray_umath import __cpu_dispatch__ as names
    except ImportError:
        names = []
    off = " ".join(name for name in names if above and name.startswith(above))
    chosen = dict(zip(VARIABLES, SETS[instructions], strict=True))
    return {**chosen, "NPY_DISABLE_CPU_FEATURES": off} if off else chosen


def available() -> list[str]:
    """Return the sets that this processor has."""
    asking = {name: text for name, text in os.environ.items() if name not in VARIABLES}
    code = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    call = [sys.executable, "-c", code]
    best = subprocess.run(call, env=asking, capture_output=True, text=True, check=True).stdout
    names = list(SETS)
    own = best.strip().lower()
    return names[: names.index(own) + 1] if own in names else names[:1]


def run(instructions: str, threads: int, seed: int, options: list[str]) -> Run:
    environment = {
        **os.environ,
        **kernels(instructions),
        "OMP_NUM_THREADS": str(threads),
        # Several processes share the cores: a thread that waits must not spin.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    call = [sys.executable, "-m", "pytest", "-q", "--tb=short", *options]
    call += ["--random-order", f"--random-order-seed={seed}"]
    started = time.monotonic()
    print(f"\n{instructions}, {threads} threads, order {seed}:", flush=True)
    lines = []
    with subprocess.Popen(
        call, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    numbers = re.findall(r"\d+ (?:passed|failed|errors?|skipped)", lines[-1] if lines else "")
    words = f"{', '.join(numbers) or 'no result'} in {time.monotonic() - started:.0f} s"
    return Run(instructions, threads, process.returncode, words)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS), help="of the instructions")
    parser.add_argument("--threads", default=",".join(map(str, THREADS)), help="of PyTorch")
    parser.add_argument("--seed", type=int, default=1, help="of the first run's order")
    parser.add_argument("options", nargs="*", help="for pytest, after --; else the fast suite")
    given = parser.parse_args()
    sets = given.sets.split(",")
    if unknown := set(sets) - set(SETS):
        parser.error(f"no set {', '.join(sorted(unknown))}; there are {', '.join(SETS)}")
    options = given.options or ["-m", "not slow", "--numprocesses=2", "--dist=worksteal"]
    there = available()
    runs: list[Run] = []
    for instructions in sets:
        for threads in map(int, given.threads.split(",")):
            if instructions in there:
                runs.append(run(instructions, threads, given.seed + len(runs), options))
            else:
                words = f"this processor has no {instructions}"
                runs.append(Run(instructions, threads, None, words))
    print(f"\nPyTorch {torch.__version__}\n{'set':8} {'threads':>7}  {'result':7}")
    for one in runs:
        print(f"{one.instructions:8} {one.threads:7}  {one.verdict:7}  {one.words}")
    return int(any(one.code for one in runs))


if __name__ == "__main__":
    sys.exit(main())
