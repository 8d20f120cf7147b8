"""What a node keeps: rows in SQL (``database``), content in files (``blobs``), and the two together.

Import from the modules; this package imports nothing by itself.
"""
