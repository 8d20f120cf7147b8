"""Images that anybody can build again, byte for byte: a root file system, and its OCI image around it.

Knows archives, digests and where packages come from; must not know what a program in an image does, or any node.
"""
