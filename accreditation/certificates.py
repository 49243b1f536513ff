"""The certificate as a document: one context, from which the PDF is made; the same certificate gives the same bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import segno
from django.conf import settings

from accreditation.models import Certificate, Decision
from accreditation.requirements import day_words
from corelab import pdf
from qc.reports import TEMPLATE as REPORT
from qc.reports.blocks import moment_words

TEMPLATE = Path(__file__).with_name("typst") / "certificate.typ"
#: Conditions of more characters are set smaller, and the page closer.
FULL_FROM = 240
MARK = Path(settings.BASE_DIR) / "corelab" / "static" / "corelab" / "mark.svg"


def check_address(number: str) -> str:
    """Return the public address at which anybody may check a certificate."""
    return f"{settings.PUBLIC_URL}/check/{number}/"


def build_context(certificate: Certificate) -> dict[str, Any]:
    """Return all words of a certificate, ready to be placed; nothing in it changes after the certificate was signed."""
    scope, case = certificate.scope, certificate.case
    zone = case.scanner.site.time_zone
    approval = certificate.decision
    proposal = (
        case.decisions.filter(event="propose", decided_at__lte=approval.decided_at)
        .select_related("signature")
        .order_by("-decided_at")
        .first()
    )
    place = ", ".join(part for part in (scope["city"], scope["country"]) if part)
    return {
        "lab": settings.SITE_NAME,
        "number": certificate.number,
        "title": f"Certificate of accreditation {certificate.number}",
        "site": scope["site"],
        "place": place,
        "valid_from": day_words(certificate.valid_from),
        "valid_until": day_words(certificate.valid_until),
        "facts": [
            ["Scanner", f"{scope['manufacturer']} {scope['model']}"],
            ["Serial number", scope["serial"]],
            ["Software", scope["software"] or "not registered"],
            ["Tracer", scope["tracer"]],
            ["Reconstruction", scope["reconstruction"]],
            ["Its settings", scope["fingerprint"] or "not registered"],
            ["Standard", f"{scope['standard_title']} – {scope['edition']}"],
            ["Trial", _trial_words(scope)],
            ["Programme", f"{scope['programme_title']} ({scope['programme']})"],
        ],
        "conditions": certificate.conditions or "None.",
        "is_full": len(certificate.conditions) > FULL_FROM,
        "signatures": [_signature(one, zone) for one in (proposal, approval) if one is not None],
        "address": check_address(certificate.number),
        "qr_alt": f"QR code of the address {check_address(certificate.number)}",
        "digest": approval.signature.digest,
        "case": case.short_number,
        "foot": "Validity today is what the check page says.",
    }


def render_pdf(context: dict[str, Any], certificate: Certificate) -> bytes:
    """Typeset the certificate: A4, tagged, its date that of the signature."""
    files = {
        "qr.svg": qr_svg(context["address"]),
        "mark.svg": MARK.read_bytes(),
        "kit.typ": REPORT.with_name("kit.typ").read_bytes(),
    }
    return pdf.render(TEMPLATE, context, files, certificate.issued_at)


def qr_svg(address: str) -> bytes:
    """Return the QR code of an address as SVG, error correction M; the white page around it is its quiet ground."""
    made = io.BytesIO()
    segno.make_qr(address, error="m").save(made, kind="svg", xmldecl=False, border=0, dark="#16202B", light="#FFFFFF")
    return made.getvalue()


def _trial_words(scope: dict[str, str]) -> str:
    if not scope["trial"]:
        return "general: every trial that asks for this standard"
    return f"{scope['trial']} – {scope['trial_title']}"


def _signature(decision: Decision, zone: str) -> dict[str, str]:
    signature = decision.signature
    return {
        "name": signature.printed_name,
        "role": signature.role,
        "kind": "Review" if decision.event == "propose" else "Approval",
        "meaning": signature.statement,
        "at": moment_words(signature.signed_at, zone),
        "digest": signature.digest,
    }
