"""Who may fetch what: requests, waiting for them, searching, and grants that end while something runs."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from torch import nn

import syft_ext as sy
from syft_ext.errors import BadRequest, DeadlineExceeded, Forbidden, NotFound
from tests.pointers.site import Site, seeded


def decide(site: Site, approve: bool, reason: str = "") -> threading.Thread:
    """The owner decides on the next request that comes."""

    def wait() -> None:
        for _ in range(200):
            pending = site.owner.requests.in_state("pending")
            if pending:
                _ = pending[0].approve() if approve else pending[0].deny(reason)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_pointer_to_what_one_may_compute_on_is_not_readable_for_that(north: Site) -> None:
    data = seeded(4, 3)
    stored = north.share(data, description="blood pressure")
    pointer = north.sue.store.describe(stored.id).pointer()
    assert isinstance(pointer, sy.RemoteTensor) and pointer.shape == (4, 3)
    assert pointer.id_at_location == stored.id and pointer.location.id == north.sue.id
    mean = pointer.mean(0)
    for what in (pointer, mean, sy.RemoteList([mean, mean + 1])):
        with pytest.raises(Forbidden):
            what.get()
    access = mean.check_access()
    assert not access.readable and access.missing == [stored.id]
    stored.update(readers=[north.sue.session.user_id])  # type: ignore[union-attr]
    assert mean.check_access().readable
    torch.testing.assert_close(mean.get(), data.mean(0))
    assert torch.equal(pointer.get(), data) and torch.equal(pointer.get(), data), "stored objects stay"


@pytest.mark.parametrize(
    ("number", "dtype"),
    [
        (2.5, torch.float64),
        (-(2**40), torch.int64),
        (0, torch.int64),
        (True, torch.bool),
        (False, torch.bool),
    ],
)
def test_a_stored_number_is_computed_with(north: Site, number: float, dtype: torch.dtype) -> None:
    pointer = north.lend(number, read=True)
    assert isinstance(pointer, sy.RemoteTensor) and (pointer.dtype, pointer.shape) == (dtype, ())
    assert torch.equal(pointer.get_copy(), torch.tensor(number, dtype=dtype))
    data = seeded(4, 3)
    there = data.send(north.sue)  # type: ignore[attr-defined]
    torch.testing.assert_close((there * pointer).get(), data * torch.tensor(number, dtype=dtype))


def test_a_stored_number_is_as_private_as_other_data(north: Site) -> None:
    pointer = north.lend(36.6)
    for what in (pointer, pointer + 1):
        with pytest.raises(Forbidden):
            what.get()


def test_what_is_no_number_of_64_bits_is_refused(north: Site) -> None:
    for data, words in ((2**63, "64 bits"), ("text", "kind str"), (b"raw", "kind bytes")):
        with pytest.raises(BadRequest, match=words):
            north.lend(data)


def test_a_result_is_asked_for_and_fetched_when_it_was_allowed(north: Site) -> None:
    data = seeded(4, 3, seed=2)
    mean = north.lend(data).mean(0)
    request = mean.request("the mean is in the paper")
    assert request.view.reason == "the mean is in the paper"
    with pytest.raises(Forbidden):
        mean.get_copy()
    shown = north.owner.requests[request.id]
    described = north.owner.store.describe(shown.view.object_id)
    assert described.view.description == "Computed remotely: f32[3]"
    shown.approve()
    torch.testing.assert_close(mean.get(), data.mean(0))
    with pytest.raises(Forbidden):
        (north.lend(data).mean(0)).get()  # another value, another decision


def test_get_waits_for_the_decision(north: Site) -> None:
    data = seeded(3, seed=3)
    pointer = north.lend(data)
    deciding = decide(north, approve=True)
    total = pointer.sum().get(request_block=True, timeout_secs=20, reason="one number")
    torch.testing.assert_close(total, data.sum())
    deciding.join()
    deciding = decide(north, approve=False, reason="too few rows")
    with pytest.raises(Forbidden, match="denied: too few rows"):
        (pointer.sum() * 2).get(request_block=True, timeout_secs=20, reason="another")
    deciding.join()
    with pytest.raises(DeadlineExceeded):
        (pointer.sum() * 3).get(request_block=True, timeout_secs=0.2, reason="a third")
    assert not north.owner.requests.in_state("pending"), "who gave up waiting has withdrawn"


def test_what_is_sent_with_a_description_is_found_by_others(north: Site) -> None:
    x = seeded(5)
    pointer = x.send(north.sue, tags=["pressure"], description="systolic", searchable=True)
    (found,) = north.tom.store.search(tags=["pressure"])
    assert found.id == pointer.id_at_location and found.view.description == "systolic"
    pointer.update_searchability(False)
    assert not north.tom.store.search(tags=["pressure"])
    with pytest.raises(NotFound):
        north.tom.pointer(found.id)
    quiet = x.send(north.sue)
    assert "/" in quiet.id_at_location
    quiet.update_searchability()
    assert any(item.id == quiet.id_at_location for item in north.tom.store.all())
    north.sue.store.delete(quiet.id_at_location)
    changed = pointer + 1
    pointer.add_(1)
    assert "/" in changed.id_at_location and "/" in pointer.id_at_location, "the object holds the old value"


def test_revoking_stops_a_training_in_its_middle(north: Site) -> None:
    stored = north.share(seeded(8, 4), read=True)
    x = north.sue.pointer(stored.id)
    model = nn.Linear(4, 1).send(north.sue)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    first = step().get()
    for _ in range(3):
        step()
    stored.update(programmers=[], readers=[])
    with pytest.raises(Forbidden) as raised:
        step().get()
    assert raised.value.extra["file"] == __file__, "the line that was refused"
    with pytest.raises(Forbidden):
        model.get()
    stored.update(readers=[north.sue.session.user_id])  # type: ignore[union-attr]
    assert torch.isfinite(first)


def test_a_pipelined_block_stops_where_the_grant_ends(north: Site) -> None:
    stored = north.share(seeded(4), read=True)
    x = north.sue.pointer(stored.id)
    kept = x + 1
    north.sue.location.barrier()
    stored.update(programmers=[], readers=[])
    y = kept
    for _ in range(100):
        y = y * 2
    with pytest.raises(Forbidden):
        y.get()
    with pytest.raises(Forbidden):
        kept.get()


def test_lists_mappings_and_tables(north: Site) -> None:
    import pandas

    frame = pandas.DataFrame({"age": [30, 40, 50], "bmi": [20.5, 25.0, 31.0]})
    table = sy.send(frame, north.sue, description="patients")
    assert isinstance(table, sy.RemoteTable) and table.columns == ["age", "bmi"] and table.shape == (3, 2)
    assert float(table["age"].double().mean().get()) == 40.0
    torch.testing.assert_close(
        table[["age", "bmi"]].get(), torch.tensor(frame.to_numpy(), dtype=torch.float32)
    )
    (found,) = [item for item in north.sue.store.all() if item.view.description == "patients"]
    again = found.pointer()
    assert isinstance(again, sy.RemoteTable)
    assert again.get()["age"].tolist() == [30, 40, 50]
    assert "bmi" in repr(again) and "30" not in repr(again).replace(found.id, "")

    nested = sy.send({"a": torch.ones(2), "b": [torch.zeros(1), 3]}, north.sue)
    assert nested["b"][1].dtype == torch.int64
    nested["c"] = nested["a"] + 1
    value = nested.get()
    assert value["b"][1] == 3 and torch.equal(value["c"], torch.full((2,), 2.0))

    private = north.lend({"x": seeded(3, 2), "y": torch.ones(3)})
    listed = sy.send([torch.ones(1)], north.sue)
    listed.append(private["x"])
    with pytest.raises(Forbidden):
        listed.get()  # the original PyGrid let private values leave this way
    with pytest.raises(BadRequest):
        listed.append(torch.ones(1))
    with pytest.raises(BadRequest, match="one length"):
        sy.RemoteTable({"a": torch.ones(2).send(north.sue), "b": torch.ones(3).send(north.sue)})


def test_a_container_is_asked_for_whole(north: Site) -> None:
    private = north.lend({"x": seeded(3, 2), "y": torch.ones(3)})
    both = sy.RemoteDict({"mean": private["x"].mean(0), "sum": private["y"].sum()})
    deciding = decide(north, approve=True)
    found = both.get(request_block=True, timeout_secs=20, reason="two figures")
    deciding.join()
    assert found["sum"] == 3 and found["mean"].shape == (2,)


def test_a_model_is_asked_for_whole(north: Site) -> None:
    x = north.lend(seeded(4, 2))
    model = nn.Linear(2, 1).send(north.sue)
    before = model.weight
    (model(x) ** 2).mean().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    with pytest.raises(Forbidden):
        model.get()
    assert model.weight is before and isinstance(before, sy.RemoteTensor), "it stays where it is"
    deciding = decide(north, approve=True)
    model.get(request_block=True, timeout_secs=20, reason="the trained model")
    deciding.join()
    assert type(model.weight) is nn.Parameter and model.weight.grad is not None


def test_datasets_lead_to_pointers(north: Site) -> None:
    north.owner.datasets.create("bmi", {"table": {"bmi": seeded(6)}}, mock={"table": {"bmi": torch.zeros(2)}})
    asset = north.sue.datasets["bmi"]["table"]
    with pytest.raises(Forbidden, match=r"ask: \.request"):
        asset.pointer()
    north.owner.store.update(asset.object_id, programmers=["*"])
    assert asset.pointer()["bmi"].shape == (6,)


def test_private_queries_take_pointers_to_stored_columns(north: Site) -> None:
    data = {"age": torch.arange(400.0) / 10, "sex": torch.arange(400) % 2}
    asset = north.owner.datasets.create("aged", {"a": data}, schema={"age": {"low": 0, "high": 40}})["a"]
    table = asset.pointer()
    answer = north.owner.dp.BoundedMean(epsilon=1.0).quick_result(table["age"])
    assert abs(answer - 20) < 4
    assert answer == sy.dp.BoundedMean(epsilon=1.0).quick_result(asset, "age")
    for computed in (table["age"] + 0, table.matrix(["age", "sex"])):
        with pytest.raises(BadRequest, match="computed"):
            north.owner.dp.Count(epsilon=0.1).quick_result(computed)
    table["age"].add_(1.0)
    with pytest.raises(BadRequest, match="changed"):
        north.owner.dp.Count(epsilon=0.1).quick_result(table["age"])
