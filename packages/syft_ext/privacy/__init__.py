"""Noise that cannot be taken off: the keys it follows from, and exact distributions on whole numbers.

Knows whole numbers and secret bytes; must not know a node, a database, a policy, or whose numbers these are.

:func:`~syft_ext.privacy.keys.derive_key` makes the key of one release, and the noise is
:class:`~syft_ext.privacy.noise.DiscreteGaussian` or
:class:`~syft_ext.privacy.noise.DiscreteLaplace`.
"""
