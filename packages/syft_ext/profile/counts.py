"""The file that counts the reports of this machine, for whoever writes it (:mod:`syft_ext.federated.bounds`) and
for whoever restores a backup of it."""

from __future__ import annotations

__all__ = ["EVERY_TRAINING", "REPORTS"]

REPORTS = "reports.json"
"""Its name, in the user's folder; a Worker's participant has one of its own."""

EVERY_TRAINING = "*"
"""Stands for every training: a restore from a backup says so that nobody knows how many reports each had since.
Whoever owns the machine begins anew by removing the file."""
