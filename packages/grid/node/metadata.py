"""Who this node is: the one service that every node has."""

from __future__ import annotations

from grid.node.service import Context, Service, handles
from syft_ext._version import __version__
from syft_ext.messages import GetMetadata, NodeMetadata

__all__ = ["MetadataService"]


class MetadataService(Service):
    """Says who the node is, to anybody: before that, nobody knows whose answers to expect."""

    @handles(GetMetadata)
    def metadata(self, ctx: Context, message: GetMetadata) -> NodeMetadata:
        return NodeMetadata(
            node_id=self.node.id,
            name=self.node.name,
            kind=self.node.kind.name,
            verify_key=self.node.identity.verify_key,
            version=__version__,
            configured=self.node.configured,
            operations=[spec.name for spec in self.node.map.operations()],
            time=self.node.clock.now(),
        )
