"""The confidential worker as a process: one pipe, one job, one exit status.

Knows descriptors and where evidence comes from on this platform; must not know settings, a home, an environment.
"""
