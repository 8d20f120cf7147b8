"""What one may ask its owner for: one ``.request(…)`` for datasets' assets, objects, and pointers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syft_ext.messages.parameters import parameters_of
from syft_ext.messages.vocabulary import RequestOptions

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.client.requests import DataRequest

__all__ = ["Requestable"]


class Requestable:
    """Something that an object at a Domain stands for. Who derives from it says which one."""

    def _object_to_request(self, reason: str) -> tuple[Caller, str]:
        """The Domain, and the object's id there; what is none yet becomes one, with ``reason`` as its note."""
        raise NotImplementedError

    @parameters_of(RequestOptions)
    def request(self, options: RequestOptions) -> DataRequest:
        """Ask its owner (or a reviewer) to let you read it, compute on it or have statistics of it.

        Values that were computed remotely become an object of the store, which whoever decides can look at.
        """
        from syft_ext.client.requests import Requests  # which loads what reviewers need

        client, object_id = self._object_to_request(options.reason)
        return Requests(client).create(object_id, options.reason, options.scope)
