/**
 * The op sets, as the Python package has them: made by `python -m tests.browser.operations --write`.
 *
 * A line: operations, ":", op set, number of results, parameters, which all of them share; a name without a dot is
 * that of the overload "default". A parameter: name, ":", kind, and "=" with its default as JSON where it has one;
 * "*" comes before those that are given by name only. Kinds: Tensor, number, int, float, bool, string (with its
 * words), dtype, x (nobody may give it); "[]" a list of these, "?" or none.
 */
export const OPSET = 2;
export const TABLE = `\
abs neg exp expm1 log log1p sqrt rsqrt reciprocal sigmoid tanh relu floor ceil round trunc sign logical_not max min t : 1 1 self:T
clamp : 1 1 self:T min:n?=null max:n?=null
clamp_min : 1 1 self:T min:n
add.Tensor sub.Tensor : 1 1 self:T other:T * alpha:n=1
add.Scalar sub.Scalar rsub.Scalar : 1 1 self:T other:n alpha:n=1
mul.Tensor div.Tensor maximum minimum eq.Tensor ne.Tensor lt.Tensor le.Tensor gt.Tensor ge.Tensor logical_and logical_or logical_xor bitwise_and.Tensor bitwise_or.Tensor bitwise_xor.Tensor : 1 1 self:T other:T
mul.Scalar div.Scalar eq.Scalar ne.Scalar lt.Scalar le.Scalar gt.Scalar ge.Scalar bitwise_and.Scalar bitwise_or.Scalar bitwise_xor.Scalar bitwise_right_shift.Tensor_Scalar : 1 1 self:T other:n
pow.Tensor_Scalar : 1 1 self:T exponent:n
pow.Tensor_Tensor : 1 1 self:T exponent:T
pow.Scalar : 1 1 self:n exponent:T
where.self : 1 1 condition:T self:T other:T
masked_fill.Scalar : 1 1 self:T mask:T value:n
lerp.Scalar : 1 1 self:T end:T weight:n
addcmul addcdiv : 1 1 self:T tensor1:T tensor2:T * value:n=1
sum mean : 1 1 self:T * dtype:d?=null
sum.dim_IntList mean.dim : 1 1 self:T dim:i[]? keepdim:b=false * dtype:d?=null
amax amin : 1 1 self:T dim:i[]=[] keepdim:b=false
max.dim min.dim : 1 2 self:T dim:i keepdim:b=false
argmax argmin : 1 1 self:T dim:i?=null keepdim:b=false
mm bmm : 1 1 self:T mat2:T
addmm : 1 1 self:T mat1:T mat2:T * beta:n=1 alpha:n=1
mv : 1 1 self:T vec:T
dot : 1 1 self:T tensor:T
_softmax _log_softmax : 1 1 self:T dim:i half_to_float:b
reshape : 1 1 self:T shape:i[]
permute : 1 1 self:T dims:i[]
transpose.int : 1 1 self:T dim0:i dim1:i
unsqueeze squeeze.dim : 1 1 self:T dim:i
squeeze.dims : 1 1 self:T dim:i[]
expand : 1 1 self:T size:i[] * implicit:b=false
slice.Tensor : 1 1 self:T dim:i=0 start:i?=null end:i?=null step:i=1
select.int : 1 1 self:T dim:i index:i
cat : 1 1 tensors:T[] dim:i=0
clone : 1 1 self:T * memory_format:x?=null
_to_copy : 1 1 self:T * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null non_blocking:b=false memory_format:x?=null
full : 1 1 size:i[] fill_value:n * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null
full_like : 1 1 self:T fill_value:n * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null memory_format:x?=null
zeros ones : 1 1 size:i[] * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null
zeros_like ones_like : 1 1 self:T * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null memory_format:x?=null
arange.start_step : 1 1 start:n end:n step:n=1 * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null
arange : 1 1 end:n * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null
scalar_tensor : 1 1 s:n * dtype:d?=null layout:x?=null device:x?=null pin_memory:b?=null
threshold_backward : 1 1 grad_output:T self:T threshold:n
_log_softmax_backward_data _softmax_backward_data : 1 1 grad_output:T output:T dim:i input_dtype:d
nll_loss_forward : 1 2 self:T target:T weight:T? reduction:i ignore_index:i
nll_loss_backward : 1 1 grad_output:T self:T target:T weight:T? reduction:i ignore_index:i total_weight:T
sigmoid_backward tanh_backward : 1 1 grad_output:T output:T
`;
