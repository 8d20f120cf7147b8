"""The training pipeline of a Domain: trainings are hosted, workers take part in cycles, reports become models.

Knows models, plans and reports; must not know the data that workers train on.
"""
