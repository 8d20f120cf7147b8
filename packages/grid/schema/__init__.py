"""All tables together, and the migrations that make them: the only room that knows every room.

Must hold no rule of any of them.
"""
