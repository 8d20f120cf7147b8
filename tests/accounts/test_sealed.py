"""What is sealed opens with this node's key only; the secrets of trainings are."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from apps.assembly import open_node
from grid.federated.service import SERVICES as FEDERATED
from grid.federated.service import FederatedService
from grid.federated.state.tables import TrainingProcess
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node import ANONYMOUS, Context, Node, Principal
from grid.storage.sealed import CannotOpen, Sealer, is_sealed
from syft_ext.errors import InvalidToken
from syft_ext.messages import federated as m
from syft_ext.transport import PayloadReader
from tests.federated.models import encode, small_model
from tests.open_site import open_site

KEY = bytes(range(32))
SECRET = "the hospital's shared secret, long enough"


@given(st.text(), st.text(max_size=40))
def test_what_was_sealed_opens(text: str, belongs_to: str) -> None:
    sealer = Sealer(KEY, "test")
    sealed = sealer.seal(text, belongs_to)
    assert is_sealed(sealed) and sealer.open(sealed, belongs_to) == text
    assert sealer.seal(text, belongs_to) != sealed
    for other in (Sealer(KEY, "another purpose"), Sealer(KEY[::-1], "test")):
        with pytest.raises(CannotOpen):
            other.open(sealed, belongs_to)
    with pytest.raises(CannotOpen):
        sealer.open(sealed, belongs_to + "x")


def test_one_changed_character_is_noticed() -> None:
    sealer = Sealer(KEY, "test")
    sealed = sealer.seal("a text", "somebody")
    start = sealed.rindex(":") + 1
    for at in range(start, len(sealed)):
        changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]
        with pytest.raises(CannotOpen):
            sealer.open(changed, "somebody")
    for broken in ("", "sealed:1:", "sealed:1:AAAA", "sealed:1:é"):
        with pytest.raises(CannotOpen):
            sealer.open(broken, "somebody")
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Sealer(b"short", "test")


def host(node: Node, name: str) -> str:
    principal = Principal("user", id="1" * 32)
    message = m.HostTraining(
        name=name,
        version="1",
        client_plans={},
        client_config={},
        server_config={"num_cycles": 1, "max_diffs": 1, "authentication": {"secret": SECRET}},
    )
    view = node.dispatch(Context(principal), message)
    upload = m.UploadModel(process_id=view.process_id)  # type: ignore[union-attr]
    node.dispatch(Context(principal, PayloadReader.of(encode(small_model()))), upload)
    return view.process_id  # type: ignore[union-attr, no-any-return]


def may_join(node: Node, name: str) -> bool:
    token = jwt.encode({"sub": "ward-7"}, SECRET, algorithm="HS256")
    stranger = Context(ANONYMOUS)
    with pytest.raises(InvalidToken):
        node.dispatch(stranger, m.AuthenticateWorker(auth_token="x", model_name=name, model_version="1"))
    message = m.AuthenticateWorker(auth_token=token, model_name=name, model_version="1")
    return bool(node.dispatch(stranger, message).worker_id)  # type: ignore[union-attr]


def stored(node: Node) -> dict[str, str]:
    with node.db.read() as session:
        rows = session.execute(select(TrainingProcess.name, TrainingProcess.server_config)).all()
    return {name: config["authentication"]["secret"] for name, config in rows}


def test_a_trainings_secret_is_sealed_old_ones_from_the_next_start_on(
    tmp_path: Path, database_url: str
) -> None:
    def started() -> Node:
        services = [*GOVERNANCE, *FEDERATED]
        node = open_node("domain", tmp_path / "home", "hospital", services, database_url=database_url)
        node.start()
        open_site(node.db)
        return node

    node = started()
    host(node, "new")
    old = host(node, "old")
    with node.db.transaction() as session:  # as an earlier version wrote it
        config = session.scalars(select(TrainingProcess.server_config).where(TrainingProcess.id == old)).one()
        open_config = config | {"authentication": {"secret": SECRET}}
        session.execute(
            update(TrainingProcess).where(TrainingProcess.id == old).values(server_config=open_config)
        )
    assert is_sealed(stored(node)["new"]) and stored(node)["old"] == SECRET
    assert may_join(node, "new") and may_join(node, "old")
    configs = node.service(FederatedService).pipeline.definitions.configs
    before = stored(node)["new"]
    node.stop()
    node = started()
    try:
        assert is_sealed(stored(node)["old"]) and stored(node)["new"] == before
        assert may_join(node, "new") and may_join(node, "old")
        with pytest.raises(CannotOpen):  # one training's secret is not another's
            configs.read(old, {"authentication": {"secret": before}})
        assert configs.seal_old_rows(node.db) == 0
    finally:
        node.stop()
