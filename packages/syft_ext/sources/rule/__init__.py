"""The one rule of import: what is kept of a column's values, exactly, or why it is refused.

A format gives :class:`~syft_ext.sources.rule.cells.Cells`. A :class:`~syft_ext.sources.rule.columns.ColumnRule`
looks at all of them, notes in :class:`~syft_ext.sources.rule.problems.Problems` what is wrong, and then says which
numbers they are.

Knows kinds of values and what a schema says of them; must not know formats, files or libraries of frames.
"""
