"""The vocabulary: every operation of every node, one module per group.

Importing this package declares all operations. The core types are re-exported here; the messages
themselves are imported from their modules (``syft_ext.messages.federated.HostTraining`` …).

Knows names, types, permissions and routes; must not know how any operation is done.
"""

from syft_ext.messages import accounts as accounts  # each of these declares its operations
from syft_ext.messages import audit as audit
from syft_ext.messages import budget as budget
from syft_ext.messages import compute as compute
from syft_ext.messages import confidential as confidential
from syft_ext.messages import contents as contents
from syft_ext.messages import dashboard as dashboard
from syft_ext.messages import datasets as datasets
from syft_ext.messages import encrypted_sums as encrypted_sums
from syft_ext.messages import environments as environments
from syft_ext.messages import federated as federated
from syft_ext.messages import grants as grants
from syft_ext.messages import installation as installation
from syft_ext.messages import intersections as intersections
from syft_ext.messages import invitations as invitations
from syft_ext.messages import key_host as key_host
from syft_ext.messages import key_host_revocations as key_host_revocations
from syft_ext.messages import key_host_successions as key_host_successions
from syft_ext.messages import ledger as ledger
from syft_ext.messages import network as network
from syft_ext.messages import objects as objects
from syft_ext.messages import own_account as own_account
from syft_ext.messages import participation as participation
from syft_ext.messages import peers as peers
from syft_ext.messages import plan_requests as plan_requests
from syft_ext.messages import policy as policy
from syft_ext.messages import private_queries as private_queries
from syft_ext.messages import private_tensors as private_tensors
from syft_ext.messages import quotas as quotas
from syft_ext.messages import requests as requests
from syft_ext.messages import rules as rules
from syft_ext.messages import secure_aggregation as secure_aggregation
from syft_ext.messages import shared_runs as shared_runs
from syft_ext.messages import statistics as statistics
from syft_ext.messages import training_inputs as training_inputs
from syft_ext.messages import training_reviews as training_reviews
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
