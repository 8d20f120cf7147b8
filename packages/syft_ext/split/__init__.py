"""Split networks: a bottom plan at one owner, a top plan at the other, activations and gradients between them.

Pure: members as frames in and frames out. Knows plans, seals and noise; must not know a node.
"""
