"""Pointers: work on tensors that stay at their owners' (``tensor.send``, ``asset.pointer()``).

Knows torch, sessions and the values in them; must not know trainings or kinds of nodes. Nothing is imported here:
:mod:`syft_ext.pointers.install` must be there for those who have no tensors.

What becomes of an operation stands in one table (:mod:`~syft_ext.pointers.routes`). Imports run one way: cells and
sessions, the table, :mod:`~syft_ext.pointers.tensor`, :mod:`~syft_ext.pointers.record`, the modules that enter
routes, what sends and loads. What is left of recursion is that of the operations themselves, while they run: a
rule for one operation is made of others, an in-place operation is a functional one and a write, and each of these
is dispatched through the table again. It ends at the op set; rules that would lead back to themselves are refused.
Function-local imports are only in ``install`` and ``location``, which must not load torch before it is used.
"""
