"""What stands for the ids of objects on the command line: names of datasets and of their assets."""

from __future__ import annotations

from typing import Any

from apps.cli.output import say
from syft_ext.ids import is_id

__all__ = ["object_id_of", "tables_of"]


def object_id_of(domain: Any, what: str) -> str:
    """The id of the object that ``what`` names at ``domain``: DATASET (of one asset), DATASET/ASSET, or an id, or
    how one begins.

    Raises :class:`~syft_ext.errors.NotFound`, :class:`~syft_ext.errors.Ambiguous`, and
    :class:`~syft_ext.errors.BadRequest` for a dataset of several assets.
    """
    from syft_ext.errors import Ambiguous, NotFound

    if is_id(what):
        return what
    name, _, asset = what.partition("/")
    try:
        found = domain.datasets.get(name)
    except NotFound as error:
        try:
            return str(domain.store.id_of(what))
        except NotFound:
            raise error from None
    if asset:
        return str(found[asset].object_id)
    if len(found.assets) != 1:
        names = ", ".join(f"{name}/{each.name}" for each in found.assets)
        raise Ambiguous(f"{name} has several assets, or none: {names or 'none'}")
    return str(found[0].object_id)


def tables_of(client: Any, name: str) -> list[Any]:
    """The assets that DATASET or DATASET/ASSET names, at a Domain or at all Domains of a Network."""
    from syft_ext.errors import NotFound
    from syft_ext.nodes.domain import DomainClient

    dataset, _, asset = name.partition("/")
    if isinstance(client, DomainClient):
        found = client.datasets[dataset]
        return [found[asset]] if asset else [found]
    hits = client.search(name=dataset, kind="dataset")
    for note in hits.notes:
        say(f"note: {note.domain}: {note.error}", err=True)
    assets = [each for each in hits.assets if not asset or each.item["name"] == asset]
    if not assets:
        raise NotFound(f"no Domain of this Network shows a table {name!r}")
    return assets
