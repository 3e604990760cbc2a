"""A chain of binary units by transfer matrices, in logarithms: cost linear in its length."""

from __future__ import annotations

import torch
from torch import Tensor


def chain_log_sum(drive: Tensor, links: Tensor) -> Tensor:
    """Return log sum_s exp(sum_n u_n s_n + sum_n k_n s_n s_{n+1}), s_n in {0, 1}, (..., L).

    Args:
        drive: u (..., L, S).
        links: k, broadcastable to (..., L, S - 1).
    """
    return torch.logsumexp(_forward(drive, links)[-1], -1)


def chain_means(drive: Tensor, links: Tensor) -> Tensor:
    """Return the means <s_n> under the weights of `chain_log_sum`, (..., L, S)."""
    left = torch.stack(_forward(drive, links), -2)
    back = _forward(drive.flip(-1), links.flip(-1))
    right = torch.stack(back[::-1], -2)
    own = torch.stack([torch.zeros_like(drive), drive], -1)  # counted from both sides
    return torch.softmax(left + right - own, -1)[..., 1]


def _forward(drive: Tensor, links: Tensor) -> list[Tensor]:
    """For every unit the log-weights (..., L, 2) of its two values, all units before summed out."""
    off = torch.zeros_like(drive[..., 0])
    message = torch.stack([off, drive[..., 0]], -1)
    messages = [message]
    for n in range(1, drive.shape[-1]):
        link = torch.stack([torch.zeros_like(links[..., n - 1]), links[..., n - 1]], -1)
        linked = message + link
        message = torch.stack(
            [torch.logsumexp(message, -1), drive[..., n] + torch.logsumexp(linked, -1)], -1
        )
        messages.append(message)
    return messages
