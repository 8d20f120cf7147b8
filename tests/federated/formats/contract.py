"""What every report format must do, over a real node and the SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch

from grid.aggregation.tensor_file import TensorFile
from grid.federated.averaging import aggregator
from grid.federated.intake.format import ReportFormat
from grid.federated.intake.registry import FORMATS
from grid.federated.state import tables as t
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.checked import CheckedContents
from syft_ext.errors import BadRequest, Conflict, InvalidConfig, InvalidTensors, TooLarge
from syft_ext.federated.formats import encoder_of
from tests.federated.formats.home import Home

__all__ = ["FormatContract"]

Tensors = Mapping[str, torch.Tensor]


class FormatContract:
    """Attributes, which a format's test class fills in:

    name, options: as a training declares it.
    tolerance: how far the mean may be from the true one.
    conceals: nobody can read a report, nor the sum so far, before the cycle is closed.
    """

    name: ClassVar[str]
    options: ClassVar[dict[str, Any]]
    tolerance: ClassVar[float] = 1e-6
    conceals: ClassVar[bool]

    MODEL: ClassVar[Tensors] = {
        "weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
        "bias": torch.ones(5, dtype=torch.float64),
    }

    @property
    def format(self) -> ReportFormat:
        return FORMATS.find(self.name)

    def host(self, home: Home, name: str = "t", **server_config: Any) -> str:
        config = {"num_cycles": 3, "max_diffs": 3, "max_workers": 4, **server_config}
        config = {"report_format": self.name, "report_options": self.options, **config}
        return home.host(self.MODEL, name, **config)

    def changes(self, seed: int, count: int = 3) -> list[Tensors]:
        """What some workers add to the model."""
        generator = torch.Generator().manual_seed(seed)
        return [
            {name: torch.randn(v.shape, generator=generator, dtype=v.dtype) for name, v in self.MODEL.items()}
            for _ in range(count)
        ]

    def close_to(self, model: Any, *cycles: list[Tensors]) -> bool:
        """Whether ``model`` is the hosted one plus the mean change of each of these cycles."""
        found = model.state_dict()
        for name, value in self.MODEL.items():
            wanted = value + sum(sum(change[name] for change in each) / len(each) for each in cycles)
            if not torch.allclose(found[name], wanted, rtol=0, atol=self.tolerance * len(cycles)):
                return False
        return True

    # -- the declaration ----------------------------------------------------------------------------

    def test_both_halves_have_the_name_that_trainings_declare(self) -> None:
        assert self.format.name == encoder_of(self.name).name == self.name
        assert all(len(kind) <= 8 for kind in self.format.kinds) and self.format.kinds

    def test_workers_and_hosts_are_told_it(self, home: Home) -> None:
        process_id = self.host(home)
        assert home.pipeline.views.process(process_id).report_format == self.name
        part = home.join()
        assert part.job.session.worker is not None
        assert part.job.session.worker.report_format == self.name
        assert (part.assignment.report_format, part.assignment.report_options) == (self.name, self.options)

    def test_options_that_it_does_not_know_are_refused_when_hosting(self, home: Home) -> None:
        with pytest.raises(InvalidConfig) as caught:
            self.host(home, report_options={**self.options, "colour": "red"})
        assert caught.value.extra["field"] == "report_options"

    # -- what comes of it ---------------------------------------------------------------------------

    def test_the_model_moves_by_the_mean_of_what_was_learned(self, home: Home) -> None:
        process_id = self.host(home)
        cycles = [self.changes(seed) for seed in (1, 2, 3)]
        for number, changes in enumerate(cycles, 1):
            home.cycle(changes)
            home.until(process_id, number)
            assert self.close_to(home.model(), *cycles[:number])

    def test_a_job_of_the_sdk_runs_through(self, home: Home) -> None:
        process_id = self.host(home, max_diffs=3, num_cycles=1)
        changes = self.changes(1)
        home.cycle(changes[:2])
        part = home.join()
        part.job.give_back("another worker does it")

        def train(job: Any) -> Tensors:
            return {name: v + changes[2][name] for name, v in job.model.state_dict().items()}

        assert part.job.run(train).cycles == 1
        home.until(process_id, 1)
        assert self.close_to(home.model(), changes)

    def test_after_a_restart_the_same_reports_give_the_same_model(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(aggregator, "MANY", 1)  # each report is added when it comes, if it can be
        changes = self.changes(4)
        for name, restart in (("quiet", False), ("stopped", True)):
            process_id = self.host(home, name)
            home.cycle(changes[:2], name)
            if restart:
                assert home.pipeline.drain()
                home.restart()
            home.cycle(changes[2:], name)
            home.until(process_id, 1)
        assert home.model("quiet").digest == home.model("stopped").digest
        assert self.close_to(home.model("stopped"), changes)

    def test_a_lost_model_is_made_again_from_its_reports(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(home.pipeline.garbage, "_collect", lambda digests, cold: None)
        process_id, blobs = self.host(home), home.pipeline.store.blobs
        assert isinstance(blobs, CheckedContents) and isinstance(blobs.inner, FileBlobStore)
        assert blobs.unsynced is not None
        unsynced: list[object] = []
        store = blobs.unsynced.store_unsynced
        monkeypatch.setattr(
            blobs.unsynced, "store_unsynced", lambda made: unsynced.append(made) or store(made)
        )
        home.cycle(self.changes(5))
        home.until(process_id, 1)
        digest = home.model().digest
        assert len(unsynced) == (1 if self.format.repeatable else 0), "used before it is durable, or not"
        if self.format.repeatable:
            home.stop()
            blobs.inner.path(digest).chmod(0o600)
            blobs.inner.path(digest).unlink()
            home.start()
            assert home.pipeline.store.blobs.exists(digest)
        assert self.close_to(home.model(), self.changes(5))

    # -- what is refused ----------------------------------------------------------------------------

    def test_a_body_of_the_wrong_length_is_refused_and_changes_nothing(self, home: Home) -> None:
        process_id = self.host(home, num_cycles=1)
        changes = self.changes(6)
        part = home.join()
        report = part.encode(changes[0])
        body = b"".join(bytes(piece) for piece in report.pieces)
        for wrong in (b"", body[:-1], body + b"x", body[: len(body) // 2], bytes(body) * 50_000):
            with pytest.raises((InvalidTensors, TooLarge)):
                part.send([wrong], report.kind)
        assert home.pipeline.views.process(process_id).reported == 0
        part.send([body], report.kind)
        with pytest.raises(Conflict):
            part.send([body], report.kind)
        home.cycle(changes[1:])
        home.until(process_id, 1)
        assert self.close_to(home.model(), changes)

    def test_a_kind_that_it_does_not_have_is_refused(self, home: Home) -> None:
        process_id = self.host(home)
        part = home.join()
        report = part.encode(self.changes(7)[0])
        with pytest.raises(BadRequest, match="no kind 'gossip'"):
            part.send(report.pieces, "gossip")
        assert home.pipeline.views.process(process_id).reported == 0

    def test_parameters_of_another_shape_are_not_sent(self, home: Home) -> None:
        process_id = self.host(home)
        part = home.join()
        with pytest.raises(InvalidTensors):
            part.job.report({name: value[..., :-1] for name, value in self.MODEL.items()})
        assert home.pipeline.views.process(process_id).reported == 0

    # -- what can be seen ---------------------------------------------------------------------------

    def test_what_it_conceals_nobody_sees_before_the_cycle_is_closed(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(aggregator, "MANY", 1)
        process_id = self.host(home)
        changes = self.changes(8)
        home.cycle(changes[:2])
        pipeline = home.pipeline
        assert pipeline.drain()
        (running,) = pipeline.sums._running.values()
        contents = self._stored(home)
        assert len(contents) == 2
        secret = [-change[name] for change in changes[:2] for name in self.MODEL]
        told = [t.numpy().tobytes() in content for content in contents for t in secret]
        assert any(told) == (not self.conceals)
        for content in contents if self.conceals else ():
            with pytest.raises((InvalidTensors, TooLarge)):
                TensorFile(content)
        if self.conceals:
            assert (len(running.included) > 0) == self.format.streams
            with pytest.raises(Conflict, match="nothing to average"):
                running.aggregator.finish()
        home.cycle(changes[2:])
        home.until(process_id, 1)
        assert self.close_to(home.model(), changes)

    def _stored(self, home: Home) -> list[bytes]:
        """The reports of the current cycle, as they lie on the node's disk."""
        with home.pipeline.store.database.read() as session:
            digests = [row.blob_digest for row in session.query(t.Assignment) if row.blob_digest]
        return [bytes(home.pipeline.store.blobs.map(digest)) for digest in digests]

    def test_a_policy_that_clips_holds_or_the_training_is_refused(self, home: Home) -> None:
        home.set_policy(clip_norm=0.5)
        if self.format.reveals == "sum":
            with pytest.raises(InvalidConfig, match="only the sum is seen") as caught:
                self.host(home)
            assert caught.value.extra["field"] == "report_format"
            return
        process_id = self.host(home)
        home.cycle(self.changes(9))
        home.until(process_id, 1)
        model = home.model().state_dict()
        moved = torch.cat([(model[name] - v).double().reshape(-1) for name, v in self.MODEL.items()])
        assert 0 < float(moved.norm()) <= 0.5 + 1e-6

    def test_an_averaging_plan_sees_each_report_or_is_refused(self, home: Home) -> None:
        if self.format.reveals == "each":
            return
        with pytest.raises(InvalidConfig, match="host no averaging plan") as caught:
            home.pipeline.tasks.create(
                "owner",
                client_plans={},
                averaging_plan=b"any",
                client_config={"name": "planned", "version": "1"},
                server_config={"report_format": self.name, "report_options": self.options},
            )
        assert caught.value.extra["field"] == "report_format"
        assert self.host(home, "unplanned")
