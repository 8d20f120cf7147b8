"""How people without an account are asked into a training: links with a secret, QR codes, and who came by them.

Knows the messages and how things show themselves; must not know what a training is beyond its id.
"""
