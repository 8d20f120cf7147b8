"""The vocabulary: every operation of every node, one module per group.

Importing this package declares all operations. The core types are re-exported here; the messages
themselves are imported from their modules (``syft_ext.messages.federated.HostTraining`` …).

Knows names, types, permissions and routes; must not know how any operation is done.
"""

from syft_ext.messages import accounts as accounts  # each of these declares its operations
from syft_ext.messages import audit as audit
from syft_ext.messages import budget as budget
from syft_ext.messages import compute as compute
from syft_ext.messages import dashboard as dashboard
from syft_ext.messages import datasets as datasets
from syft_ext.messages import environments as environments
from syft_ext.messages import federated as federated
from syft_ext.messages import grants as grants
from syft_ext.messages import network as network
from syft_ext.messages import objects as objects
from syft_ext.messages import own_account as own_account
from syft_ext.messages import plan_requests as plan_requests
from syft_ext.messages import policy as policy
from syft_ext.messages import requests as requests
from syft_ext.messages import rules as rules
from syft_ext.messages import statistics as statistics
from syft_ext.messages import worker as worker
from syft_ext.messages.node import GetMetadata, NodeMetadata
from syft_ext.messages.operation import (
    Empty,
    Message,
    Operation,
    Reply,
    operation,
    operation_of,
    operations,
)
from syft_ext.messages.permissions import ANYONE, FLAGS, NODE, SIGNED, USER, WORKER, Permission, flag

__all__ = [
    "ANYONE",
    "FLAGS",
    "NODE",
    "SIGNED",
    "USER",
    "WORKER",
    "Empty",
    "GetMetadata",
    "Message",
    "NodeMetadata",
    "Operation",
    "Permission",
    "Reply",
    "flag",
    "operation",
    "operation_of",
    "operations",
]
