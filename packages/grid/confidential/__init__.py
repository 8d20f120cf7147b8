"""The Domain's side of confidential trainings: policies, rounds at key hosts, sealed uploads, workers, releases.

It carries what it cannot read, and everybody else assumes that it cheats. Knows the pipeline's seams for reports
that are summed outside, key hosts and the worker's one pipe; must not know what any update holds.
"""
