"""What a walk through the real product needs: a running stack of its own, and a browser that listens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, Response, sync_playwright

from tests import factories
from tests.flows import hand, house
from tests.stack.conftest import Place, place  # noqa: F401 (a fixture here too)

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
#: A loaded machine takes its time; a page that never answers fails all the same.
PATIENCE_MS = 90_000


@dataclass
class Walker:
    """One person at a browser: the page in front of them, and all that is wrong with what they were shown."""

    page: Page
    email: str
    wrong: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Collect what the console says; a broken content policy is an error there."""
        self.page.on(
            "console",
            lambda said: (
                self.wrong.append(f"{self.page.url} says {said.text}") if said.type in {"error", "warning"} else None
            ),
        )
        self.page.on("pageerror", lambda error: self.wrong.append(f"{self.page.url} broke: {error}"))

    def open(self, path: str) -> Response | None:
        """Go to an address and look at the page."""
        answer = self.page.goto(path)
        self.look()
        return answer

    def press(self, words: str, *, leads_to: str | Callable[[str], bool]) -> None:
        """Press the one button or link with these words, and look at the page that follows."""
        found = self.page.get_by_role("button", name=words, exact=True)
        found = found.or_(self.page.get_by_role("link", name=words, exact=True))
        # The address may stay the same, so it is the loading that is waited for.
        with self.page.expect_navigation(url=leads_to):
            found.click()
        self.look()

    def look(self) -> None:
        """Search the page for what keeps people out."""
        self.page.wait_for_load_state()
        found = Axe().run(self.page, options={"runOnly": RULES}).response
        assert found["passes"], f"{self.page.url} could not be searched"
        self.wrong += [
            f"{self.page.url}: {rule['id']} {node['target']} {node['failureSummary']}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    def accept(self, link: str, password: str) -> None:
        """Follow an invitation, choose a password, and be signed in."""
        self.open(link)
        self.page.fill("#id_password", password)
        self.page.fill("#id_again", password)
        self.press("Save and sign in", leads_to=lambda address: "/invitation/" not in address)

    def sign_in(self, password: str) -> None:
        """Sign in on the page where a stranger arrives."""
        self.open("/")
        self.page.fill("#id_login", self.email)
        self.page.fill("#id_password", password)
        self.press("Sign in", leads_to=lambda address: "/login/" not in address)


@dataclass(frozen=True)
class House:
    """A running product with people in it.

    Attributes
    ----------
    address : str
        Where it serves.
    passwords : dict
        Everybody's, by e-mail.
    names : dict
        What is printed for them, by e-mail.
    """

    address: str
    passwords: dict[str, str]
    names: dict[str, str]


@pytest.fixture
def running_house(place: Place, tmp_path: Path) -> House:  # noqa: F811
    """Start the product and make the walk's people in it."""
    _, address = place.up("--port", "0")
    accounts = tmp_path / "accounts.json"
    making = place.run("-m", "tests.flows.house", str(accounts))
    said, _ = making.communicate(timeout=120)
    assert making.returncode == 0, said
    known = json.loads(accounts.read_text())
    return House(
        address=address,
        passwords={one["email"]: one["password"] for one in known} | {house.STRANGER: factories.PASSWORD},
        names={one["email"]: one["name"] for one in known},
    )


@pytest.fixture
def walker(running_house: House) -> Iterator[Callable[..., Walker]]:
    """Return a function that gives a person a browser, signed in; one who was invited comes by the link."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened: list[BrowserContext] = []

        def walks(email: str, *, link: str = "") -> Walker:
            context = browser.new_context(
                base_url=running_house.address, viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
            )
            context.set_default_timeout(PATIENCE_MS)
            opened.append(context)
            person = Walker(page=context.new_page(), email=email)
            person.listen()
            if link:
                person.accept(link, factories.PASSWORD)
            else:
                person.sign_in(running_house.passwords[email])
            return person

        yield walks
        for context in opened:
            context.close()
        browser.close()


@pytest.fixture
def lab(transactional_db: None, settings: Any, tmp_path: Path) -> hand.Lab:
    """Return a lab that its people have built at their browsers, with one site, one scanner and one trial."""
    for name in ("OBJECT_STORE_DIR", "UPLOAD_DIR", "REPORT_DIR"):
        setattr(settings, name, tmp_path / name.lower())
    made = hand.Lab(folder=tmp_path / "scans")
    made.build()
    return made
