"""People take part in real trainings of a real Domain, in real Chromium: from a link to the receipt."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from syft_ext.client.trainings import Training
from syft_ext.ids import new_id
from tests.browser.join_site import Site, listing
from tests.browser.page import PATIENCE, Visitor, chromium, draw, visit
from tests.sdk.live import EMAIL, PASSWORD

PHONE = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "color_scheme": "dark"}
GOOD = "age,mean radius,ward,diagnosis\n" + "".join(
    f"{20 + row},{10 + row / 7:.3f},{'north' if row % 2 else 'south'},{'benign' if row % 3 else 'malignant'}\n"
    for row in range(40)
)
BAD = "age,mean radius,ward,diagnosis\n20,1,north,benign\n130,2,east,benign\n3o,1,north,unsure\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("join") / "domain")
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("--host-resolver-rules=MAP hospital.example 127.0.0.1") as opened:
        yield opened


def csv(page: Page, text: str) -> None:
    page.locator("#csv").set_input_files(
        {"name": "patients.csv", "mimeType": "text/csv", "buffer": text.encode()}
    )


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def heading(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", level=1, name=text)).to_be_visible(timeout=PATIENCE)


def until(found: Callable[[], bool]) -> None:
    """Wait for what a node comes to by itself."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def use(page: Page, name: str = "") -> None:
    """Use the invitation that the address brought."""
    heading(page, "You are invited to take part")
    page.get_by_label("Your name").fill(name)
    press(page, "Use the invitation")


def agree(page: Page) -> None:
    press(page, "I agree: choose data")


def test_the_listing_of_the_document_is_drawn_and_trained(site: Site, browser: Browser) -> None:
    """docs/join.md as printed, but for address and login; then what its reader does."""
    text = listing('list("0123456789")')
    for printed, here in (
        ("http://localhost:5000", site.node.url), ("me@school.example", EMAIL), ("my pass phrase", PASSWORD),
    ):  # fmt: skip
        assert printed in text
        text = text.replace(printed, here)
    said: list[str] = []
    exec(compile(text, "docs/join.md", "exec"), {"print": lambda made: said.append(made.link)})
    (link,) = said
    before = [part.clone() for part in site.owner.trainings["digits/1.0"].model()]
    with visit(browser, link.replace(site.node.url, site.url)) as visitor:
        page = visitor.page
        use(page, "Ana")
        heading(page, "digits 1.0")
        assert "#" not in page.url  # a link that was used is in no history, and gives nothing away
        expect(page.get_by_text("25,450 numbers of the model")).to_be_visible()
        page.get_by_text("training_plan:").click()
        expect(page.get_by_text("runs:")).to_be_visible()
        agree(page)
        for _ in range(10):
            draw(page)
        press(page, "Use these pictures")
        heading(page, "10 rows match")
        press(page, "Take part")
        heading(page, "The training is complete")
        expect(page.get_by_text("10 reports")).to_be_visible()
        with page.expect_download() as waiting:
            press(page, "Save a receipt")
        receipt = json.loads(Path(waiting.value.path()).read_text())
    training = site.owner.trainings["digits/1.0"]
    assert training.status == "completed"
    assert (receipt["training"], receipt["definition"]) == (training.id, training.view.review.digest)
    assert [each["cycle"] for each in receipt["sent"]] == [*range(1, 11)]
    assert any(not torch.equal(one, other) for one, other in zip(before, training.model(), strict=True))
    losses = [cycle.loss for cycle in training.metrics()]
    assert losses[-1] < losses[0]


def test_who_is_invited_waits_and_goes_on_once_accepted(site: Site, browser: Browser) -> None:
    """On a phone, in the dark, in Portuguese."""
    training = site.digits("waiting")
    with visit(browser, site.link(training), locale="pt-BR", **PHONE) as visitor:
        page = visitor.page
        heading(page, "Você foi convidado a participar")
        page.get_by_label("Seu nome").fill("Ana \u202e<b>")
        press(page, "Usar o convite")
        heading(page, "À espera de aceitação")
        expect(page.get_by_text("O que é executado, por inteiro")).to_be_visible()
        guests = training.guests()
        (guest,) = guests.guests
        assert guest.name == "Ana \u202e<b>"
        assert "\u202e" not in repr(guests) and "⟨U+202E⟩" in repr(guests)
        expect(page.locator("code").first).to_have_text(guest.verify_key[:8])
        guests.accept(guest.id)
        heading(page, "two digits waiting")
        press(page, "Concordo: escolher dados")
        draw(page)
        draw(page)
        press(page, "Usar estas imagens")
        heading(page, "2 linhas correspondem")
        press(page, "Participar")
        heading(page, "O treinamento está concluído")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("document.documentElement.lang") == "pt"
    assert training.status == "completed"


def test_who_is_refused_is_told_so(site: Site, browser: Browser) -> None:
    training = site.digits("refused")
    with visit(browser, site.link(training)) as visitor:
        use(visitor.page)
        heading(visitor.page, "Waiting to be accepted")
        guests = training.guests()
        guests.refuse(guests.guests[0].id)
        heading(visitor.page, "You were not accepted")


def test_invitations_that_are_none(site: Site, browser: Browser) -> None:
    training = site.digits("none")
    invitation = training.invite(address=site.url)
    invitation.revoke()
    for link, told in (
        (invitation.link, "This invitation was taken back"),
        (f"{site.url}/join/{training.id}#{'x' * 43}", "This is no invitation of this Domain"),
    ):
        with visit(browser, link) as visitor:
            use(visitor.page)
            expect(visitor.page.get_by_role("alert")).to_contain_text(told)
    for address in (f"{site.url}/join/{training.id}", f"{site.url}/join/{new_id()}"):
        with visit(browser, address) as visitor:
            heading(visitor.page, "Nothing to take part in here")


def test_a_table_is_matched_and_taking_part_ends_when_one_says_so(site: Site, browser: Browser) -> None:
    training = site.table("stopped", num_cycles=10_000)
    with visit(browser, site.link(training, accepted=True)) as visitor:
        page = visitor.page
        use(page)
        heading(page, "wards stopped")
        agree(page)
        csv(page, BAD)
        alert = page.get_by_role("alert")
        for told in (
            "age, row 2 (line 3): 130 is above the range, which ends at 120",
            "ward, row 2 (line 3): “east” is none of: north, south",
            "diagnosis, row 3 (line 4): “unsure” is none of: benign, malignant",
        ):
            expect(alert).to_contain_text(told)
        csv(page, GOOD + ",15,south,benign\n")
        heading(page, "40 rows match")
        expect(page.get_by_text("age: one row has no value and is left out.")).to_be_visible()
        press(page, "Take part")
        heading(page, "Taking part")
        expect(page.get_by_text(re.compile(r"[3-9] reports, "))).to_be_visible(timeout=PATIENCE)
        press(page, "Stop taking part")
        heading(page, "You stopped")
    until(lambda: not training.refresh().view.missing)
    seen = training.view.cycles_completed
    assert seen >= 3
    assert training.refresh().view.cycles_completed <= seen + 1
    training.cancel()


#: Resolves as soon as the page says that it trains: a look every second, as `expect` takes, may miss it.
_TRAINS = """() => new Promise((done) => {
    const status = () => document.querySelector(".status b")?.textContent ?? "";
    const look = () => /^Training: step \\d/.test(status()) && done();
    new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
    look();
})"""


@contextmanager
def taking_part(site: Site, browser: Browser, training: Training) -> Iterator[Visitor]:
    """Somebody who has just pressed the button."""
    with visit(browser, site.link(training, accepted=True)) as visitor:
        use(visitor.page)
        agree(visitor.page)
        csv(visitor.page, GOOD)
        press(visitor.page, "Take part")
        yield visitor


@contextmanager
def begun(site: Site, browser: Browser, training: Training) -> Iterator[Visitor]:
    """Somebody in the middle of a cycle that takes long."""
    with taking_part(site, browser, training) as visitor:
        visitor.page.evaluate(_TRAINS)
        yield visitor


def test_a_page_that_is_loaded_again_goes_on_with_its_cycle(site: Site, browser: Browser) -> None:
    training = site.table("reloaded", client={"epochs": 400}, num_cycles=1)
    with begun(site, browser, training) as visitor:
        page = visitor.page
        page.reload()
        heading(page, "wards reloaded")
        expect(page.get_by_text("A round was under way")).to_be_visible()
        agree(page)
        csv(page, GOOD)
        press(page, "Take part")
        heading(page, "The training is complete")
        expect(page.get_by_text("One report")).to_be_visible()
    assert training.status == "completed"
    assigned = [
        event for event in training.history() if event.entity == "assignment" and event.after == "assigned"
    ]
    assert len(assigned) == 1  # the same slot


def test_a_training_that_was_cancelled_is_called_that(site: Site, browser: Browser) -> None:
    training = site.table("cancelled", client={"epochs": 5000}, num_cycles=1)  # not done before it is
    with begun(site, browser, training) as visitor:
        training.cancel()
        heading(visitor.page, "The training was cancelled")
        expect(visitor.page.get_by_text("Nothing yet.")).to_be_visible()
        visitor.page.locator("#language").select_option("pt")
        heading(visitor.page, "O treinamento foi cancelado")


def test_the_slot_of_a_closed_tab_goes_to_somebody_else(site: Site, browser: Browser) -> None:
    training = site.table(
        "closed", client={"epochs": 400}, num_cycles=1, max_workers=1, assignment_timeout=30.0
    )
    with begun(site, browser, training):
        pass  # and away
    with taking_part(site, browser, training) as other:
        heading(other.page, "The training is complete")
    ends = [event.after for event in training.history() if event.entity == "assignment"]
    assert "timed-out" in ends and ends[-1] == "included"


def test_all_of_it_by_keyboard(site: Site, browser: Browser) -> None:
    training = site.digits("keys")
    with visit(browser, site.link(training, accepted=True)) as visitor:
        page = visitor.page
        heading(page, "You are invited to take part")

        here = (
            "([s, t]) => document.activeElement.matches(s) && document.activeElement.textContent.includes(t)"
        )

        def reach(selector: str, text: str = "") -> None:
            for _ in range(60):
                page.keyboard.press("Tab")
                if page.evaluate(here, [selector, text]):
                    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
                    return
            raise AssertionError(f"{selector} is not reached by Tab")

        reach("#name")
        page.keyboard.type("Ben")
        page.keyboard.press("Enter")
        heading(page, "two digits keys")
        assert page.evaluate("document.activeElement.tagName") == "H1"
        reach("button.main")
        page.keyboard.press("Enter")
        heading(page, "Choose your data")
        reach("canvas")
        for key in ("Space", *["ArrowDown"] * 6, "Space", "Enter"):
            page.keyboard.press(key)
        expect(page.get_by_text("One picture kept")).to_be_visible()
        page.keyboard.press("Space")
        for key in [*["ArrowRight"] * 5, "Enter"]:
            page.keyboard.press(key)
        reach("button", "Use these pictures")
        page.keyboard.press("Enter")
        heading(page, "2 rows match")
        reach("button.main")
        page.keyboard.press("Enter")
        heading(page, "The training is complete")
    assert training.status == "completed"


def test_over_http_it_says_why_it_does_nothing(site: Site, browser: Browser) -> None:
    port = site.node.url.rsplit(":", 1)[1]
    address = f"http://hospital.example:{port}/join/{new_id()}"
    with visit(browser, address) as visitor:
        heading(visitor.page, "This page needs a secure address")
        expect(visitor.page.get_by_role("link")).to_have_attribute("href", re.compile("^https://hospital"))
        assert not any("/messages" in url for url in visitor.asked)
