"""What a node keeps: rows in SQL (``database``), content in files (``blobs``), and the two together.

Import from the modules; this package imports nothing by itself.

Knows bytes, rows and durability; must not know what they mean, or who may have them.
"""
