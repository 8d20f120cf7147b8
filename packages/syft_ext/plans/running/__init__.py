"""Running a checked plan in this process, at the speed of eager PyTorch.

Knows the graph; must not decide whether a plan may run (``checking``) nor where (``sandbox``).
"""
