"""Memory of the analyses on a model of the size of BERT-base."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import resource, torch, transformers
from attenergy.analysis import energy_along_depth, fixed_points
torch.manual_seed(0)
model = transformers.BertModel(transformers.BertConfig()).eval()
ids = torch.randint(0, 30000, (8, 128))
energies, points = energy_along_depth(model, ids), fixed_points(model, ids)
assert len(energies.layers) == len(energies.blocks) == 12
assert all(share == 0 for layer in energies.layers for step in layer.steps for share in step.rose)
assert [head.kind for head in points.heads] == ["global average"] * 144
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is told in other units")
def test_energies_and_fixed_points_of_bert_base_stay_small() -> None:
    pytest.importorskip("transformers")
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=1200, check=True
    )
    assert float(done.stdout.splitlines()[-1]) < 4  # GiB
