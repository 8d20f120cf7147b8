"""From ordinary PyTorch to a graph: recording, lowering, simplifying, and errors at the user's line.

Knows torch's tracer; must not know how a graph is checked, run or sent.
"""
