/**
 * The op sets, as the Python package has them: made by `python -m tests.browser.operations --write`.
 *
 * A line: op set, name, number of results, parameters. A parameter: name, ":", kind, and "=" with its default as
 * JSON where it has one; "*" comes before those that are given by name only. Kinds: Tensor, number, int, float,
 * bool, string (with its words), dtype, x (nobody may give it); "[]" a list of these, "?" or none.
 */
export const OPSET = 2;
export const TABLE = `\
1 abs.default 1 self:T
1 neg.default 1 self:T
1 exp.default 1 self:T
1 expm1.default 1 self:T
1 log.default 1 self:T
1 log1p.default 1 self:T
1 log2.default 1 self:T
1 log10.default 1 self:T
1 sqrt.default 1 self:T
1 rsqrt.default 1 self:T
1 reciprocal.default 1 self:T
1 sigmoid.default 1 self:T
1 tanh.default 1 self:T
1 relu.default 1 self:T
1 erf.default 1 self:T
1 gelu.default 1 self:T * approximate:s(none|tanh)="none"
1 silu.default 1 self:T
1 sin.default 1 self:T
1 cos.default 1 self:T
1 tan.default 1 self:T
1 asin.default 1 self:T
1 acos.default 1 self:T
1 atan.default 1 self:T
1 sinh.default 1 self:T
1 cosh.default 1 self:T
1 asinh.default 1 self:T
1 acosh.default 1 self:T
1 atanh.default 1 self:T
1 floor.default 1 self:T
1 ceil.default 1 self:T
1 round.default 1 self:T
1 trunc.default 1 self:T
1 sign.default 1 self:T
1 isnan.default 1 self:T
1 isinf.default 1 self:T
1 logical_not.default 1 self:T
1 bitwise_not.default 1 self:T
1 leaky_relu.default 1 self:T negative_slope:n=0.01
1 elu.default 1 self:T alpha:n=1 scale:n=1 input_scale:n=1
1 hardtanh.default 1 self:T min_val:n=-1 max_val:n=1
1 clamp.default 1 self:T min:n?=null max:n?=null
1 clamp.Tensor 1 self:T min:T?=null max:T?=null
1 clamp_min.default 1 self:T min:n
1 softplus.default 1 self:T beta:n=1 threshold:n=20
1 log_sigmoid_forward.default 2 self:T
1 add.Tensor 1 self:T other:T * alpha:n=1
1 add.Scalar 1 self:T other:n alpha:n=1
1 sub.Tensor 1 self:T other:T * alpha:n=1
1 sub.Scalar 1 self:T other:n alpha:n=1
1 rsub.Scalar 1 self:T other:n alpha:n=1
1 mul.Tensor 1 self:T other:T
1 mul.Scalar 1 self:T other:n
1 div.Tensor 1 self:T other:T
1 div.Scalar 1 self:T other:n
1 div.Tensor_mode 1 self:T other:T * rounding_mode:s(floor|trunc)?
1 pow.Tensor_Scalar 1 self:T exponent:n
1 pow.Tensor_Tensor 1 self:T exponent:T
1 pow.Scalar 1 self:n exponent:T
1 remainder.Scalar 1 self:T other:n
1 remainder.Tensor 1 self:T other:T
1 fmod.Scalar 1 self:T other:n
1 fmod.Tensor 1 self:T other:T
1 maximum.default 1 self:T other:T
1 minimum.default 1 self:T other:T
1 atan2.default 1 self:T other:T
1 eq.Tensor 1 self:T other:T
1 eq.Scalar 1 self:T other:n
1 ne.Tensor 1 self:T other:T
1 ne.Scalar 1 self:T other:n
1 lt.Tensor 1 self:T other:T
1 lt.Scalar 1 self:T other:n
1 le.Tensor 1 self:T other:T
1 le.Scalar 1 self:T other:n
1 gt.Tensor 1 self:T other:T
1 gt.Scalar 1 self:T other:n
1 ge.Tensor 1 self:T other:T
1 ge.Scalar 1 self:T other:n
1 logical_and.default 1 self:T other:T
1 logical_or.default 1 self:T other:T
1 logical_xor.default 1 self:T other:T
1 bitwise_and.Tensor 1 self:T other:T
1 bitwise_or.Tensor 1 self:T other:T
1 bitwise_xor.Tensor 1 self:T other:T
1 bitwise_and.Scalar 1 self:T other:n
1 bitwise_or.Scalar 1 self:T other:n
1 bitwise_xor.Scalar 1 self:T other:n
1 bitwise_right_shift.Tensor_Scalar 1 self:T other:n
1 where.self 1 condition:T self:T other:T
1 masked_fill.Scalar 1 self:T mask:T value:n
1 lerp.Scalar 1 self:T end:T weight:n
1 addcmul.default 1 self:T tensor1:T tensor2:T * value:n=1
1 addcdiv.default 1 self:T tensor1:T tensor2:T * value:n=1
1 sum.default 1 self:T * dtype:d?=null
1 sum.dim_IntList 1 self:T dim:i[]? keepdim:b=false * dtype:d?=null
1 mean.default 1 self:T * dtype:d?=null
1 mean.dim 1 self:T dim:i[]? keepdim:b=false * dtype:d?=null
1 var.correction 1 self:T dim:i[]?=null * correction:n?=null keepdim:b=false
1 amax.default 1 self:T dim:i[]=[] keepdim:b=false
1 amin.default 1 self:T dim:i[]=[] keepdim:b=false
1 max.default 1 self:T
1 min.default 1 self:T
1 max.dim 2 self:T dim:i keepdim:b=false
1 min.dim 2 self:T dim:i keepdim:b=false
1 argmax.default 1 self:T dim:i?=null keepdim:b=false
1 argmin.default 1 self:T dim:i?=null keepdim:b=false
1 any.default 1 self:T
1 any.dim 1 self:T dim:i keepdim:b=false
1 any.dims 1 self:T dim:i[]?=null keepdim:b=false
1 all.default 1 self:T
1 all.dim 1 self:T dim:i keepdim:b=false
1 prod.default 1 self:T * dtype:d?=null
1 prod.dim_int 1 self:T dim:i keepdim:b=false * dtype:d?=null
1 cumsum.default 1 self:T dim:i * dtype:d?=null
1 cumprod.default 1 self:T dim:i * dtype:d?=null
1 sort.default 2 self:T dim:i=-1 descending:b=false
1 topk.default 2 self:T k:i dim:i=-1 largest:b=true sorted:b=true
1 logsumexp.default 1 self:T dim:i[] keepdim:b=false
1 mm.default 1 self:T mat2:T
1 bmm.default 1 self:T mat2:T
1 addmm.default 1 self:T mat1:T mat2:T * beta:n=1 alpha:n=1
1 mv.default 1 self:T vec:T
1 dot.default 1 self:T tensor:T
1 convolution.default 1 input:T weight:T bias:T? stride:i[] padding:i[] dilation:i[] transposed:b output_padding:i[] groups:i
1 convolution_backward.default 3 grad_output:T input:T weight:T bias_sizes:i[]? stride:i[] padding:i[] dilation:i[] transposed:b output_padding:i[] groups:i output_mask:b[]
1 _softmax.default 1 self:T dim:i half_to_float:b
1 _log_softmax.default 1 self:T dim:i half_to_float:b
1 native_layer_norm.default 3 input:T normalized_shape:i[] weight:T? bias:T? eps:f
1 native_group_norm.default 3 input:T weight:T? bias:T? N:i C:i HxW:i group:i eps:f
1 _native_batch_norm_legit.no_stats 3 input:T weight:T? bias:T? training:b momentum:f eps:f
1 avg_pool2d.default 1 self:T kernel_size:i[] stride:i[]=[] padding:i[]=[0,0] ceil_mode:b=false count_include_pad:b=true divisor_override:i?=null
1 max_pool2d_with_indices.default 2 self:T kernel_size:i[] stride:i[]=[] padding:i[]=[0,0] dilation:i[]=[1,1] ceil_mode:b=false
1 _adaptive_avg_pool2d.default 1 self:T output_size:i[]
1 embedding.default 1 weight:T indices:T padding_idx:i=-1 scale_grad_by_freq:b=false sparse:b=false
1 reshape.default 1 self:T shape:i[]
1 permute.default 1 self:T dims:i[]
1 transpose.int 1 self:T dim0:i dim1:i
1 t.default 1 self:T
1 unsqueeze.default 1 self:T dim:i
1 squeeze.dim 1 self:T dim:i
1 squeeze.dims 1 self:T dim:i[]
1 expand.default 1 self:T size:i[] * implicit:b=false
1 slice.Tensor 1 self:T dim:i=0 start:i?=null end:i?=null step:i=1
1 select.int 1 self:T dim:i index:i
1 cat.default 1 tensors:T[] dim:i=0
1 stack.default 1 tensors:T[] dim:i=0
1 flip.default 1 self:T dims:i[]
1 repeat.default 1 self:T repeats:i[]
1 constant_pad_nd.default 1 self:T pad:i[] value:n=0
1 clone.default 1 self:T * memory_format:x?=null
1 _to_copy.default 1 self:T * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null non_blocking:b=false memory_format:x?=null
1 slice_scatter.default 1 self:T src:T dim:i=0 start:i?=null end:i?=null step:i=1
1 select_scatter.default 1 self:T src:T dim:i index:i
1 tril.default 1 self:T diagonal:i=0
1 triu.default 1 self:T diagonal:i=0
1 diagonal.default 1 self:T offset:i=0 dim1:i=0 dim2:i=1
1 gather.default 1 self:T dim:i index:T * sparse_grad:b=false
1 scatter.value 1 self:T dim:i index:T value:n
1 scatter.src 1 self:T dim:i index:T src:T
1 scatter_add.default 1 self:T dim:i index:T src:T
1 index_select.default 1 self:T dim:i index:T
1 index_add.default 1 self:T dim:i index:T source:T * alpha:n=1
1 index_put.default 1 self:T indices:T?[] values:T accumulate:b=false
1 index.Tensor 1 self:T indices:T?[]
1 bucketize.Tensor 1 self:T boundaries:T * out_int32:b=false right:b=false
1 full.default 1 size:i[] fill_value:n * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null
1 full_like.default 1 self:T fill_value:n * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null memory_format:x?=null
1 zeros.default 1 size:i[] * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null
1 zeros_like.default 1 self:T * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null memory_format:x?=null
1 ones.default 1 size:i[] * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null
1 ones_like.default 1 self:T * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null memory_format:x?=null
1 arange.start_step 1 start:n end:n step:n=1 * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null
1 arange.default 1 end:n * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null
1 scalar_tensor.default 1 s:n * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null
1 threshold_backward.default 1 grad_output:T self:T threshold:n
1 _log_softmax_backward_data.default 1 grad_output:T output:T dim:i input_dtype:d
1 _softmax_backward_data.default 1 grad_output:T output:T dim:i input_dtype:d
1 nll_loss_forward.default 2 self:T target:T weight:T? reduction:i ignore_index:i
1 nll_loss_backward.default 1 grad_output:T self:T target:T weight:T? reduction:i ignore_index:i total_weight:T
1 native_batch_norm_backward.default 3 grad_out:T input:T weight:T? running_mean:T? running_var:T? save_mean:T? save_invstd:T? train:b eps:f output_mask:b[]
1 gelu_backward.default 1 grad_output:T self:T * approximate:s(none|tanh)="none"
1 sigmoid_backward.default 1 grad_output:T output:T
1 tanh_backward.default 1 grad_output:T output:T
1 select_backward.default 1 grad_output:T input_sizes:i[] dim:i index:i
1 slice_backward.default 1 grad_output:T input_sizes:i[] dim:i start:i end:i step:i
2 scatter_reduce.two 1 self:T dim:i index:T src:T reduce:s(amax|amin|mean|prod|sum) * include_self:b=true
2 lgamma.default 1 self:T
2 digamma.default 1 self:T
2 erfc.default 1 self:T
2 erfinv.default 1 self:T
`;
