"""Where a dataset's content comes from: files, folders, frames and tensors, as a stream of tensor file.

    content = open_source(Path("patients.csv"), schema, spool=folder)   # or content_of(frame, …)
    content.columns, content.rows, content.size, content.notes
    for piece in content.pieces(start): ...
    content.arrays()                                                    # whole, in memory

However large a source is, a few megabytes of it are held at a time. What has to be written again before it can
be sent column by column (CSV, Parquet, compressed archives) goes to an unnamed file in the ``spool`` folder,
which the kernel removes with the process. Neither torch nor a data library is imported unless the source is one.

Formats say what values there are; what becomes of them is decided in one place for all of them,
:mod:`syft_ext.sources.rule`. Text becomes the numbers of its categories (int64, from 0) if the schema *names*
them, in this order, or if it is a categorical. Otherwise it is refused: two Domains must not number
differently, and which values occur is private.

Knows files and the types of their columns; must not know nodes.
"""
