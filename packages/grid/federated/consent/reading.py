"""Who may read a training (state, history, metrics, models) and who may change it.

Its host, those whom they gave it, whoever manages or reviews here; everybody only where the site's policy says so.
For anybody else it does not exist.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from grid.access.policy import current_policy
from grid.access.viewer import MANAGER_FLAG, Viewer
from grid.accounts.powers import flags_of_users
from grid.accounts.tables import User
from grid.federated.hosting.training_definitions import TrainingDefinition, TrainingDefinitions
from grid.federated.state.consent_tables import TrainingShare
from grid.federated.state.tables import TrainingProcess
from grid.node import Principal
from grid.storage.sql.database import Database
from syft_ext.errors import Forbidden, NotFound

__all__ = ["Readers", "is_manager", "is_reviewer", "readable_by"]

_REVIEWER_FLAG = "can_triage_requests"


def is_manager(principal: Principal) -> bool:
    """Whether the caller manages this Domain, and so any training at it."""
    return principal.kind == "user" and MANAGER_FLAG in principal.flags


def is_reviewer(principal: Principal) -> bool:
    """Whether the caller decides on requests here, those for trainings among them."""
    return principal.kind == "user" and _REVIEWER_FLAG in principal.flags


def readable_by(session: Session, viewer: Viewer) -> Select[str] | None:
    """The ids of the trainings that a viewer may read; None: all of them.

    A Network reads what all users read: it finds for people whom this Domain does not know.
    """
    if viewer.manager or current_policy(session).trained_models == "users":
        return None
    if viewer.is_network:
        return select(TrainingProcess.id).where(TrainingProcess.id.is_(None))
    flags = flags_of_users(session, [viewer.user_id]).get(viewer.user_id, frozenset())
    if _REVIEWER_FLAG in flags:
        return None
    shared = select(TrainingShare.process_id).where(TrainingShare.user_id == viewer.user_id)
    mine = (TrainingProcess.owner == viewer.user_id) | TrainingProcess.id.in_(shared)
    return select(TrainingProcess.id).where(mine)


class Readers:
    """Asks, at each call, by what the caller is and may do now."""

    def __init__(self, database: Database, definitions: TrainingDefinitions) -> None:
        self._database, self._definitions = database, definitions

    def find(self, principal: Principal, process_id: str) -> TrainingDefinition:
        """The training, for whoever may read it. Raises :class:`NotFound`, whatever the reason."""
        definition = self._definitions.get(process_id)
        if not self.may_read(principal, definition):
            raise NotFound("there is no such training")
        return definition

    def find_named(self, principal: Principal, name: str, version: str) -> TrainingDefinition:
        """As :meth:`find`, by name and version."""
        definition = self._definitions.find(name, version)
        if not self.may_read(principal, definition):
            raise self._definitions.unknown(name, version)
        return definition

    def find_own(self, principal: Principal, process_id: str, *, managers: bool = True) -> TrainingDefinition:
        """The training, for its host, and managers if they may do this too.

        Raises :class:`NotFound` for whoever may not even read it, else :class:`Forbidden`.
        """
        definition = self.find(principal, process_id)
        if definition.owner == principal.id or (managers and is_manager(principal)):
            return definition
        raise Forbidden("only who hosts a training may change it")

    def may_read(self, principal: Principal, definition: TrainingDefinition) -> bool:
        """Whether the caller may read this training now."""
        if principal.kind != "user":
            return False
        if definition.owner == principal.id or principal.flags & {MANAGER_FLAG, _REVIEWER_FLAG}:
            return True
        with self._database.read() as session:
            if session.get(TrainingShare, (definition.id, principal.id)) is not None:
                return True
            return current_policy(session).trained_models == "users"

    def reviews(self, principal: Principal, process_id: str) -> TrainingDefinition:
        """The training, for its host and for whoever manages or reviews here. Raises :class:`NotFound`."""
        definition = self._definitions.get(process_id)
        decides = principal.flags & {MANAGER_FLAG, _REVIEWER_FLAG}
        if principal.kind == "user" and (definition.owner == principal.id or decides):
            return definition
        raise NotFound("there is no such training")

    # -- sharing ------------------------------------------------------------------------------------

    def share(self, process_id: str, user_id: str) -> dict[str, str]:
        """Give a training to a user; twice is once. Returns all who have it. Raises :class:`NotFound`."""
        with self._database.transaction() as session:
            if session.get(User, user_id) is None:
                raise NotFound("there is no such user", id=user_id)
            session.merge(TrainingShare(process_id=process_id, user_id=user_id))
            session.flush()
            return _shares(session, [process_id]).get(process_id, {})

    def unshare(self, process_id: str, user_id: str) -> dict[str, str]:
        """Take it back; returns all who still have it."""
        with self._database.transaction() as session:
            same = (TrainingShare.process_id == process_id) & (TrainingShare.user_id == user_id)
            session.execute(delete(TrainingShare).where(same))
            return _shares(session, [process_id]).get(process_id, {})

    def shares(self, process_ids: Collection[str]) -> dict[str, dict[str, str]]:
        """Who was given each of these trainings: id → user id → e-mail address."""
        with self._database.read() as session:
            return _shares(session, process_ids)


def _shares(session: Session, process_ids: Collection[str]) -> dict[str, dict[str, str]]:
    query = (
        select(TrainingShare.process_id, User.id, User.email)
        .join(User, User.id == TrainingShare.user_id)
        .where(TrainingShare.process_id.in_(process_ids))
        .order_by(User.email)
    )
    found: dict[str, dict[str, str]] = {}
    for process_id, user_id, email in session.execute(query):
        found.setdefault(process_id, {})[user_id] = email
    return found
