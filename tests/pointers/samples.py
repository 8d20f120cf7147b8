"""One call for every operation of the op set: ``(operation, arguments, keywords)``, arguments by name."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["TENSORS", "calls"]


def _tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    image = normal(2, 3, 8, 8)
    return {
        "a": normal(3, 4),
        "b": normal(3, 4),
        "c": normal(3, 4),
        "p": normal(3, 4).abs() + 0.5,
        "u": torch.rand(3, 4, generator=generator) * 1.8 - 0.9,
        "v": torch.rand(3, 4, generator=generator) + 1.1,
        "i": torch.tensor([[5, -3, 7, 2], [1, 9, -8, 6], [3, 4, 11, -2]]),
        "j": torch.tensor([[2, 3, 1, 2], [1, 2, 3, 4], [2, 1, 3, 5]]),
        "m": torch.tensor(
            [[True, False, True, False], [False, True, True, False], [True, True, False, False]]
        ),
        "n": torch.tensor(
            [[True, True, False, False], [False, True, False, True], [True, False, False, True]]
        ),
        "row": torch.tensor([0, 2, 1]),
        "col": torch.tensor([[0, 3, 1, 2], [1, 1, 0, 2], [3, 2, 1, 0]]),
        "sq": normal(4, 4),
        "w": normal(4, 5),
        "x3": normal(2, 3, 4),
        "y3": normal(2, 4, 5),
        "vec": normal(4),
        "vec5": normal(5),
        "vec6": normal(6),
        "img": image,
        "ker": normal(6, 3, 3, 3),
        "grad_img": normal(2, 6, 8, 8),
        "chan": normal(3),
        "mean": image.mean((0, 2, 3)),
        "rstd": 1 / (image.var((0, 2, 3), correction=0) + 1e-5).sqrt(),
        "soft": normal(3, 4).softmax(1),
        "logsoft": normal(3, 4).log_softmax(1),
        "labels": torch.tensor([1, 3, 0]),
        "total": torch.tensor(3.0),
        "edges": torch.tensor([-1.0, 0.0, 1.0]),
        "grad_row": normal(4),
        "grad_two": normal(2, 4),
        "one": torch.tensor(1.0),
    }


TENSORS = _tensors()

_UNARY = """abs neg exp expm1 sigmoid tanh relu erf erfc gelu silu sin cos tan sinh cosh asinh atan
floor ceil round trunc
sign isnan isinf leaky_relu elu hardtanh softplus log_sigmoid_forward"""
_CALLS = """
log(p) log1p(p) log2(p) log10(p) sqrt(p) rsqrt(p) reciprocal(p) asin(u) acos(u) atanh(u) acosh(v)
lgamma(p) digamma(p) erfinv(u)
logical_not(m) bitwise_not(i) clamp(a, -0.5, 0.5) clamp.Tensor(a, b, p) clamp_min(a, 0.1)
add.Tensor(a, b, alpha=2) add.Scalar(a, 2) sub.Tensor(a, b) sub.Scalar(a, 1.5) rsub.Scalar(a, 3)
mul.Tensor(a, b)
mul.Scalar(a, 2) div.Tensor(a, p) div.Scalar(a, 4) div.Tensor_mode(a, p, rounding_mode='floor')
pow.Tensor_Scalar(p, 2.5) pow.Tensor_Tensor(p, a) pow.Scalar(2, a) remainder.Scalar(i, 3)
remainder.Tensor(i, j)
fmod.Scalar(i, 3) fmod.Tensor(i, j) maximum(a, b) minimum(a, b) atan2(a, b)
eq.Tensor(i, j) eq.Scalar(i, 2) ne.Tensor(i, j) ne.Scalar(i, 2) lt.Tensor(a, b) lt.Scalar(a, 0)
le.Tensor(a, b)
le.Scalar(a, 0) gt.Tensor(a, b) gt.Scalar(a, 0) ge.Tensor(a, b) ge.Scalar(a, 0)
logical_and(m, n) logical_or(m, n) logical_xor(m, n) bitwise_and.Tensor(i, j)
bitwise_or.Tensor(i, j)
bitwise_xor.Tensor(i, j) bitwise_and.Scalar(i, 3) bitwise_or.Scalar(i, 3) bitwise_xor.Scalar(i, 3)
bitwise_right_shift.Tensor_Scalar(i, 1) where.self(m, a, b) masked_fill.Scalar(a, m, 2.0)
lerp.Scalar(a, b, 0.3)
addcmul(a, b, c, value=0.5) addcdiv(a, b, p, value=0.5)
sum(a) sum.dim_IntList(a, [1], True) mean(a) mean.dim(a, [0]) var.correction(a, [1], correction=1)
amax(a, [1])
amin(a, [1]) max(a) min(a) max.dim(a, 1) min.dim(a, 1) argmax(a, 1) argmin(a, 1) any(m)
any.dim(m, 1) any.dims(m, [1])
all(m) all.dim(m, 1) prod(a) prod.dim_int(a, 1) cumsum(a, 1) cumprod(a, 1) sort(a, 1) topk(a, 2, 1)
logsumexp(a, [1])
mm(a, w) bmm(x3, y3) addmm(vec5, a, w) mv(a, vec) dot(vec, vec)
convolution(img, ker, vec6, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
convolution_backward(grad_img, img, ker, [6], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True,
True, True])
_softmax(a, 1, False) _log_softmax(a, 1, False) native_layer_norm(a, [4], vec, vec, 1e-5)
native_group_norm(img, chan, chan, 2, 3, 64, 1, 1e-5)
_native_batch_norm_legit.no_stats(img, chan, chan, True, 0.1, 1e-5)
avg_pool2d(img, [2, 2]) max_pool2d_with_indices(img, [2, 2]) _adaptive_avg_pool2d(img, [2, 2])
embedding(sq, row)
reshape(a, [2, 6]) permute(x3, [2, 0, 1]) transpose.int(a, 0, 1) t(a) unsqueeze(a, 1)
squeeze.dim(x3, 0)
squeeze.dims(x3, [0, 1]) expand(vec, [3, 4]) slice.Tensor(a, 1, 1, 3) select.int(a, 0, 1)
cat([a, b], 1) stack([a, b])
flip(a, [0]) repeat(a, [2, 1]) constant_pad_nd(a, [1, 1], 0.5) clone(a)
_to_copy(a, dtype=torch.float64)
slice_scatter(a, grad_two, 0, 1, 3) select_scatter(a, grad_row, 0, 1) tril(a) triu(a) diagonal(sq)
gather(a, 1, col) scatter.value(a, 1, col, 2.0) scatter.src(a, 1, col, b) scatter_add(a, 1, col, b)
scatter_reduce.two(a, 1, col, b, 'amax')
index_select(a, 0, row) index_add(a, 0, row, b) index_put(a, [row], b, True) index.Tensor(a, [row])
bucketize.Tensor(a, edges)
full_like(a, 2) zeros_like(a) ones_like(a)
threshold_backward(a, b, 0) _log_softmax_backward_data(a, logsoft, 1, torch.float32)
_softmax_backward_data(a, soft, 1, torch.float32) nll_loss_forward(logsoft, labels, None, 1, -100)
nll_loss_backward(one, logsoft, labels, None, 1, -100, total)
native_batch_norm_backward(img, img, chan, None, None, mean, rstd, True, 1e-5, [True, True, True])
gelu_backward(a, b) sigmoid_backward(a, u) tanh_backward(a, u)
select_backward(grad_row, [3, 4], 0, 1)
slice_backward(grad_two, [3, 4], 0, 1, 3, 1)
"""


def calls(tensors: dict[str, Any]) -> dict[str, Any]:
    """Every call, on these tensors: ``{"aten.add.Tensor": result, …}``."""
    names = {**tensors, "torch": torch}
    results: dict[str, Any] = {}
    for name in _UNARY.split():
        results[f"aten.{name}.default"] = getattr(torch.ops.aten, name).default(tensors["a"])
    for text in _split(_CALLS):
        name, _, arguments = text.partition("(")
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
        run = eval(f"lambda op: op({arguments}", names)
        results[f"aten.{packet}.{overload or 'default'}"] = run(operation)
    return results


def _split(text: str) -> list[str]:
    found, depth, begin = [], 0, 0
    for position, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == ")" and depth == 0:
            found.append(text[begin : position + 1].strip())
            begin = position + 1
    return found
