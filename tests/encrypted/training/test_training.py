"""A training of encrypted reports from its hosting to its model, over real sockets."""

from __future__ import annotations

import torch

from grid.federated.state.events import StateForgotten
from tests.encrypted.training.site import MODEL, Site, changes


def expected(*cycles: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {
        name: value + sum(sum(change[name] for change in each) / len(each) for each in cycles)
        for name, value in MODEL.items()
    }


def close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(found[name], wanted[name], rtol=0, atol=1e-6) for name in wanted)


def test_the_model_is_that_of_plain_averaging_over_several_cycles(site: Site) -> None:
    site.begin()
    site.host(MODEL, "plain", num_cycles=3, max_diffs=3, max_workers=6)
    for seed in (1, 2, 3):
        learned = changes(seed, 3)
        site.cycle(learned)
        site.open()
        site.cycle(learned, "plain")
        site.until(site.training("plain").id, seed)
        assert close(site.model().state_dict(), site.model("plain").state_dict())
    assert close(site.model().state_dict(), expected(*(changes(seed, 3) for seed in (1, 2, 3))))
    assert site.training().status == "completed"


def test_what_goes_with_a_cycle_has_its_own_size(site: Site) -> None:
    """The sum in ciphertexts, and what was opened of it, which is smaller."""
    gone: dict[str, int] = {}
    site.pipeline.encrypted._bus.subscribe(StateForgotten, lambda event: gone.update(event.contents))
    site.begin(num_cycles=1)
    site.cycle(changes(1, 3))
    training = site.summed()
    found = site.pipeline.encrypted.waiting(training.id)
    site.open()
    assert site.pipeline.drain()
    assert gone.pop(found.digest) == found.size
    ((opened, size),) = gone.items()
    assert 8 * 4205 < size < 8 * 4205 + 1024 < found.size, opened
