"""Pointers: work on tensors that stay at their owners' (``tensor.send``, ``asset.pointer()``).

Nothing is imported here: :mod:`syft_ext.pointers.install` must be there for those who have no tensors.
"""
