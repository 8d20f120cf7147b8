"""Ordinary functions of torch, on ordinary operands: recorded with their gradients, or refused with a hint."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["GOES", "REFUSED", "Case"]

Case = tuple[Callable[..., Any], list[Tensor]]
_RANDOM = torch.Generator().manual_seed(12)


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=_RANDOM)


def whole(low: int, high: int, *shape: int) -> Tensor:
    return torch.randint(low, high, shape, generator=_RANDOM)


def ties(*shape: int) -> Tensor:
    return whole(0, 3, *shape).float()


M, N, V = rand(4, 5), rand(4, 5), rand(6)
IMAGE, VOLUME = rand(2, 3, 7, 8), rand(2, 2, 7, 6, 8)
LOGITS, LABELS = rand(8, 3), whole(0, 3, 8)
ROWS, PLACES = rand(6, 3), whole(0, 4, 6, 3)
NAN, INF = math.nan, math.inf
SPECIAL = torch.tensor([1.0, NAN, 3.0, NAN, 2.0, -INF])
APART = torch.cat([rand(3, 5), torch.ones(1, 5)])
IDS, STARTS = whole(0, 9, 12), torch.tensor([0, 3, 3, 9])
BAGS = torch.tensor([[0, 2, -1, 1], [1, -1, -1, 2], [-1, 0, 0, 0]])

GOES: dict[str, Case] = {
    # norms and distances
    "norm": (lambda a: a.norm(), [M]),
    "norm of zeros": (lambda a: (a * 0).norm(dim=1), [M]),
    **{
        f"vector_norm {p}": (lambda a, p=p: torch.linalg.vector_norm(a, p, dim=1), [M])
        for p in (0.0, 0.5, 1.0, 3.0, INF, -INF)
    },
    "matrix_norm": (lambda a: torch.linalg.matrix_norm(a), [M]),
    "normalize": (lambda a: F.normalize(a, dim=1), [M]),
    "cosine_similarity": (F.cosine_similarity, [M, N]),
    "pairwise_distance": (F.pairwise_distance, [M, N]),
    "dist": (torch.dist, [M, N]),
    "renorm": (lambda a: a.renorm(2, 0, 1.0), [M]),
    **{
        f"cdist {p}": (lambda a, b, p=p: torch.cdist(a, b, p=p), [APART, APART + 0])
        for p in (1.0, 2.0, 3.0, INF)
    },
    "cdist of many": (torch.cdist, [rand(2, 40, 5), rand(2, 30, 5)]),
    "hypot": (lambda a, b: torch.hypot(a.detach(), b), [torch.tensor([0, 1e30, INF, 3]), torch.ones(4)]),
    # moments
    "var_mean": (lambda a: torch.var_mean(a, dim=1), [M]),
    "var_mean of all": (lambda a: torch.var_mean(a, correction=0), [M]),
    "std_mean": (lambda a: torch.std_mean(a, dim=0, keepdim=True), [M]),
    # windows
    **{f"unfold {d}": (lambda a, d=d: a.unfold(d, 3, 2), [rand(7, 8, 9)]) for d in (0, 1, -1)},
    "F.unfold": (lambda a: F.unfold(a, 3, padding=1), [IMAGE]),
    "F.fold": (lambda a: F.fold(a, (6, 6), 3, padding=1), [rand(2, 27, 36)]),
    # reductions by place
    **{
        f"scatter_reduce {r} {own}": (
            lambda a, i, s, r=r, own=own: s.scatter_reduce(1, i, a, r, include_self=own),
            [rand(3, 6), whole(0, 4, 3, 6), rand(3, 4)],
        )
        for r in ("sum", "prod", "mean", "amax", "amin")
        for own in (True, False)
    },
    "scatter_reduce of ties": (
        lambda a, i: torch.zeros(2).scatter_reduce(0, i, a, "amax"),
        [torch.tensor([1.0, 1, 2, 2]), torch.tensor([0, 0, 1, 1])],
    ),
    "scatter_reduce of whole numbers": (
        lambda a, i: torch.zeros(4, 3, dtype=torch.int64).scatter_reduce(0, i, a, "mean"),
        [whole(-9, 9, 6, 3), PLACES],
    ),
    "index_reduce": (
        lambda a, i, s: s.index_reduce(1, i, a, "amax", include_self=False),
        [rand(3, 6), whole(0, 4, 6), rand(3, 4)],
    ),
    "index_add": (lambda a, i: torch.zeros(4, 3).index_add(0, i, a), [ROWS, PLACES[:, 0].contiguous()]),
    "index_copy": (lambda a, i: torch.zeros(4, 3).index_copy(0, i, a), [rand(2, 3), torch.tensor([1, 3])]),
    "scatter_add": (lambda a, i: torch.zeros(4, 3).scatter_add(0, i, a), [ROWS, PLACES]),
    "masked_scatter": (lambda a, s: a.masked_scatter(torch.ones(4, 5).triu().bool(), s), [M, rand(20)]),
    "take_along_dim": (lambda a, i: torch.take_along_dim(a, i, 1), [ROWS, whole(0, 3, 6, 2)]),
    # running and ordered
    "logcumsumexp": (lambda a: torch.logcumsumexp(a * 30, 1), [M]),
    "logcumsumexp of extremes": (
        lambda a: torch.logcumsumexp(a.detach(), 0),
        [torch.tensor([-INF, -INF, 1, -INF, 500, -500])],
    ),
    "cummax": (lambda a: a.cummax(0), [ties(7, 5)]),
    "cummin": (lambda a: a.cummin(1), [ties(7, 5)]),
    "cummax beside NaN": (lambda a: a.detach().cummax(0), [SPECIAL]),
    "cumprod": (lambda a: a.cumprod(1), [M]),
    "median": (lambda a: a.median(dim=1), [M]),
    "median of all": (lambda a: a.median(), [M]),
    "median beside NaN": (lambda a: a.detach().median(0)[0], [SPECIAL]),
    "kthvalue": (lambda a: a.kthvalue(2, dim=1), [M]),
    "quantile": (lambda a: a.quantile(0.3, dim=1), [M]),
    "searchsorted": (
        lambda a, b: torch.searchsorted(a.detach().sort()[0], b.detach(), right=True),
        [torch.tensor([1.0, 1, 2, 2, 3]), torch.tensor([1.0, 2, 3, 0, 4])],
    ),
    "searchsorted by row": (
        lambda a, b: torch.searchsorted(a.detach().sort()[0], b.detach()),
        [rand(2, 9).sort()[0], rand(2, 4)],
    ),
    # pooling
    **{
        f"avg_pool2d {i}": (lambda a, p=p: F.avg_pool2d(a, *p), [IMAGE])
        for i, p in enumerate(
            [(3, 2, 1, True), (3, 2, 1, True, False), ((2, 3), (2, 1), 1), (4, 3, 2, True, False)]
        )
    },
    "avg_pool2d divided by a number": (lambda a: F.avg_pool2d(a, 2, divisor_override=3), [IMAGE]),
    "avg_pool1d": (lambda a: F.avg_pool1d(a, 3, 2, 1, True, False), [rand(2, 3, 11)]),
    **{
        f"avg_pool3d {i}": (lambda a, p=p: F.avg_pool3d(a, *p), [VOLUME])
        for i, p in enumerate([(2,), (3, 2, 1), (3, 2, 1, True, False), ((1, 2, 3), (2, 1, 2))])
    },
    **{
        f"max_pool3d {i}": (lambda a, p=p: F.max_pool3d(a, *p, return_indices=True), [ties(2, 2, 7, 6, 8)])
        for i, p in enumerate(
            [(2,), (3, 2, 1, 1, True), (2, 1, 1, 2), ((1, 2, 3), (2, 1, 2), (0, 1, 1), 1, True)]
        )
    },
    "max_pool3d beside NaN": (
        lambda a: F.max_pool3d(torch.where(a > 1, NAN, a.detach()), 2, return_indices=True),
        [VOLUME],
    ),
    "max_pool1d": (lambda a: F.max_pool1d(a, 2), [rand(2, 3, 8)]),
    "adaptive_avg_pool2d": (lambda a: F.adaptive_avg_pool2d(a, (3, 5)), [IMAGE]),
    "adaptive_avg_pool3d": (lambda a: F.adaptive_avg_pool3d(a, (3, 2, 5)), [VOLUME]),
    "adaptive_avg_pool1d": (lambda a: F.adaptive_avg_pool1d(a, 3), [rand(2, 3, 7)]),
    "adaptive_max_pool2d": (
        lambda a: F.adaptive_max_pool2d(a, (3, 5), return_indices=True),
        [ties(2, 3, 7, 8)],
    ),
    "adaptive_max_pool3d": (lambda a: F.adaptive_max_pool3d(a, (3, 2, 5)), [VOLUME]),
    "adaptive_max_pool1d": (lambda a: F.adaptive_max_pool1d(a, 3), [rand(2, 3, 7)]),
    "lp_pool2d": (lambda a: F.lp_pool2d(a.abs(), 2, 2), [IMAGE]),
    "max_unpool2d": (
        lambda a: F.max_unpool2d(*F.max_pool2d(a, 2, return_indices=True), [2, 2]),
        [rand(1, 2, 4, 4)],
    ),
    # bags of embeddings
    **{
        f"embedding_bag {mode}": (
            lambda w, mode=mode: F.embedding_bag(IDS, w, STARTS, mode=mode, padding_idx=2),
            [rand(9, 4)],
        )
        for mode in ("sum", "mean", "max")
    },
    "embedding_bag of rows": (lambda w: F.embedding_bag(IDS.reshape(3, 4), w, mode="mean"), [rand(9, 4)]),
    "embedding_bag with weights": (
        lambda w, p: F.embedding_bag(IDS, w, STARTS, mode="sum", per_sample_weights=p),
        [rand(9, 4), rand(12)],
    ),
    "embedding_bag with its last offset": (
        lambda w: F.embedding_bag(IDS, w, torch.tensor([0, 3, 9, 12]), mode="mean", include_last_offset=True),
        [rand(9, 4)],
    ),
    # products, padding, places
    "bilinear": (F.bilinear, [rand(2, 3), rand(2, 4), rand(5, 3, 4)]),
    "addmv": (lambda a, b, c: torch.addmv(a, b, c, beta=2, alpha=3), [rand(3), rand(3, 4), rand(4)]),
    "einsum": (lambda a, b: torch.einsum("bij,bjk->bik", a, b), [rand(2, 3, 4), rand(2, 4, 5)]),
    "cross": (torch.linalg.cross, [rand(2, 3), rand(2, 3)]),
    "triu_indices": (lambda a: a[tuple(torch.triu_indices(3, 3, 1))], [rand(3, 3)]),
    "tril_indices": (lambda a: a[tuple(torch.tril_indices(3, 3, -1))], [rand(3, 3)]),
    **{
        f"pad {mode}": (lambda a, mode=mode: F.pad(a, (2, 1, 0, 3), mode=mode), [rand(1, 2, 4, 5)])
        for mode in ("constant", "reflect", "replicate", "circular")
    },
    "pad replicate 1d": (lambda a: F.pad(a, (2, 1), mode="replicate"), [rand(2, 3, 5)]),
    "pad replicate 3d": (lambda a: F.pad(a, (2, 1, 0, 3, 1, 1), mode="replicate"), [rand(1, 2, 3, 4, 5)]),
    "interpolate bilinear": (lambda a: F.interpolate(a, size=(5, 9), mode="bilinear"), [IMAGE]),
    "interpolate bicubic": (lambda a: F.interpolate(a, scale_factor=2, mode="bicubic"), [rand(1, 2, 4, 4)]),
    "interpolate nearest": (lambda a: F.interpolate(a, scale_factor=2), [IMAGE]),
    "pixel_shuffle": (lambda a: F.pixel_shuffle(a, 2), [rand(1, 8, 3, 3)]),
    # elementwise
    **{
        name: (lambda a, f=getattr(torch, name): f(a), [M.abs() + 0.3])
        for name in ["exp2", "lgamma", "erfc", "sgn", "signbit", "sinc", "nan_to_num", "frac"]
    },
    "digamma": (lambda a: torch.digamma(a.detach()), [M.abs() + 0.3]),
    "erfinv": (lambda a: torch.erfinv(torch.tanh(a)), [M]),
    "logit": (lambda a: torch.logit(torch.sigmoid(a)), [M]),
    "logit of a range": (lambda a: torch.logit(torch.sigmoid(a), eps=0.3), [M]),
    **{
        name: (lambda a, f=getattr(F, name): f(a), [M])
        for name in [
            "relu6",
            "leaky_relu",
            "elu",
            "selu",
            "celu",
            "gelu",
            "silu",
            "mish",
            "softplus",
            "softsign",
            "tanhshrink",
            "hardtanh",
            "hardswish",
            "hardsigmoid",
            "hardshrink",
            "softshrink",
            "logsigmoid",
            "rrelu",
        ]
    },
    "prelu": (F.prelu, [M, torch.tensor([0.2])]),
    "glu": (F.glu, [rand(4, 6)]),
    # losses
    "cross_entropy": (lambda a: F.cross_entropy(a, LABELS, label_smoothing=0.1), [LOGITS]),
    "cross_entropy of weights": (
        lambda a: F.cross_entropy(a, LABELS, weight=torch.tensor([1.0, 2, 3])),
        [LOGITS],
    ),
    "cross_entropy of marked labels": (
        lambda a, t: F.cross_entropy(a, t, ignore_index=-100),
        [LOGITS, torch.where(torch.arange(8) < 2, -100, LABELS)],
    ),
    "cross_entropy of pictures": (F.cross_entropy, [rand(2, 3, 4, 4), whole(0, 3, 2, 4, 4)]),
    "cross_entropy of shares": (lambda a, t: F.cross_entropy(a, t.detach().softmax(1)), [LOGITS, rand(8, 3)]),
    "binary_cross_entropy": (lambda a: F.binary_cross_entropy(a.sigmoid(), torch.ones_like(a)), [LOGITS]),
    "binary_cross_entropy_with_logits": (
        lambda a: F.binary_cross_entropy_with_logits(
            a, torch.ones_like(a), pos_weight=torch.tensor([1.0, 2, 3])
        ),
        [LOGITS],
    ),
    **{
        name: (lambda a, b, f=getattr(F, name): f(a, b), [LOGITS, rand(8, 3)])
        for name in ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"]
    },
    "kl_div": (
        lambda a, b: F.kl_div(a.log_softmax(1), b.softmax(1), reduction="batchmean"),
        [LOGITS, rand(8, 3)],
    ),
    "poisson_nll_loss": (lambda a, b: F.poisson_nll_loss(a, b.abs(), full=True), [LOGITS, rand(8, 3)]),
    "margin_ranking_loss": (lambda a, b: F.margin_ranking_loss(a, b, torch.ones(8, 3)), [LOGITS, rand(8, 3)]),
    "triplet_margin_loss": (F.triplet_margin_loss, [LOGITS, rand(8, 3), rand(8, 3)]),
    "cosine_embedding_loss": (
        lambda a, b: F.cosine_embedding_loss(a, b, torch.ones(8)),
        [LOGITS, rand(8, 3)],
    ),
    "hinge_embedding_loss": (lambda a: F.hinge_embedding_loss(a, torch.ones_like(a)), [LOGITS]),
    "multi_margin_loss": (lambda a: F.multi_margin_loss(a, LABELS, p=2), [LOGITS]),
    **{
        f"multilabel_margin_loss {r}": (
            lambda a, r=r: F.multilabel_margin_loss(a, BAGS, reduction=r),
            [rand(3, 4)],
        )
        for r in ("none", "mean", "sum")
    },
    "multilabel_margin_loss of a row": (
        lambda a: F.multilabel_margin_loss(a, torch.tensor([3, 0, -1, 1])),
        [rand(4)],
    ),
    "multilabel_soft_margin_loss": (lambda a: F.multilabel_soft_margin_loss(a, torch.ones_like(a)), [LOGITS]),
    "soft_margin_loss": (lambda a: F.soft_margin_loss(a, torch.ones_like(a)), [LOGITS]),
    # gradients that are cut to size
    "clip_grad_norm_": (lambda a, b: _clipped(a, b), [M, V]),
    "clip_grad_norm_ inf": (lambda a, b: _clipped(a, b, norm_type=INF), [M, V]),
    "clip_grad_norm_ foreach": (lambda a, b: _clipped(a, b, foreach=True), [M, V]),
    # operands in other layouts
    "one element with strides": (lambda a: a + 1, [rand(1, 5)[:, :1]]),
    "a transposed operand": (lambda a: a * 2, [rand(5, 4).t()]),
    "an expanded operand": (lambda a: a * 2, [rand(1, 4).expand(3, 4)]),
    "channels last": (
        lambda a, w: F.max_pool2d(F.conv2d(a, w), 2).flatten(1),
        [IMAGE.to(memory_format=torch.channels_last), rand(4, 3, 3, 3).to(memory_format=torch.channels_last)],
    ),
}


def _clipped(a: Tensor, b: Tensor, **options: Any) -> tuple[Tensor, ...]:
    leaves = [x.detach().requires_grad_() for x in (a, b)]
    with torch.enable_grad():
        sum((x**3).sum() for x in leaves).backward()  # type: ignore[union-attr]
    norm = torch.nn.utils.clip_grad_norm_(leaves, 0.5, **options)
    return norm, *(x.grad for x in leaves if x.grad is not None)


# What a plan cannot hold, and what the error says to write instead.
REFUSED: dict[str, tuple[Callable[..., Any], list[Tensor], str]] = {
    "svd": (lambda a: torch.linalg.svdvals(a), [M], "matrix products"),
    "solve": (lambda a, b: torch.linalg.solve(a, b), [rand(3, 3), rand(3, 1)], "matrix products"),
    "fft": (lambda a: torch.fft.rfft(a).abs(), [V], "DFT matrix"),
    "mode": (lambda a: a.mode(dim=1)[0], [M], "one_hot"),
    "histc": (lambda a: a.histc(4, -1, 1), [V], "bucketize"),
    "bincount": (lambda a: a.bincount(minlength=4), [whole(0, 4, 9)], "one_hot"),
    "pdist": (F.pdist, [M], "torch.cdist"),
    "cov": (torch.cov, [M], "x @ x.T"),
    "corrcoef": (torch.corrcoef, [M], "F.normalize"),
    "gaussian_nll_loss": (F.gaussian_nll_loss, [M, N, M.abs() + 0.1], r"v.log\(\)"),
    "ctc_loss": (
        lambda a: F.ctc_loss(a.log_softmax(2), torch.tensor([[1, 2]]), torch.tensor([6]), torch.tensor([2])),
        [rand(6, 1, 3)],
        "aligned targets",
    ),
    "packed sequences": (
        lambda a: torch.nn.utils.rnn.pack_padded_sequence(a, torch.tensor([4, 2]), batch_first=True).data,
        [rand(2, 4, 6)],
        "mask by length",
    ),
    "embedding of a largest norm": (
        lambda w: F.embedding(IDS, w * 1, max_norm=1.0),
        [rand(9, 4)],
        "F.normalize",
    ),
    "embedding scaled by frequency": (
        lambda w: F.embedding(IDS, w, scale_grad_by_freq=True),
        [rand(9, 4)],
        "scale_grad_by_freq=False",
    ),
    "nonzero": (lambda a: a.nonzero(), [M], "torch.where"),
    "a mask as index": (lambda a: a[a > 0], [M], "torch.where"),
    "rrelu while it trains": (lambda a: F.rrelu(a, training=True), [M], "LeakyReLU"),
}
