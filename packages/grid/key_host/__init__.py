"""The key host: holds the keys of confidential rounds, and gives each to one measured worker, for one manifest.

It knows policies, rounds, a ledger of what was spent, and its peers' heads. It must not know a Domain's database,
contents or participants' updates, must not call out to anybody, and must not load what runs models.
"""
