"""The holder of a key opens what a Domain has summed of encrypted reports.

Knows a training's definition and the key's holder; must not know how a training is hosted, or who takes part.
"""
