"""CleanNet in PyTorch as one would tune it for a CPU: a training step and inference.

It takes the parameters of ours, [T, D] features of a whole video without padding, and
gives what ours gives: `benchmarks/speed.py` makes sure of it before it times either.
Convolutions are one matrix product each, which took half of the time of `conv1d` here,
look-ups `embedding_bag`, and SGD is fused.
Suppression is that of torchvision, in C++, where it is installed.
"""

from typing import Any, NamedTuple

import evaluator
import numpy as np
import torch
from torch.nn import functional

from cleannet_jax import config as config_lib

try:
    from torchvision import ops as vision
except ImportError:
    vision = None

Params = dict[str, Any]
MAX_LOG_WIDTH = 4.0
SHORTEST = 2.0**-10


class Video(NamedTuple):
    """A training video of T snippets."""

    features: torch.Tensor  # [T, D]
    labels: torch.Tensor  # [N]
    label_indices: torch.Tensor  # [L]


def tensors(tree: Params) -> Params:
    """The parameters of ours as tensors that take gradients."""
    return {
        name: tensors(leaf)
        if isinstance(leaf, dict)
        else torch.tensor(np.asarray(leaf), requires_grad=True)
        for name, leaf in tree.items()
    }


def leaves(tree: Params) -> list[torch.Tensor]:
    """All tensors of a tree."""
    return [
        one
        for leaf in tree.values()
        for one in (leaves(leaf) if isinstance(leaf, dict) else [leaf])
    ]


def gradients(tree: Params) -> Params:
    """The gradients of all tensors of a tree, NumPy."""
    return {
        name: gradients(leaf) if isinstance(leaf, dict) else leaf.grad.numpy()
        for name, leaf in tree.items()
    }


def head_logits(head: Params, features: torch.Tensor, streams: int) -> tuple:
    """SCP logits [T, N], the mean over the streams, and SAP logits [T]."""
    classes, attention = head["classification"], head["attention"]
    every = torch.addmm(classes["bias"], features, classes["kernel"])
    scp = every.view(len(features), streams, -1).mean(1)
    return scp, (features @ attention["kernel"])[:, 0] + attention["bias"]


def propose(
    generator: Params, features: torch.Tensor, sizes: torch.Tensor, within: Any
) -> torch.Tensor:
    """Proposals [T · A, 2], clipped to the video.

    Args:
      generator: its parameters.
      features: [T, D].
      sizes: [A] of the anchors.
      within: [T, A, K] in [0, 1), where in their segments samples lie; or 0.5.
    """
    hidden = features
    for layer in range(3):
        conv = generator[f"conv{layer}"]
        products = hidden @ torch.cat(conv["kernel"].unbind(), 1)
        before, here, after = products.chunk(3, 1)
        before = functional.pad(before[:-1], (0, 0, 1, 0))
        after = functional.pad(after[1:], (0, 0, 0, 1))
        hidden = functional.leaky_relu(before + here + after + conv["bias"])
    snippets, (samples, _, _) = len(hidden), generator["regression_kernel"].shape
    mapped = torch.einsum("tc,kcr->tkr", hidden, generator["regression_kernel"])
    # One row of zeros stands for what is outside the video.
    mapped = functional.pad(mapped.reshape(-1, 2), (0, 0, 0, 1))
    centres = torch.arange(snippets) + 0.5
    fractions = (torch.arange(samples) + within) / samples - 0.5
    times = centres[:, None, None] + sizes[:, None] * fractions
    inside = (times >= 0) & (times < snippets)
    rows = times.floor().long() * samples + torch.arange(samples)
    rows = torch.where(inside, rows, snippets * samples)
    offsets = functional.embedding_bag(rows.view(-1, samples), mapped, mode="sum")
    offsets = (offsets + generator["regression_bias"]).view(snippets, len(sizes), 2)
    centre = centres[:, None] + sizes * offsets[..., 0]
    half = sizes * offsets[..., 1].clamp(-MAX_LOG_WIDTH, MAX_LOG_WIDTH).exp() / 2
    found = torch.stack([centre - half, centre + half], -1).view(-1, 2)
    return found.clamp(0, snippets)


def scores_of(scp: torch.Tensor, proposals: torch.Tensor) -> torch.Tensor:
    """Contrast scores [P, C]; -inf for an empty proposal."""
    start, end = proposals.unbind(1)
    valid = start < end
    start = torch.where(valid, start, 0.0)
    end = start + torch.where(valid, end - start, 1.0).clamp(min=SHORTEST)
    proposals = torch.stack([start, end], 1)
    found = evaluator.torch_scores(scp, proposals, (evaluator.CONTRAST,))[0]
    return torch.where(valid[:, None], found, -torch.inf)


def of_interest(
    scp: torch.Tensor, sap: torch.Tensor, config: config_lib.Config
) -> torch.Tensor:
    """At which snippets the anchors of each category count, [T, C]."""
    attention = sap * len(sap) * (1 + 1e-5) >= config.min_attention
    return (scp >= config.min_scp) & attention[:, None]


def classification_loss(
    scp: torch.Tensor, sap: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy of the attended mean of the SCP over the snippets of a mask."""
    log_sap = torch.where(mask, sap, -torch.inf).log_softmax(0)
    log_video = torch.logsumexp(log_sap[:, None] + scp.log_softmax(1), 0)
    return -(labels / labels.sum().clamp(min=1) * log_video).sum()


def loss(
    params: Params,
    video: Video,
    within: torch.Tensor,
    *,
    config: config_lib.Config,
    streams: int,
) -> torch.Tensor:
    """The loss of one video in stage 2, with C5."""
    sizes = torch.tensor(config.anchor_sizes, dtype=torch.float32)
    scp_logits, sap_logits = head_logits(params["head"], video.features, streams)
    scp = scp_logits.detach().softmax(1)[:, video.label_indices]
    sap = sap_logits.detach().softmax(0)
    proposals = propose(params["generator"], video.features, sizes, within)
    scores = scores_of(scp, proposals)
    kept = of_interest(scp, sap, config).repeat_interleave(len(sizes), 0)
    positive = kept & (scores > config.positive_score)
    margins = torch.where(positive, (config.margin - scores).clamp(min=0), 0.0)
    regression = margins.sum() / positive.sum().clamp(min=1)
    steps = positive.any(1).int()
    bounds = (proposals.detach() - 0.5).ceil().long()
    changes = torch.zeros(len(scp) + 1, dtype=torch.int32)
    changes = changes.scatter_add(0, bounds[:, 0], steps)
    changes = changes.scatter_add(0, bounds[:, 1], -steps)
    covered = changes[:-1].cumsum(0) > 0
    relevant = covered | ~covered.any()
    return regression + classification_loss(
        scp_logits, sap_logits, video.labels, relevant
    )


class Training:
    """Steps of stage 2 from some parameters, on one video at a time."""

    def __init__(
        self, params: Params, config: config_lib.Config, streams: int, *, compiled: bool
    ) -> None:
        self.params = tensors(params)
        self.config, self.streams = config, streams
        self.loss = torch.compile(loss, dynamic=False) if compiled else loss
        rate = config.learning_rate
        self.optimizer = torch.optim.SGD(leaves(self.params), rate, fused=True)

    def step(self, video: Video, within: torch.Tensor | None = None) -> torch.Tensor:
        """Takes a step; returns the loss before it.

        Args:
          video: without padding.
          within: as for `propose`; None to draw it.
        """
        if within is None:
            shape = len(self.config.anchor_sizes), self.config.num_samples
            within = torch.rand(len(video.features), *shape)
        value = self.loss(
            self.params, video, within, config=self.config, streams=self.streams
        )
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        return value.detach()


def candidates(
    params: Params,
    features: torch.Tensor,
    *,
    config: config_lib.Config,
    streams: int,
    most: int,
) -> tuple[torch.Tensor, ...]:
    """Categories [C] and video-level scores [C], proposals [P, 2] and scores [P, C]."""
    sizes = torch.tensor(config.anchor_sizes, dtype=torch.float32)
    scp, sap = head_logits(params["head"], features, streams)
    scp, sap = scp.softmax(1), sap.softmax(0)
    video, categories = (sap @ scp).topk(most)
    scp = scp[:, categories]
    proposals = propose(params["generator"], features, sizes, 0.5)
    scores = scores_of(scp, proposals)
    kept = of_interest(scp, sap, config).repeat_interleave(len(sizes), 0)
    return categories, video, proposals, torch.where(kept, scores, -torch.inf)


def suppress(
    segments: torch.Tensor, scores: torch.Tensor, max_tiou: float, most: int
) -> torch.Tensor:
    """Which of segments [P, 2] are kept, by falling score: at most so many."""
    if vision is not None:
        ones = torch.ones_like(scores)
        boxes = torch.stack([segments[:, 0], 0 * ones, segments[:, 1], ones], 1)
        return vision.nms(boxes, scores, max_tiou)[:most]
    order = scores.argsort(descending=True, stable=True)
    kept = []
    while len(order) and len(kept) < most:
        best, order = order[0], order[1:]
        kept.append(best)
        (start, end), (low, high) = segments[best], segments[order].T
        shared = (high.minimum(end) - low.maximum(start)).clamp(min=0)
        order = order[shared <= max_tiou * (high - low + end - start - shared)]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)


class Inference:
    """The detections of videos under some parameters."""

    def __init__(
        self,
        params: Params,
        config: config_lib.Config,
        streams: int,
        *,
        most: int,
        compiled: bool,
    ) -> None:
        self.params, self.config = tensors(params), config
        self.options = {"config": config, "streams": streams, "most": most}
        self.candidates = (
            torch.compile(candidates, dynamic=False) if compiled else candidates
        )

    def __call__(
        self, features: torch.Tensor
    ) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Category, segments [K, 2] in snippets and scores [K] of each one chosen."""
        config = self.config
        with torch.inference_mode():
            categories, video, proposals, scores = self.candidates(
                self.params, features, **self.options
            )
            found = []
            for index, category in enumerate(categories.tolist()):
                if index and video[index] <= config.min_video_score:
                    break
                inside = scores[:, index] > -torch.inf
                segments, values = proposals[inside], scores[inside, index]
                kept = suppress(
                    segments, values, config.nms_tiou, config.max_detections
                )
                found.append((category, segments[kept].numpy(), values[kept].numpy()))
            return found
