"""Plans under review: facts for reviewers, runs of what was approved, results handed out.

Knows requests and the data catalogue; must not decide access by itself (``grid.access``).
"""
