"""Codes of contents in which order has no meaning, for the partition that keeps splits apart."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from attenergy.tasks.core.streams import content_hash


def row_codes(rows: Tensor) -> Tensor:
    """Hash each row of whole numbers (..., M) to one int64 (...); equal rows have equal codes."""
    return torch.from_numpy(content_hash(rows).view(np.int64))


def member_codes(codes: Tensor) -> Tensor:
    """Mix codes (...) such that their sum stands for the set of them, repeats included."""
    return row_codes(codes[..., None])


def graph_codes(edges: Tensor, colours: Tensor, rounds: int = 3) -> Tensor:
    """Code (N, 1) of graphs that does not depend on how their nodes are numbered.

    Colour refinement: a node's colour is made anew, `rounds` times, from its own and the set of
    its neighbours'. Some graphs that differ get equal codes; equal ones always do.

    Args:
        edges: bool (N, L, L), symmetric.
        colours: int64 (N, L), what is known of every node.
        rounds: how often.

    Source: Weisfeiler and Leman 1968.
    """
    joined = edges.double()
    for _ in range(rounds):
        # As 40 bits, so that the sums are exact; there is no fast product of whole numbers.
        members = (member_codes(colours) & ((1 << 40) - 1)).double()
        around = (joined @ members[..., None])[..., 0].long()
        colours = row_codes(torch.stack([colours, around], -1))
    return member_codes(colours).sum(-1, keepdim=True)
