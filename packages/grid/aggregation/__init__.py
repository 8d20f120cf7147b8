"""How many reports become one: tensor files, means of numbers, clipping, averages by a plan.

Knows numbers and buffers; must not know a node, a database or where a report came from: it is code that an
enclave can measure.
"""
