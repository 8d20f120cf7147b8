"""What a report looks like on its way in: checked while it is read, and read again for the sum.

Knows contents, layouts and aggregators; must not know assignments, cycles' states or the database.
"""
