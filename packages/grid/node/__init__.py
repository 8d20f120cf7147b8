"""The node itself: identity, tokens, message-to-service map, dispatch.

Knows what a service is and how one is called; must not know a web framework, or any one room's service.
"""

from grid.kinds import NodeKind
from grid.node.node import Node
from grid.node.principal import ANONYMOUS, Principal
from grid.node.service import Context, Download, Service, ServiceMap, ServiceNode, handles

__all__ = [
    "ANONYMOUS",
    "Context",
    "Download",
    "Node",
    "NodeKind",
    "Principal",
    "Service",
    "ServiceMap",
    "ServiceNode",
    "handles",
]
