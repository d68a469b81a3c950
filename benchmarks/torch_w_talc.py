"""W-TALC's training step in PyTorch, of a batch of videos of one length.

It takes the parameters of ours and gives the losses and gradients of ours without
dropout: `benchmarks/speed.py` makes sure of it before it times either.
"""

from typing import Any

import torch
import torch_cleannet
from torch.nn import functional

from cleannet_jax.models import w_talc
from cleannet_jax.ops import pooling


def loss(
    params: dict[str, Any],
    features: torch.Tensor,
    labels: torch.Tensor,
    *,
    dropout: float,
) -> torch.Tensor:
    """Half the multiple-instance loss and half the co-activity loss.

    Args:
      params: of `w_talc.Network`, as tensors.
      features: [B, T, D].
      labels: [B, N], 1 for the categories of a video.
      dropout: share of the hidden units.
    """
    hidden, classes = params["hidden"], params["classification"]
    units = functional.relu(features @ hidden["kernel"] + hidden["bias"])
    units = functional.dropout(units, dropout)
    activations = units @ classes["kernel"] + classes["bias"]
    best = activations.topk(-(-features.shape[1] // pooling.INSTANCE_SHARE), dim=1)
    log_video = best.values.mean(1).log_softmax(1)
    shares = labels / labels.sum(1, keepdim=True)
    instance = -(shares * log_video).sum(1).mean()
    weight = w_talc.INSTANCE_LOSS_WEIGHT
    similar = co_activity_loss(units, activations, labels)
    return weight * instance + (1 - weight) * similar


def co_activity_loss(
    units: torch.Tensor, activations: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """The mean over categories with a pair, of the mean over their pairs."""
    attention = activations.softmax(1)
    high = attention.mT @ units  # [B, N, D]
    low = (1 - attention).mT @ units / (units.shape[1] - 1)
    high, low = (functional.normalize(x, dim=2).transpose(0, 1) for x in (high, low))
    between, across = 1 - high @ high.mT, 1 - high @ low.mT  # [N, B, B]
    hinge = (between - across + w_talc.MARGIN).clamp(min=0)
    has = labels.T > 0
    pairs = has[:, :, None] & has[:, None] & ~torch.eye(len(labels), dtype=torch.bool)
    count = pairs.sum((1, 2))
    means = (hinge * pairs).sum((1, 2)) / count.clamp(min=1)
    return means.sum() / (count > 0).sum().clamp(min=1)


class Training:
    """Steps by Adam from some parameters."""

    def __init__(
        self, params: dict[str, Any], learning_rate: float, *, compiled: bool
    ) -> None:
        self.params = torch_cleannet.tensors(params)
        self.loss = torch.compile(loss, dynamic=False) if compiled else loss
        self.optimizer = torch.optim.Adam(
            torch_cleannet.leaves(self.params), learning_rate, fused=True
        )

    def step(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Takes a step; returns the loss before it."""
        value = self.loss(self.params, features, labels, dropout=w_talc.DROPOUT)
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        return value.detach()
