"""Op set 1: the only operations that a plan can name, and the signature each argument must fit.

Admitted are functional, deterministic kernels with an output shape that does not depend on data. Left out,
with the reason measured in each case: everything that mutates; ``native_batch_norm`` (mutates although its
schema says not); random kernels; ``nonzero`` and its kin; ``as_strided`` (reads the rest of the storage);
``empty*`` (returns old memory); ``from_file``; ``max_pool2d_with_indices_backward``,
``native_layer_norm_backward``, ``embedding_dense_backward``, ``_adaptive_avg_pool2d_backward`` (crash or read
out of bounds on hostile arguments). The tracer rewrites what it can to admitted operations.

The list of an op set is frozen: a later set may add names, never change what one means.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from syft_ext.errors import InvalidPlan

__all__ = ["ALLOWED", "STRINGS", "is_view", "op_overload", "result_count"]

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

# A string argument is one of a few words, per operation and parameter; every other string is refused.
STRINGS: dict[tuple[str, str], frozenset[str]] = {
    ("aten.gelu.default", "approximate"): frozenset({"none", "tanh"}),
    ("aten.gelu_backward.default", "approximate"): frozenset({"none", "tanh"}),
    ("aten.div.Tensor_mode", "rounding_mode"): frozenset({"trunc", "floor"}),
}


def _resolve(name: str) -> torch._ops.OpOverload:
    packet, overload = name.split(".")
    op = getattr(getattr(torch.ops.aten, packet), overload)
    assert not op._schema.is_mutable and torch.Tag.nondeterministic_seeded not in op.tags, name
    return op  # type: ignore[no-any-return]


ALLOWED: dict[str, torch._ops.OpOverload] = {"aten." + name: _resolve(name) for name in _OPSET_1.split()}


def op_overload(name: str) -> torch._ops.OpOverload:
    """The operation called ``name``; :class:`InvalidPlan` if the op set does not hold it."""
    op = ALLOWED.get(name)
    if op is None:
        raise InvalidPlan(f"operation {name[:80]!r} is not in the op set", op=name[:80])
    return op


@cache
def result_count(name: str) -> int:
    """How many tensors the operation returns."""
    return len(ALLOWED[name]._schema.returns)


@cache
def is_view(name: str) -> bool:
    """Whether a result may share memory with an argument."""
    returns: list[Any] = list(ALLOWED[name]._schema.returns)
    return any(result.alias_info is not None for result in returns)
