"""What becomes an entry: every audited call and refusal, as it was answered, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from grid.audit.tables import AuditEntry
from grid.node import ANONYMOUS, Context
from syft_ext.errors import Forbidden, GridError, InternalError, NotFound, Unauthenticated
from syft_ext.messages import operations
from syft_ext.messages.accounts import CreateUser, ListUsers, Login
from syft_ext.messages.audit import ExportAudit, ListAudit, VerifyAudit
from syft_ext.messages.objects import DeleteObject, GetObject, PutObject
from syft_ext.transport import Connection
from tests.accounts.people import OWNER, PASSWORD, House


def entries(owner: Connection, **filters: object) -> list[tuple[object, ...]]:
    reply = owner.call(ListAudit(**filters))  # type: ignore[arg-type]
    return [(each.actor_name, each.operation, each.outcome, tuple(each.objects)) for each in reply.entries]


def test_who_did_what_to_which_object(house: House) -> None:
    owner = house.set_up()
    user, view = house.add_user(owner, "ann@x.org")
    content = b"secret bytes"
    kept = owner.call(PutObject(kind="bytes", description="mine"), [content])
    with pytest.raises(NotFound):
        user.call(DeleteObject(object_id=kept.id))
    owner.open(GetObject(object_id=kept.id)).payload.read_all()
    with pytest.raises(Forbidden):
        user.call(CreateUser(email="x@y.org", password=PASSWORD))
    with pytest.raises(Unauthenticated):
        house.call_in().call(DeleteObject(object_id=kept.id))
    assert entries(owner, limit=6)[::-1] == [
        ("", "auth.login", "ok", (view.id,)),
        (OWNER, "objects.put", "ok", (kept.id,)),
        ("ann@x.org", "objects.delete", "not-found", (kept.id,)),
        (OWNER, "objects.get", "ok", (kept.id,)),
        ("ann@x.org", "users.create", "forbidden", ()),
        ("", "objects.delete", "unauthenticated", ()),
    ]
    assert len(entries(owner, object_id=kept.id)) == 3
    assert [each[1] for each in entries(owner, actor="ann@x.org", outcome="refused")] == [
        "users.create",
        "objects.delete",
    ]
    assert entries(owner, operation="users") == entries(owner, operation="users.create")
    newest = owner.call(ListAudit(limit=1)).entries[0]
    assert newest.actor_kind == "key" and newest.detail["via"] == "message"
    everything = owner.call(ListAudit(limit=1000))
    pages, before = [], None
    while True:
        page = owner.call(ListAudit(limit=3, before=before))
        pages += page.entries
        if not page.more:
            break
        before = page.entries[-1].seq
    assert pages == everything.entries and [each.seq for each in pages] == list(range(len(pages)))[::-1]


def test_nothing_secret_is_in_the_log(house: House) -> None:
    owner = house.set_up()
    with pytest.raises(GridError):
        house.log_in(OWNER, "a wrong pass phrase")
    owner.call(PutObject(kind="bytes", description="mine"), [b"the content itself"])
    text = b"".join(house.node.journal.export())
    for secret in (PASSWORD.encode(), b"a wrong pass phrase", b"the content itself", owner.token.encode()):
        assert secret not in text
    assert b'"email":"owner@hospital.org"' in text


def test_looks_are_no_entries_and_only_those_with_the_flag_read_it(house: House) -> None:
    owner = house.set_up()
    user, _ = house.add_user(owner, "ann@x.org")
    officer, _ = house.add_user(owner, "officer@x.org", "Compliance Officer")
    before = entries(owner)
    officer.call(ListUsers())
    report = officer.call(VerifyAudit())
    assert report.intact and report.entries == len(before) and entries(officer) == before
    for message in (ListAudit(), VerifyAudit(), ExportAudit()):
        with pytest.raises(Forbidden):
            user.call(message)
    with pytest.raises(Forbidden):
        officer.call(ExportAudit())


def test_what_changes_something_or_hands_out_content_is_audited() -> None:
    """The exceptions are named here, each with its reason in the operation's module or below."""
    often = {
        name
        for name, spec in operations().items()
        if not spec.audited and (spec.method != "GET" or spec.downloads)
    }
    part = ("authenticate", "check_in", "report", "report_failure", "stand_aside")  # the history has these
    training = {f"federated.{verb}" for verb in part}
    content = {f"federated.{verb}" for verb in ("get_model", "get_plan", "get_protocol", "definition_file")}
    speed = {"federated.speed_sample", "federated.speed_upload"}
    looks = {"search.query", "search.published", "users.search", "associations.prove"}
    assert often <= training | content | speed | looks | {
        "uploads.append",  # uploads.finish says what became of it
        "federated.send_model_part",  # federated.upload_model says what became of it
        "federated.send_report_part",  # as federated.report, the history has it
        "confidential.declare_upload",  # federated.report says what became of it
        "key_host.challenge",  # nothing is kept of it
        "key_host.check",  # charges and promises nothing
        *(f"secagg.{phase}" for phase in ("keys", "shares", "consistency", "unmask")),  # as federated.report
        "federated.heartbeat",  # every few seconds, and it changes nothing but how long a slot is kept
        "associations.heartbeat",
        "associations.open_tunnel",  # what the caller does, the log has
        *(f"peers.{word}" for word in ("offer", "candidate", "turn")),  # likewise: they only lead there
        "compute.run",  # records its decisions itself
        "shares.advance",  # rounds of one run: shares.begin and shares.finish say whose and what of
        "intersections.advance",  # likewise
    }


def test_an_entry_is_never_changed_or_removed_by_sql(house: House) -> None:
    house.set_up()
    for statement in (
        AuditEntry.__table__.update().values(outcome="ok"),  # type: ignore[attr-defined]
        AuditEntry.__table__.delete(),  # type: ignore[attr-defined]
    ):
        with (
            pytest.raises(DBAPIError, match="never changed or removed"),
            house.node.db.transaction() as session,
        ):
            session.execute(statement)
    assert house.node.journal.verify().intact


def test_a_call_that_cannot_be_recorded_in_the_database_is_recorded_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = house.set_up()

    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("grid.audit.log.append", broken)
        house.add_user(owner, "ann@x.org")
        with monkeypatch.context() as worse:
            worse.setattr("grid.audit.pending_entries.os.fsync", broken)
            with pytest.raises(InternalError, match="audit log"):
                owner.call(CreateUser(email="bob@x.org", password=PASSWORD))
    house.restart()
    owner = house.log_in()
    found = owner.call(ListAudit(operation="users.create")).entries
    assert found[-1].detail["set_aside"] is True and found[-1].outcome == "ok"
    assert house.node.journal.verify().intact and not (house.home / "audit.pending").exists()


def test_a_file_that_cannot_be_removed_or_read_keeps_nobody_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = house.set_up()
    line = (
        b'{"at":1.0,"actor_kind":"user","actor_id":"a","actor_name":"b","operation":"c","outcome":"waited"}\n'
    )
    (house.home / "audit.pending").write_bytes(line)

    def broken(*args: object) -> None:
        raise OSError("an input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", broken)
        house.add_user(owner, "ann@x.org")
        house.add_user(owner, "bob@x.org")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", broken)
        house.add_user(owner, "cleo@x.org")
    house.add_user(owner, "dora@x.org")
    assert len(owner.call(ListAudit(outcome="waited")).entries) == 1  # not once for each try
    assert len(owner.call(ListAudit(operation="users.create")).entries) == 4
    assert house.node.journal.verify().intact and not (house.home / "audit.pending").exists()


def test_a_damaged_line_that_waits_keeps_nobody_out(house: House) -> None:
    owner = house.set_up()
    (house.home / "audit.pending").write_bytes(b'{"at": "not a draft"}\n')
    house.add_user(owner, "ann@x.org")
    (damaged,) = owner.call(ListAudit(outcome="damaged")).entries
    assert damaged.operation == "audit.pending" and damaged.detail["set_aside"] is True
    assert house.node.journal.verify().intact and not (house.home / "audit.pending").exists()


def test_strangers_cannot_fill_the_log(house: House) -> None:
    owner = house.set_up()
    message = DeleteObject(object_id="0" * 32)
    for _ in range(300):
        with pytest.raises(Unauthenticated):
            house.node.dispatch(Context(ANONYMOUS), message)
    assert 100 <= len(entries(owner, operation="objects.delete", limit=1000)) < 150


def test_no_entry_is_recorded_inside_a_transaction(house: House) -> None:
    with pytest.raises(RuntimeError, match="transaction"), house.node.db.transaction():
        house.node.journal.record(ANONYMOUS, "x.y")


def test_a_failed_login_says_whose(house: House) -> None:
    owner = house.set_up()
    with pytest.raises(Unauthenticated):
        house.call_in().call(Login(email=OWNER, password="a wrong pass phrase"))
    (newest,) = owner.call(ListAudit(limit=1)).entries
    assert (newest.outcome, newest.detail["email"]) == ("unauthenticated", OWNER)
    with pytest.raises(Unauthenticated):
        house.call_in().call(Login(email="the pass phrase, in the wrong field", password="x"))
    (newest,) = owner.call(ListAudit(limit=1)).entries
    assert newest.outcome == "unauthenticated" and "email" not in newest.detail
