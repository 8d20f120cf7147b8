/** The operations that few plans have, in the form of `operations.ts`, and made with it. */
export const OTHERS = `\
log2 log10 erf silu sin cos tan asin acos atan sinh cosh asinh acosh atanh isnan isinf bitwise_not any all : 1 1 self:T
gelu : 1 1 self:T * approximate:s(none|tanh)="none"
leaky_relu : 1 1 self:T negative_slope:n=0.01
elu : 1 1 self:T alpha:n=1 scale:n=1 input_scale:n=1
hardtanh : 1 1 self:T min_val:n=-1 max_val:n=1
clamp.Tensor : 1 1 self:T min:T?=null max:T?=null
softplus : 1 1 self:T beta:n=1 threshold:n=20
log_sigmoid_forward : 1 2 self:T
div.Tensor_mode : 1 1 self:T other:T * rounding_mode:s(floor|trunc)?
remainder.Scalar fmod.Scalar : 1 1 self:T other:n
remainder.Tensor fmod.Tensor atan2 : 1 1 self:T other:T
var.correction : 1 1 self:T dim:i[]?=null * correction:n?=null keepdim:b=false
any.dim all.dim : 1 1 self:T dim:i keepdim:b=false
any.dims : 1 1 self:T dim:i[]?=null keepdim:b=false
prod : 1 1 self:T * dtype:d?=null
prod.dim_int : 1 1 self:T dim:i keepdim:b=false * dtype:d?=null
cumsum cumprod : 1 1 self:T dim:i * dtype:d?=null
sort : 1 2 self:T dim:i=-1 descending:b=false
topk : 1 2 self:T k:i dim:i=-1 largest:b=true sorted:b=true
logsumexp : 1 1 self:T dim:i[] keepdim:b=false
convolution : 1 1 input:T weight:T bias:T? stride:i[] padding:i[] dilation:i[] transposed:b output_padding:i[] groups:i
convolution_backward : 1 3 grad_output:T input:T weight:T bias_sizes:i[]? stride:i[] padding:i[] dilation:i[] transposed:b output_padding:i[] groups:i output_mask:b[]
native_layer_norm : 1 3 input:T normalized_shape:i[] weight:T? bias:T? eps:f
native_group_norm : 1 3 input:T weight:T? bias:T? N:i C:i HxW:i group:i eps:f
_native_batch_norm_legit.no_stats : 1 3 input:T weight:T? bias:T? training:b momentum:f eps:f
avg_pool2d : 1 1 self:T kernel_size:i[] stride:i[]=[] padding:i[]=[0,0] ceil_mode:b=false count_include_pad:b=true divisor_override:i?=null
max_pool2d_with_indices : 1 2 self:T kernel_size:i[] stride:i[]=[] padding:i[]=[0,0] dilation:i[]=[1,1] ceil_mode:b=false
_adaptive_avg_pool2d : 1 1 self:T output_size:i[]
embedding : 1 1 weight:T indices:T padding_idx:i=-1 scale_grad_by_freq:b=false sparse:b=false
stack : 1 1 tensors:T[] dim:i=0
flip : 1 1 self:T dims:i[]
repeat : 1 1 self:T repeats:i[]
constant_pad_nd : 1 1 self:T pad:i[] value:n=0
slice_scatter : 1 1 self:T src:T dim:i=0 start:i?=null end:i?=null step:i=1
select_scatter : 1 1 self:T src:T dim:i index:i
tril triu : 1 1 self:T diagonal:i=0
diagonal : 1 1 self:T offset:i=0 dim1:i=0 dim2:i=1
gather : 1 1 self:T dim:i index:T * sparse_grad:b=false
scatter.value : 1 1 self:T dim:i index:T value:n
scatter.src scatter_add : 1 1 self:T dim:i index:T src:T
index_select : 1 1 self:T dim:i index:T
index_add : 1 1 self:T dim:i index:T source:T * alpha:n=1
index_put : 1 1 self:T indices:T?[] values:T accumulate:b=false
index.Tensor : 1 1 self:T indices:T?[]
bucketize.Tensor : 1 1 self:T boundaries:T * out_int32:b=false right:b=false
native_batch_norm_backward : 1 3 grad_out:T input:T weight:T? running_mean:T? running_var:T? save_mean:T? save_invstd:T? train:b eps:f output_mask:b[]
gelu_backward : 1 1 grad_output:T self:T * approximate:s(none|tanh)="none"
select_backward : 1 1 grad_output:T input_sizes:i[] dim:i index:i
slice_backward : 1 1 grad_output:T input_sizes:i[] dim:i start:i end:i step:i
scatter_reduce.two : 2 1 self:T dim:i index:T src:T reduce:s(amax|amin|mean|prod|sum) * include_self:b=true
lgamma digamma erfc erfinv : 2 1 self:T
`;
