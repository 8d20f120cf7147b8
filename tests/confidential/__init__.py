"""Confidential rounds: statements, keys, the kernel, key hosts and the worker."""
