"""Requests as rows, the machine of their states, who decides on them, and the grants they end in.

Knows reviewers and conditions; must not know what is done with a grant.
"""
