"""What a participant reads of a training before it takes part: all that its digest is made of, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import blake3
import jwt
import pytest

from apps.assembly import open_node
from grid.federated.service import SERVICES
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node import ANONYMOUS, Node, Principal
from syft_ext.errors import NotFound
from syft_ext.messages import federated as m
from syft_ext.messages import training_reviews as r
from tests.federated.models import encode, small_model
from tests.federated.test_service import call, content, host, join
from tests.open_site import open_site


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = open_node("domain", tmp_path / "home", "hospital", [*GOVERNANCE, *SERVICES])
    node.start()
    open_site(node.db)
    yield node
    node.stop()


def test_a_participant_can_compute_the_digest_from_what_it_can_download(node: Node) -> None:
    of = host(node).process_id
    worker = join(node)
    view: r.DefinitionView = call(node, worker, r.GetDefinition(process_id=of))
    facts = view.facts
    assert (facts.name, facts.version, facts.client_config["lr"]) == ("mnist", "1.0", 0.1)
    assert facts.server_config["weighting"] == "none", "defaults are part of it"
    model = content(call(node, worker, r.GetDefinitionFile(process_id=of, digest=facts.model)))
    assert model == encode(small_model())
    assert [(name, shape) for name, _, shape in facts.tensors] == [
        (name, list(array.shape)) for name, array in small_model().items()
    ]
    file = r.GetDefinitionFile(process_id=of, digest=facts.protocols["sum"])
    protocol = content(call(node, worker, file))
    assert protocol == b"opaque" and blake3.blake3(protocol).hexdigest() == facts.protocols["sum"]
    assert call(node, worker, m.CheckIn()).definition == r.definition_digest(facts)


def test_a_participant_reads_no_content_but_the_definitions(node: Node) -> None:
    of, worker = host(node).process_id, join(node)
    with node.blobs.put([b"somebody's rows"]) as blob, pytest.raises(NotFound):
        call(node, worker, r.GetDefinitionFile(process_id=of, digest=blob.digest))


def test_where_the_host_asks_for_a_token_who_has_one_reads_it_and_nobody_else(node: Node) -> None:
    of = host(node, authentication={"type": "jwt", "secret": "s" * 32}).process_id
    token = jwt.encode({"sub": "w1"}, "s" * 32, algorithm="HS256")
    message = m.AuthenticateWorker(model_name="mnist", model_version="1.0", auth_token=token)
    worker = node.principal_of_token(call(node, ANONYMOUS, message).token)
    facts = call(node, worker, r.GetDefinition(process_id=of)).facts
    assert facts.server_config["authentication"]["secret"] == "…"
    with pytest.raises(NotFound):
        call(node, ANONYMOUS, r.GetDefinition(process_id=of))
    elsewhere = Principal("worker", id=worker.id, claims={"process": "f" * 32})
    with pytest.raises(NotFound):
        call(node, elsewhere, r.GetDefinition(process_id=of))


def test_devices_tell_workers_of_one_key_apart_and_make_nobody_another(node: Node) -> None:
    host(node)

    def worker(key: str, device: str) -> str:
        principal = Principal("key", id=key[:32], verify_key=key) if key else ANONYMOUS
        message = m.AuthenticateWorker(model_name="mnist", model_version="1.0", device=device)
        return str(call(node, principal, message).worker_id)

    first = worker("a" * 64, "laptop")
    assert worker("a" * 64, "laptop") == first
    assert len({first, worker("a" * 64, "tower"), worker("a" * 64, ""), worker("b" * 64, "laptop")}) == 4
    assert worker("", "laptop") != worker("", "laptop"), "a name that anybody can say is nobody"
