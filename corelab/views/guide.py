"""Help: one short text a topic, in the same place on every page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from corelab.errors import NotFound
from corelab.selectors import NOTHING_HERE

#: Topic, its title, and one sentence for the list; the text is in ``corelab/help/<topic>.html``.
TOPICS: dict[str, tuple[str, str]] = {
    "sending": ("Send a scan", "What to export, what happens on the way, and how to go on after a break."),
    "sheet": ("The activity sheet", "What to write down when the phantom is filled, on which clock."),
    "verdicts": ("Verdicts and states", "What each word means, who said it, and who acts next."),
    "limits": ("Limits", "Where a limit comes from, and why some numbers are report only."),
    "suv": ("How SUV is worked out", "What must be in the headers, and why a number is refused and not guessed."),
    "review": ("Review and signature", "What a physicist looks at, what is signed, and what cannot be undone."),
    "accreditation": ("May we scan?", "Clearances, and how a scanner gets one: cases, evidence, two signatures."),
    "account": ("Sign-in, account and keys", "Passwords, the end of a sign-in, themes, keys."),
    "privacy": ("Names and pictures", "What is kept of a patient, who sees it, and what is written down."),
}


@login_not_required
@require_safe
def help_show(request: HttpRequest, topic: str = "") -> HttpResponse:
    """Show the list of topics, or one."""
    if not topic:
        return render(request, "corelab/help_show.html", {"topics": TOPICS})
    if topic not in TOPICS:
        raise NotFound(NOTHING_HERE)
    title, summary = TOPICS[topic]
    context = {"topics": TOPICS, "topic": topic, "title": title, "summary": summary}
    return render(request, f"corelab/help/{topic}.html", context)
