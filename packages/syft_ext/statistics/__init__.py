"""Statistics over the tables of one Domain or several: the SDK combines what the Domains aggregate.

Knows sums, counts and other aggregates; must not see a row of anybody's data.
"""
