"""A browser takes part in trainings of a real Domain, like any other participant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Page

from tests.browser.trainings import columns_of, host, made_rows, python_peer
from tests.nodes import NodeProcess


@pytest.fixture(autouse=True)
def user_home(own_folder: Path) -> Path:
    return own_folder


def take_part(page: Page, **options: Any) -> dict[str, Any]:
    """What became of a participant in the page, in the end."""
    found: dict[str, Any] = page.evaluate("options => takePart(options)", options)
    return found


def model_of(training: Any) -> torch.Tensor:
    found: list[torch.Tensor] = training.model()
    return found[0]


@pytest.mark.parametrize(("scheme", "each"), [("http", 2), ("ws", 1)])
def test_browsers_and_python_learn_what_python_alone_does(
    new_page: Callable[[], Page], domain: NodeProcess, scheme: str, each: int
) -> None:
    """Two of each, or one: batches, their order, scaling and averaging are the same in both languages."""
    url, count = domain.url, 2 * each
    rows = [made_rows(number + 1) for number in range(count)]
    alone = host(url, f"alone-{scheme}", workers=count, batch_size=6, epochs=2)
    threads = [python_peer(url, f"alone-{scheme}", own, seed=7) for own in rows]
    for thread in threads:
        thread.join(120)
    mixed = host(url, f"mixed-{scheme}", workers=count, batch_size=6, epochs=2)
    threads = [python_peer(url, f"mixed-{scheme}", own, seed=7) for own in rows[:each]]
    options = {"address": url.replace("http", scheme), "name": f"mixed-{scheme}", "seed": 7}
    pages = [new_page() for _ in range(each)]
    for page, own in zip(pages, rows[each:], strict=True):
        page.evaluate(
            "options => { window.became = takePart(options); }", {**options, "data": columns_of(own)}
        )
    for page in pages:
        became = page.evaluate("window.became")
        assert became.get("error") is None, became
        assert became["summary"]["cycles"] == 2 and became["summary"]["reason"] == "over", became
        assert [event for event, _ in became["events"] if event != "rejected"] == [
            *["cycle_started", "reported"] * 2,
            "finished",
        ]
        assert [sent["samples"] for sent in became["sent"]] == [20, 20]
    for thread in threads:
        thread.join(120)
    assert [cycle.reported for cycle in mixed.metrics()] == [count, count]
    assert model_of(alone).abs().max() > 0.1
    assert torch.allclose(model_of(alone), model_of(mixed), rtol=0, atol=1e-5)


def test_a_page_that_is_loaded_again_goes_on(page: Page, domain: NodeProcess) -> None:
    """In the middle of a cycle: the same worker comes back to the same assignment, and is counted once."""
    training = host(domain.url, "reloaded", workers=1, cycles=2, epochs=3)
    data = columns_of(made_rows(3))
    page.evaluate("options => void takePart(options)", {"name": "reloaded", "data": data, "hold": True})
    page.evaluate("firstStep")
    before = page.evaluate("job.assignment.assignmentId")
    page.reload()
    page.evaluate("options => void takePart(options)", {"name": "reloaded", "data": data, "hold": True})
    page.evaluate("firstStep")
    assert page.evaluate("job.assignment.assignmentId") == before
    page.reload()
    became = take_part(page, name="reloaded", data=data)
    assert became["summary"]["cycles"] == 2, became
    assert [sent["cycle"] for sent in became["sent"]] == [1, 2]
    assert [cycle.reported for cycle in training.metrics()] == [1, 1]


def test_who_stops_gives_the_slot_back_and_sends_nothing(page: Page, domain: NodeProcess) -> None:
    training = host(domain.url, "stopped", workers=1, cycles=1)
    data = columns_of(made_rows(3))
    page.evaluate(
        "options => { window.became = takePart(options); }", {"name": "stopped", "data": data, "hold": True}
    )
    page.evaluate("firstStep")
    page.evaluate("() => { job.stop(); go(); }")
    became = page.evaluate("became")
    assert became["summary"]["reason"] == "stopped" and became["sent"] == [], became
    # The slot is another's at once, although the cycle has one only.
    thread = python_peer(domain.url, "stopped", made_rows(1))
    thread.join(60)
    assert not thread.is_alive() and model_of(training).abs().max() > 0


def test_data_that_do_not_match_are_refused_before_a_slot_is_asked_for(
    page: Page, domain: NodeProcess
) -> None:
    training = host(domain.url, "mismatched", workers=1)
    data = columns_of(made_rows(3))
    data["age"][4] = "very old"
    became = take_part(page, name="mismatched", data=data)
    assert became["code"] == "data-mismatch" and "row 5" in became["error"], became
    aside = training.refresh().view.aside
    assert list(aside.values()) == ["its data: holds no numbers in 'age'"], aside
    assert "very old" not in str(aside)


DOCTORED = """([name, data, which, at]) => {
    // Whoever stands between: answers are opened, one byte is turned, and all else is handed on.
    const honest = window.fetch;
    window.turned = 0;
    window.fetch = async (url, options) => {
        const asked = new Uint8Array(await options.body.arrayBuffer());
        const answer = await honest(url, { ...options, body: asked });
        const text = new TextDecoder("latin1").decode(asked);
        if (!text.includes(which)) return answer;
        const body = new Uint8Array(await answer.arrayBuffer());
        body[at < 0 ? body.length + at : at] ^= 1;
        window.turned++;
        return new Response(body, { headers: answer.headers });
    };
    return takePart({ name, data, maxCycles: 1, agreed: "" });
}"""


@pytest.mark.parametrize("which", ["federated.get_plan", "federated.get_model", "federated.definition"])
def test_a_reply_with_one_other_byte_is_refused(page: Page, domain: NodeProcess, which: str) -> None:
    name = f"doctored-{which.partition('.')[2]}"
    host(domain.url, name, workers=1)
    became = page.evaluate(DOCTORED, [name, columns_of(made_rows(3)), which, -1])
    assert page.evaluate("turned") > 0
    assert became["error"].startswith(("InvalidEnvelope", "BadSignature")), became
    assert not any(event == "reported" for event, _ in became["events"])


def test_what_nobody_approved_is_not_run(page: Page, domain: NodeProcess) -> None:
    """Unless its very digest is agreed to."""
    training = host(domain.url, "agreed", workers=1, cycles=1)
    data = columns_of(made_rows(3))
    became = take_part(page, name="agreed", data=data, agreed="0" * 64)
    assert became["code"] == "not-agreed" and became["extra"]["reason"] == "definition", became
    became = take_part(page, name="agreed", data=data, bounds={"maxReports": 1, "clipNorm": 1e-3})
    assert became["summary"]["cycles"] == 1, became
    norm = float(model_of(training).double().norm())
    assert 0 < norm <= 1e-3


def test_noise_of_ones_own_is_refused_by_name(page: Page, domain: NodeProcess) -> None:
    with pytest.raises(Exception, match="cannot add exact noise"):
        take_part(page, name="any", data={}, bounds={"clipNorm": 1, "noiseMultiplier": 1})
