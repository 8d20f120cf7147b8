"""What a training plan is beyond a plan: parameters that go in and come out updated.

Knows the roles of a training step; must not know cycles, nodes or transports.
"""
