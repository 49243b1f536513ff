"""A browser without a screen: pages, forms and resumable uploads over HTTP, as a person at a site uses them."""

from __future__ import annotations

import base64
import http.client
import http.cookiejar
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

TIMEOUT_S = 60.0
UPLOAD_CHUNK_BYTES = 4 * 1024 * 1024


class PageError(Exception):
    """The server answered with something that a person could not go on from; ``status`` is 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Form:
    """One form of a page: where it goes, its fields as they stand, the choices they have and its buttons."""

    action: str
    values: dict[str, str] = field(default_factory=dict)
    choices: dict[str, dict[str, str]] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)

    def names(self) -> set[str]:
        """Return the name of every field and button."""
        return self.values.keys() | self.choices.keys() | self.buttons.keys()

    def choice(self, name: str, words: str) -> str:
        """Return the value of the option whose text ends with these words."""
        for value, text in self.choices.get(name, {}).items():
            if value and text.endswith(words):
                return value
        raise PageError(f"{self.action}: no choice of {name} ends with {words}.")


@dataclass
class Page:
    """One answer of the server."""

    url: str
    text: str
    forms: list[Form] = field(default_factory=list)
    #: All attributes of every element that has a ``data-…`` attribute, in the order of the page.
    marks: list[dict[str, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def form_with(self, *names: str) -> Form:
        """Return the form that has these fields or buttons."""
        for form in self.forms:
            if form.names().issuperset(names):
                return form
        raise PageError(f"{self.url} has no form with {', '.join(names)}.")

    def form_to(self, path: str) -> Form:
        """Return the form that goes to this path."""
        for form in self.forms:
            if urllib.parse.urlsplit(form.action).path == path:
                return form
        raise PageError(f"{self.url} has no form that goes to {path}.")

    def mark(self, name: str) -> str | None:
        """Return the value of an attribute such as ``data-verdict``, or None where the page has none."""
        return next((attributes[name] for attributes in self.marks if name in attributes), None)


class _Reader(HTMLParser):
    """Collects what a person could fill in, press and follow."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page
        self.form = Form(action=page.url)
        self.select = self.option = self.textarea = self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        about = {name: value or "" for name, value in attrs}
        name, value = about.get("name", ""), about.get("value", "")
        if any(attribute.startswith("data-") for attribute in about):
            self.page.marks.append(about)
        match tag:
            case "form":
                self.form = Form(action=urllib.parse.urljoin(self.page.url, about.get("action", "")))
                self.page.forms.append(self.form)
            case "a":
                self.page.links.append(about.get("href", ""))
            case "select" if name:
                self.select = name
                self.form.choices[name] = {}
            case "option" if self.select:
                self.option, self.said = value, ""
                if "selected" in about:
                    self.form.values[self.select] = value
            case "textarea" if name:
                self.textarea, self.said = name, ""
            case "button" if name:
                self.form.buttons[name] = value
            case "input" if name:
                self._input(name, value, about)

    def _input(self, name: str, value: str, about: Mapping[str, str]) -> None:
        kind = about.get("type", "text")
        if kind in {"radio", "checkbox"}:
            self.form.choices.setdefault(name, {})[value or "on"] = value
            if "checked" in about:
                self.form.values[name] = value or "on"
        elif kind == "submit":
            self.form.buttons[name] = value
        elif kind != "file":
            self.form.values[name] = value

    def handle_endtag(self, tag: str) -> None:
        """Close what collects words."""
        match tag:
            case "option" if self.select:
                self.form.choices[self.select][self.option] = " ".join(self.said.split())
            case "select":
                self.select = ""
            case "textarea" if self.textarea:
                self.form.values[self.textarea], self.textarea = self.said, ""
            case "form":
                self.form = Form(action=self.page.url)

    def handle_data(self, data: str) -> None:
        """Collect the words of an option or a text."""
        self.said += data


class Browser:
    """One person's browser: cookies, and the token that every form and upload carries.

    Parameters
    ----------
    address : str
        ``http://host:port`` of the product.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def open(self, path: str) -> Page:
        """Open a page by its path or address."""
        return self._page(self._ask("GET", path))

    def fetch(self, path: str) -> bytes:
        """Return a file by its path or address."""
        with self._ask("GET", path) as answer:
            return answer.read()

    def submit(
        self, form: Form, values: Mapping[str, str] | None = None, *, press: str = "", in_place: bool = False
    ) -> Page:
        """Fill in a form, press a button of it (or none), and return the page that follows.

        ``in_place`` asks as the page's script does, for the part that changes and not for a whole page.
        """
        filled = {**form.values, **(values or {})}
        if press:
            filled[press] = form.buttons[press]
        body = urllib.parse.urlencode(filled).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | ({"HX-Request": "true"} if in_place else {})
        return self._page(self._ask("POST", form.action, body, headers))

    def sign_in(self, path: str, email: str, password: str) -> Page:
        """Sign in by the form of that page."""
        form = self.open(path).form_with("login", "password")
        page = self.submit(form, {"login": email, "password": password})
        if any({"login", "password"} <= form.names() for form in page.forms):
            raise PageError(f"{email} could not sign in.")
        return page

    def upload(self, path: str, submission: str, file: Path, name: str) -> None:
        """Send one file by tus 1.0, in pieces, going on where the server says it stands.

        Parameters
        ----------
        path : str
            Where uploads are created.
        submission, name : str
            The submission's number, and the file's name within the chosen folder.
        """
        content = file.read_bytes()
        about = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}"
            for key, value in (("submission", submission), ("filename", name))
        )
        headers = {
            "Tus-Resumable": "1.0.0",
            "Content-Type": "application/offset+octet-stream",
            "X-CSRFToken": next((cookie.value or "" for cookie in self.cookies if cookie.name == "csrftoken"), ""),
        }
        first = content[:UPLOAD_CHUNK_BYTES]
        made = self._ask("POST", path, first, {**headers, "Upload-Length": str(len(content)), "Upload-Metadata": about})
        place, offset = made.headers["Location"], int(made.headers["Upload-Offset"])
        while offset < len(content):
            piece = content[offset : offset + UPLOAD_CHUNK_BYTES]
            offset = int(
                self._ask("PATCH", place, piece, {**headers, "Upload-Offset": str(offset)}).headers["Upload-Offset"]
            )

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        url = urllib.parse.urljoin(self.address, path)
        request = urllib.request.Request(  # noqa: S310 (the address is our own server's)
            url, data=body, method=method, headers={"Referer": url, "User-Agent": "corelab-demo", **(headers or {})}
        )
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            words = " ".join(error.read(2000).decode(errors="replace").split())
            raise PageError(f"{method} {url} was answered with {error.code}: {words[:300]}", error.code) from None
        except OSError as error:
            raise PageError(f"{method} {url} was not answered: {error}") from None
        return answer

    def _page(self, answer: http.client.HTTPResponse) -> Page:
        with answer:
            page = Page(url=answer.url, text=answer.read().decode())
        _Reader(page).feed(page.text)
        return page
