"""Homomorphic encryption: named parameters, keys, and vectors that are computed with while nobody there
can read them.

The library (TenSEAL, the extra ``he``) is written in C++ and reads what strangers send: it is imported by
``kernel.py``
alone, and that runs in confined processes alone: the compute hosts of a Domain (:mod:`grid.compute`) and
the child of
``child.py``. Everybody else sees forms (``forms.py``) and frames (``frames.py``), which are ours.

It knows parameters, bounds and bytes; it must not know nodes, users or tensors of torch.
"""
