"""The commands of people and their accounts: who they are, what they may do and how much they may keep.

Each file knows the messages of its noun; must not load what only another command needs.
"""
