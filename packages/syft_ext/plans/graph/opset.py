"""The op sets: the only operations that a plan can name, and the signature each argument must fit.

Admitted are functional, deterministic kernels with an output shape that does not depend on data. Left out,
with the reason measured in each case: everything that mutates; ``native_batch_norm`` (mutates although its
schema says not); random kernels; ``nonzero`` and its kin; ``as_strided`` (reads the rest of the storage);
``empty*`` (returns old memory); ``from_file``; ``max_pool2d_with_indices_backward``,
``native_layer_norm_backward``, ``embedding_dense_backward``, ``_adaptive_avg_pool2d_backward`` (crash or read
out of bounds on hostile arguments). The tracer rewrites what it can to admitted operations. What the admitted ones
require of their operands is declared in :mod:`syft_ext.plans.preconditions`.

The list of an op set is frozen: a later set adds names, and never changes what one means. A plan says the earliest
set that has all of its operations, so that readers who know only that one can run it.

No torch: :mod:`syft_ext.plans.graph.ops` has its kernels.
"""

from __future__ import annotations

from collections.abc import Iterable

from syft_ext.errors import InvalidPlan
from syft_ext.plans.graph.document import OPSET

__all__ = ["NAMES", "STRINGS", "check_operation", "opset_of"]

_OPSET_1 = """
abs.default neg.default exp.default expm1.default log.default log1p.default log2.default log10.default
sqrt.default rsqrt.default reciprocal.default sigmoid.default tanh.default relu.default erf.default
gelu.default silu.default sin.default cos.default tan.default asin.default acos.default atan.default
sinh.default cosh.default asinh.default acosh.default atanh.default floor.default ceil.default
round.default trunc.default sign.default isnan.default isinf.default logical_not.default
bitwise_not.default leaky_relu.default elu.default hardtanh.default clamp.default clamp.Tensor
clamp_min.default softplus.default log_sigmoid_forward.default

add.Tensor add.Scalar sub.Tensor sub.Scalar rsub.Scalar mul.Tensor mul.Scalar div.Tensor div.Scalar
div.Tensor_mode pow.Tensor_Scalar pow.Tensor_Tensor pow.Scalar remainder.Scalar remainder.Tensor
fmod.Scalar fmod.Tensor maximum.default minimum.default atan2.default eq.Tensor eq.Scalar ne.Tensor
ne.Scalar lt.Tensor lt.Scalar le.Tensor le.Scalar gt.Tensor gt.Scalar ge.Tensor ge.Scalar
logical_and.default logical_or.default logical_xor.default bitwise_and.Tensor bitwise_or.Tensor
bitwise_xor.Tensor bitwise_and.Scalar bitwise_or.Scalar bitwise_xor.Scalar
bitwise_right_shift.Tensor_Scalar where.self masked_fill.Scalar lerp.Scalar addcmul.default addcdiv.default

sum.default sum.dim_IntList mean.default mean.dim var.correction amax.default amin.default max.default
min.default max.dim min.dim argmax.default argmin.default any.default any.dim any.dims all.default all.dim
prod.default prod.dim_int cumsum.default cumprod.default sort.default topk.default logsumexp.default

mm.default bmm.default addmm.default mv.default dot.default convolution.default
convolution_backward.default _softmax.default _log_softmax.default native_layer_norm.default
native_group_norm.default _native_batch_norm_legit.no_stats avg_pool2d.default
max_pool2d_with_indices.default _adaptive_avg_pool2d.default embedding.default

reshape.default permute.default transpose.int t.default unsqueeze.default squeeze.dim squeeze.dims
expand.default slice.Tensor select.int cat.default stack.default flip.default repeat.default
constant_pad_nd.default clone.default _to_copy.default slice_scatter.default select_scatter.default
tril.default triu.default diagonal.default

gather.default scatter.value scatter.src scatter_add.default index_select.default index_add.default
index_put.default index.Tensor bucketize.Tensor

full.default full_like.default zeros.default zeros_like.default ones.default ones_like.default
arange.start_step arange.default scalar_tensor.default

threshold_backward.default _log_softmax_backward_data.default _softmax_backward_data.default
nll_loss_forward.default nll_loss_backward.default native_batch_norm_backward.default
gelu_backward.default sigmoid_backward.default tanh_backward.default select_backward.default
slice_backward.default
"""

# Reductions by place (graph networks, EmbeddingBag's maximum), and functions of counting losses and quantiles.
_OPSET_2 = """
scatter_reduce.two lgamma.default digamma.default erfc.default erfinv.default
"""

# A string argument is one of a few words, per operation and parameter; every other string is refused.
STRINGS: dict[tuple[str, str], frozenset[str]] = {
    ("aten.gelu.default", "approximate"): frozenset({"none", "tanh"}),
    ("aten.gelu_backward.default", "approximate"): frozenset({"none", "tanh"}),
    ("aten.div.Tensor_mode", "rounding_mode"): frozenset({"trunc", "floor"}),
    ("aten.scatter_reduce.two", "reduce"): frozenset({"sum", "prod", "mean", "amax", "amin"}),
}


_SETS = (_OPSET_1, _OPSET_2)
_FIRST_SET = {"aten." + name: number for number, names in enumerate(_SETS, 1) for name in names.split()}
NAMES = tuple(_FIRST_SET)
"""All operations, as plans name them."""


def opset_of(names: Iterable[str]) -> int:
    """The earliest op set that has all of these operations, which are in :data:`NAMES`."""
    return max((_FIRST_SET[name] for name in names), default=1)


def check_operation(name: str, opset: int = OPSET) -> None:
    """Raise :class:`InvalidPlan` if that op set does not hold the operation."""
    if _FIRST_SET.get(name, opset + 1) > opset:
        raise InvalidPlan(f"operation {name[:80]!r} is not in the op set", op=name[:80])
