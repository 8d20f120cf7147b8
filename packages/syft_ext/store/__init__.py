"""Where a node keeps its objects: the interface, the typed object, permissions, and the store in memory.

Knows objects and lists of their readers; must not know a disk, a database or a network.
"""

from syft_ext.store.interface import ObjectStore
from syft_ext.store.memory import MemoryStore
from syft_ext.store.objects import Data, ObjectInfo, StorableObject
from syft_ext.store.permissions import VERIFYALL, Permissions, allows, intersect_permissions

__all__ = [
    "VERIFYALL",
    "Data",
    "MemoryStore",
    "ObjectInfo",
    "ObjectStore",
    "Permissions",
    "StorableObject",
    "allows",
    "intersect_permissions",
]
