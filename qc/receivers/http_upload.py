"""Resumable uploads over HTTP: tus 1.0 with creation, creation-with-upload, checksum and termination.

Written from the protocol's text (tus.io, version 1.0.0). The offset that is answered is the number of bytes that are
synced to disk; a whole file is answered only after its row is committed. Under WSGI a broken connection is a short
body without an exception, so what arrived is compared with Content-Length.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from corelab.errors import DomainError, NotAllowed, NotFound, OutOfSpace, Refused, StaleState, Transient
from qc import selectors, services
from qc.services.uploads import CHECKSUM_ALGORITHMS, Checksum, ChecksumMismatch, parse_checksum

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,termination"
BODY_TYPE = "application/offset+octet-stream"
CHECKSUM_MISMATCH = 460  # of the protocol's checksum extension

View = Callable[..., HttpResponse]


class _Answer(Exception):
    """An answer that the protocol names, raised from where it is found out."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def _tus(view: View) -> View:
    """Check what every tus request has, and put errors in the protocol's words."""

    # A program is told 401, not led to a page.
    @login_not_required
    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response = _checked(view, request, *args, **kwargs)
        except _Answer as answer:
            response = _text(answer.status, answer.text)
        except (NotFound, NotAllowed) as error:
            response = _text(404, error.message)
        except ChecksumMismatch as error:
            response = _text(CHECKSUM_MISMATCH, error.message)
        except StaleState as error:
            response = _text(423 if error.code == "UPLOAD-BUSY" else 409, error.message)
        except OutOfSpace as error:
            response = _text(507, error.message)
        except Transient as error:
            response = _text(503, error.message)
        except Refused as error:
            response = _text(413 if error.code == "UPLOAD-TOO-LARGE" else 400, error.message)
        except DomainError as error:
            response = _text(500, error.message)
        response["Tus-Resumable"] = VERSION
        response["Cache-Control"] = "no-store"
        return response

    return answered


def _checked(view: View, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    if request.method == "OPTIONS":
        return _options()
    if not request.user.is_authenticated:
        raise _Answer(401, "Your sign-in has ended. Sign in again; what arrived is kept.")
    if request.headers.get("Tus-Resumable") != VERSION:
        raise _Answer(412, f"This server speaks tus {VERSION}.")
    return view(request, *args, **kwargs)


@_tus
def upload_create(request: HttpRequest) -> HttpResponse:
    """Announce a file (POST), with its first bytes where the body has any.

    ``Upload-Metadata`` names ``submission`` (its number) and ``filename`` (with the folder below what was chosen).
    """
    if request.method != "POST":
        return _not_allowed("POST, OPTIONS")
    length_bytes = _number(request, "Upload-Length")
    metadata = _metadata(request.headers.get("Upload-Metadata", ""))
    submission_id = selectors.draft_id_for(request.user, metadata.get("submission", ""))
    name = metadata.get("filename", "")
    if not name:
        raise Refused("Name the file: filename is missing.", code="UPLOAD-NAME")
    announced = {
        "submission_id": submission_id,
        "actor": request.user,
        "length_bytes": length_bytes,
        "file_name": "\x1f".join((name, metadata.get("modified", ""))),
        "is_zip": name.lower().endswith(".zip"),
    }
    body_bytes = _body_bytes(request, required=False)
    if body_bytes > length_bytes:
        raise Refused("The body is longer than the file.", code="UPLOAD-LENGTH")
    if body_bytes:
        _check_type(request)
        upload = services.upload_receive(**announced, stream=request, checksum=_checksum(request))
    else:
        upload = services.upload_create(**announced)
    response = HttpResponse(status=201)
    response["Location"] = reverse("qc:upload-patch", args=[upload.pk])
    response["Upload-Offset"] = str(upload.offset_bytes)
    return response


@_tus
def upload_patch(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """Answer where an upload stands (HEAD), go on with it (PATCH), or take it out (DELETE)."""
    if request.method == "HEAD":
        upload = selectors.upload_for(request.user, upload_id)
        response = HttpResponse(status=200)
        response["Upload-Offset"] = str(upload.offset_bytes)
        response["Upload-Length"] = str(upload.length_bytes)
        return response
    if request.method == "PATCH":
        return _patch(request, upload_id)
    if request.method == "DELETE":
        services.upload_remove(upload_id=upload_id, actor=request.user)
        return HttpResponse(status=204)
    return _not_allowed("HEAD, PATCH, DELETE, OPTIONS")


def _patch(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    _check_type(request)
    offset_bytes = _number(request, "Upload-Offset")
    body_bytes = _body_bytes(request, required=True)
    upload = services.upload_append(
        upload_id=upload_id, actor=request.user, offset_bytes=offset_bytes, stream=request, checksum=_checksum(request)
    )
    whole = upload.offset_bytes == min(offset_bytes + body_bytes, upload.length_bytes)
    response = HttpResponse(status=204) if whole else _text(400, "The connection broke. What arrived is kept.")
    response["Upload-Offset"] = str(upload.offset_bytes)
    return response


def _options() -> HttpResponse:
    response = HttpResponse(status=204)
    response["Tus-Version"] = VERSION
    response["Tus-Extension"] = EXTENSIONS
    response["Tus-Max-Size"] = str(settings.UPLOAD_FILE_MAX_BYTES)
    response["Tus-Checksum-Algorithm"] = ",".join(CHECKSUM_ALGORITHMS)
    return response


def _check_type(request: HttpRequest) -> None:
    if request.content_type != BODY_TYPE:
        raise _Answer(415, f"Send {BODY_TYPE}.")


def _body_bytes(request: HttpRequest, *, required: bool) -> int:
    """Return the declared length of the body: bounded, and known before a byte is read."""
    declared = request.META.get("CONTENT_LENGTH") or ""
    if not declared.isdecimal():
        if required or declared:
            raise _Answer(411, "Say how long the body is (Content-Length).")
        return 0
    body_bytes = int(declared)
    if body_bytes > settings.UPLOAD_CHUNK_BYTES:
        raise _Answer(413, f"Send at most {settings.UPLOAD_CHUNK_BYTES} bytes at a time.")
    return body_bytes


def _number(request: HttpRequest, header: str) -> int:
    value = request.headers.get(header, "")
    if not value.isdecimal() or len(value) > 18:
        raise Refused(f"{header} must be a whole number.", code="UPLOAD-HEADER")
    return int(value)


def _metadata(header: str) -> dict[str, str]:
    """Read ``key base64,key base64``."""
    pairs: dict[str, str] = {}
    for pair in filter(None, header.split(",")):
        key, _, encoded = pair.strip().partition(" ")
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except ValueError as error:  # neither base64, nor ASCII at all, nor UTF-8
            raise Refused("Upload-Metadata is not base64 of text.", code="UPLOAD-HEADER") from error
        if "\0" in text:
            raise Refused("Upload-Metadata holds a NUL character.", code="UPLOAD-HEADER")
        pairs[key] = text
    return pairs


def _checksum(request: HttpRequest) -> Checksum | None:
    header = request.headers.get("Upload-Checksum")
    if not header:
        return None
    if not header.isascii():
        raise Refused("Upload-Checksum is not base64.", code="UPLOAD-HEADER")
    return parse_checksum(header)


def _not_allowed(methods: str) -> HttpResponse:
    response = _text(405, "This method means nothing here.")
    response["Allow"] = methods
    return response


def _text(status: int, text: str) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
