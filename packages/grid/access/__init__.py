"""Who may find, aggregate, compute on and read: the one place that decides, and the site's policy.

Knows objects' lists, grants and sources; must not know what is done with what it allows. No other room names the
tables of lists, grants and sources in a condition (`tests/structure/test_access_in_one_place.py`).

- ``scopes``: the ladder, one table: which lists and grants allow a scope, and what follows from sources.
- ``rule``: the rule itself, pure: from what is known of objects and of a viewer to a verdict with its reason.
- ``liveness``: what a grant is worth at a time, in Python and as SQL.
- ``decision``: the rule asked of the database: what operations call.
- ``conditions``: the rule as SQL for listings and searches, and the prepared question for the common case.
- ``datasets``: who finds a dataset, in Python and as SQL.
- ``lists``, ``grants``, ``sources``: the rows written, shown and taken back, by whoever was let do so.
- ``viewer``: who is looking. ``policy``: the site's policy, which narrows what is done with data, and never
  allows anything.

What stands here in several forms is held together by `tests/access`: random worlds, on both engines.
"""
