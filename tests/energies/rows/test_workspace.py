"""Memory that blocks share."""

from __future__ import annotations

from threading import Thread

import torch

from attenergy.energies.rows import workspace as module
from attenergy.energies.rows.workspace import workspace


def test_the_same_name_gives_the_same_memory():
    like = torch.zeros(1)
    first, again = workspace("one", (3, 4), like), workspace("one", (2, 5), like)
    assert first.shape == (3, 4)
    assert first.data_ptr() == again.data_ptr()
    assert workspace("two", (3, 4), like).data_ptr() != first.data_ptr()
    assert workspace("one", (3, 4), like.double()).dtype == torch.float64


def test_threads_have_memory_of_their_own():
    places = []

    def look():
        places.append(workspace("one", (3, 4), torch.zeros(1)))

    for thread in (Thread(target=look), Thread(target=look)):
        thread.start()
        thread.join()
    assert len({p.data_ptr() for p in places}) == 2


def test_what_is_large_is_not_held(monkeypatch):
    monkeypatch.setattr(module, "MOST", 10)
    like = torch.zeros(1)
    one, other = (workspace("large", (11,), like) for _ in range(2))
    assert one.data_ptr() != other.data_ptr()
    assert not any(key[0] == "large" for key in module._HELD.tensors)


def test_memory_of_inference_mode_can_be_written_later():
    with torch.inference_mode():
        held = workspace("inference", (4,), torch.zeros(1))
    assert not held.is_inference()
