"""Every operation of the op set, with its preconditions."""

from __future__ import annotations

from syft_ext.plans.preconditions import costs, demands, forms
from syft_ext.plans.preconditions.declaration import NOTHING, Preconditions

__all__ = ["PRECONDITIONS"]

# The kernel walks strides, broadcasts or refuses by itself, and trusts no element. Fuzzed as all others are.
_NOTHING = """
abs.default neg.default exp.default expm1.default log.default log1p.default log2.default log10.default
sqrt.default rsqrt.default reciprocal.default sigmoid.default tanh.default relu.default erf.default
gelu.default silu.default sin.default cos.default tan.default asin.default acos.default atan.default
sinh.default cosh.default asinh.default acosh.default atanh.default floor.default ceil.default
round.default trunc.default sign.default isnan.default isinf.default logical_not.default
bitwise_not.default leaky_relu.default elu.default hardtanh.default clamp.default clamp.Tensor
clamp_min.default softplus.default log_sigmoid_forward.default

add.Tensor add.Scalar sub.Tensor sub.Scalar rsub.Scalar mul.Tensor mul.Scalar div.Tensor div.Scalar
pow.Tensor_Tensor pow.Scalar maximum.default minimum.default atan2.default eq.Tensor
eq.Scalar ne.Tensor ne.Scalar lt.Tensor lt.Scalar le.Tensor le.Scalar gt.Tensor gt.Scalar ge.Tensor ge.Scalar
logical_and.default logical_or.default logical_xor.default bitwise_and.Tensor bitwise_or.Tensor
bitwise_xor.Tensor bitwise_and.Scalar bitwise_or.Scalar bitwise_xor.Scalar
bitwise_right_shift.Tensor_Scalar where.self masked_fill.Scalar lerp.Scalar addcmul.default addcdiv.default

sum.default sum.dim_IntList mean.default mean.dim var.correction amax.default amin.default max.default
min.default any.default any.dim any.dims all.default all.dim
prod.default prod.dim_int cumsum.default cumprod.default

mm.default bmm.default addmm.default mv.default dot.default

reshape.default permute.default transpose.int t.default unsqueeze.default squeeze.dim squeeze.dims
expand.default select.int cat.default stack.default flip.default clone.default _to_copy.default

lgamma.default digamma.default erfc.default erfinv.default

full.default full_like.default zeros.default zeros_like.default ones.default ones_like.default
scalar_tensor.default
"""

_DIVISION = Preconditions(form=forms.divisor, values=demands.divisor)
_SOFTMAX_BACKWARD = Preconditions(form=forms.softmax_backward, dense=("grad_output", "output"))
_POINTWISE_BACKWARD = Preconditions(form=forms.pointwise_backward)

_DECLARED: dict[str, Preconditions] = {
    "pow.Tensor_Scalar": Preconditions(form=forms.power_scalar),
    "div.Tensor_mode": Preconditions(form=forms.divisor_mode, values=demands.divisor),
    "remainder.Scalar": _DIVISION,
    "remainder.Tensor": _DIVISION,
    "fmod.Scalar": _DIVISION,
    "fmod.Tensor": _DIVISION,
    # norms, softmax
    "_softmax.default": Preconditions(form=forms.softmax, dense=("self",)),
    "_log_softmax.default": Preconditions(form=forms.softmax, dense=("self",)),
    "_softmax_backward_data.default": _SOFTMAX_BACKWARD,
    "_log_softmax_backward_data.default": _SOFTMAX_BACKWARD,
    "native_layer_norm.default": Preconditions(form=forms.layer_norm, dense=("input", "weight", "bias")),
    "native_group_norm.default": Preconditions(form=forms.group_norm, dense=("input", "weight", "bias")),
    "_native_batch_norm_legit.no_stats": Preconditions(
        form=forms.batch_norm, dense=("input", "weight", "bias"), scratch=costs.several_copies
    ),
    "native_batch_norm_backward.default": Preconditions(
        form=forms.batch_norm_backward,
        omitted=forms.masked_out,
        dense=("grad_out", "input", "weight", "running_mean", "running_var", "save_mean", "save_invstd"),
        scratch=costs.several_copies,
    ),
    "logsumexp.default": Preconditions(scratch=costs.several_copies),
    # elementwise gradients
    "threshold_backward.default": Preconditions(form=forms.threshold_backward),
    "gelu_backward.default": _POINTWISE_BACKWARD,
    "sigmoid_backward.default": _POINTWISE_BACKWARD,
    "tanh_backward.default": _POINTWISE_BACKWARD,
    # convolutions, pools
    "convolution.default": Preconditions(
        form=forms.convolution, dense=("input", "weight", "bias"), scratch=costs.convolution_scratch
    ),
    "convolution_backward.default": Preconditions(
        form=forms.convolution_backward,
        omitted=forms.masked_out,
        dense=("grad_output", "input", "weight"),
        scratch=costs.convolution_backward_scratch,
    ),
    "avg_pool2d.default": Preconditions(form=forms.avg_pool, dense=("self",), work=costs.pool_work),
    "max_pool2d_with_indices.default": Preconditions(
        form=forms.max_pool, bounds=demands.found_in_plane, dense=("self",), work=costs.pool_work
    ),
    "_adaptive_avg_pool2d.default": Preconditions(
        form=forms.adaptive_avg_pool, dense=("self",), work=costs.adaptive_work
    ),
    # losses, look-ups
    "nll_loss_forward.default": Preconditions(
        form=forms.nll_loss, values=demands.targets, dense=("self", "target", "weight")
    ),
    "nll_loss_backward.default": Preconditions(
        form=forms.nll_loss_backward,
        values=demands.targets_backward,
        dense=("grad_output", "self", "target", "weight", "total_weight"),
    ),
    "embedding.default": Preconditions(form=forms.embedding, values=demands.embedding),
    "gather.default": Preconditions(
        form=forms.gather, values=demands.places_along, scratch=costs.scatter_scratch
    ),
    "scatter.value": Preconditions(
        form=forms.scatter_value, values=demands.places_along, scratch=costs.scatter_scratch
    ),
    "scatter.src": Preconditions(
        form=forms.scatter, values=demands.places_along, scratch=costs.scatter_scratch
    ),
    "scatter_add.default": Preconditions(
        form=forms.scatter, values=demands.places_along, scratch=costs.scatter_scratch
    ),
    "scatter_reduce.two": Preconditions(
        form=forms.scatter_reduce, values=demands.places_along, scratch=costs.scatter_scratch
    ),
    "index_select.default": Preconditions(
        form=forms.index_select, values=demands.places_along, scratch=costs.scatter_scratch
    ),
    "index_add.default": Preconditions(
        form=forms.index_add, values=demands.places_along, scratch=costs.scatter_scratch
    ),
    "index.Tensor": Preconditions(
        form=forms.indexed_shape, values=demands.indices, work=costs.index_work, scratch=costs.index_scratch
    ),
    "index_put.default": Preconditions(
        form=forms.index_put, values=demands.indices, work=costs.index_work, scratch=costs.index_scratch
    ),
    "bucketize.Tensor": Preconditions(
        form=forms.bucketize, bounds=demands.found_among, dense=("self", "boundaries"), work=costs.search_work
    ),
    # orders and places
    "max.dim": Preconditions(bounds=demands.found_beside),
    "min.dim": Preconditions(bounds=demands.found_beside),
    "argmax.default": Preconditions(bounds=demands.found_along),
    "argmin.default": Preconditions(bounds=demands.found_along),
    "sort.default": Preconditions(
        bounds=demands.found_beside, work=costs.sort_work, scratch=costs.sort_scratch
    ),
    "topk.default": Preconditions(
        form=forms.topk, bounds=demands.found_by_topk, work=costs.sort_work, scratch=costs.sort_scratch
    ),
    # sizes and steps
    "slice.Tensor": Preconditions(form=forms.slice_),
    "slice_scatter.default": Preconditions(form=forms.slice_scatter),
    "select_scatter.default": Preconditions(form=forms.select_scatter),
    "slice_backward.default": Preconditions(form=forms.slice_backward),
    "select_backward.default": Preconditions(form=forms.select_backward),
    "diagonal.default": Preconditions(form=forms.near_diagonal),
    "tril.default": Preconditions(form=forms.near_diagonal),
    "triu.default": Preconditions(form=forms.near_diagonal),
    "constant_pad_nd.default": Preconditions(form=forms.pad),
    "repeat.default": Preconditions(form=forms.repeat),
    "arange.start_step": Preconditions(form=forms.arange),
    "arange.default": Preconditions(form=forms.arange_end),
}

PRECONDITIONS: dict[str, Preconditions] = {
    "aten." + name: preconditions
    for name, preconditions in {**dict.fromkeys(_NOTHING.split(), NOTHING), **_DECLARED}.items()
}
"""By the names that plans use. ``tests/structure`` holds that no operation of the op set is missing."""
