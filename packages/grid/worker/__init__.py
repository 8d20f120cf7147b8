"""A Worker: runs plans on objects it is handed, and takes part in trainings on its owner's data.

Knows its owner's data and what the owner allows; must not let anything leave but the results of plans.
"""
