"""How things show themselves: tables in text and HTML, progress, prompts.

Knows values and terminals; must not know what they mean or where they come from.
"""
