"""What each operation requires before its kernel runs, declared once for plans and for pointers.

PyTorch leaves valid arguments to the caller: its kernels read and write where an index, a size or a stride
says, and its meta implementations accept more than the kernels survive. So every operation of the op set has
its entry in
:data:`~syft_ext.plans.preconditions.table.PRECONDITIONS`.

Knows kernels and what they trust; must not know who runs them.
"""
