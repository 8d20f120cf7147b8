"""From accepted reports to the next model: sums while reports arrive, plans that average, recovery.

Knows cycles and contents; must not decide who takes part.
"""
