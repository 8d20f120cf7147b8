"""Plans as ONNX: for export, and for machines that have onnxruntime and no torch.

An ONNX model is derived here, from a plan that was checked, and never accepted from anybody: consent is to
the plan's digest, and nothing binds an ``.onnx``. It is derived for fixed sizes. What ONNX cannot say
exactly is refused by name (:mod:`syft_ext.plans.onnx.refused`), and not approximated; where onnxruntime
answers something else than torch (NaN in a maximum, infinities in a pool, the tail of its sigmoid), a
translator says it in operations that it gets right.

Knows the graph of a plan and ONNX; must not know torch, nodes, or who wants a plan run.
"""
