"""All operations on remote tensors: importing this fills the table of routes.

Whatever makes the first remote tensor of a process imports it: :mod:`~syft_ext.pointers.sending` and
:mod:`~syft_ext.pointers.stored`.
"""

from syft_ext.pointers import functions as functions  # each of these enters its routes (routes.py)
from syft_ext.pointers import inplace as inplace
from syft_ext.pointers import record as record
from syft_ext.pointers import remote_plans as remote_plans
from syft_ext.pointers import rules as rules
from syft_ext.pointers import views as views
