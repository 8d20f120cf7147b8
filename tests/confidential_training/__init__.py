"""Confidential trainings whole: key hosts, a Domain, participants and workers, and an operator who cheats."""
