"""What a training is when it is hosted: configuration, plans, model, and who may authenticate.

Knows definitions; must not know any cycle's state.
"""
