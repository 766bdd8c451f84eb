"""The parameters of a request: from its address and from its body, as form or multipart, always UTF-8."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, create_form_parser
from starlette.requests import Request

from sublingual.service.limits import Limits, RefusedError

_MAX_PARAMETERS = 100
_DRAINED = 16  # how many times the allowed size is read and forgotten, so that the client comes to hear the refusal


async def read_parameters(request: Request, limits: Limits) -> dict[str, str]:
    """The parameters by name, those of the body before those of the address; the last of equals.

    Raises RefusedError for a body that is too large, too slow, of another type, malformed or not UTF-8.
    """
    found = _of_form(request.scope["query_string"])
    if request.method == "POST":
        found |= _of_body(await read_body(request, limits), request.headers.get("content-type", ""))
    return found


async def read_body(request: Request, limits: Limits) -> bytes:
    """The body. Raises RefusedError where it is longer than allowed, or slower."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.receive_seconds):
            async for part in request.stream():
                size += len(part)
                if size <= limits.body:
                    parts.append(part)
                elif size > _DRAINED * limits.body:
                    break
    except TimeoutError:
        raise RefusedError(f"The payload did not arrive within {limits.receive_seconds:g} s.", status=408) from None
    if size > limits.body:
        raise RefusedError(f"The payload size is too large. At most {limits.body} bytes are taken: send it in parts.")
    return b"".join(parts)


def text_of(raw: bytes) -> str:
    """`raw` as text; raises RefusedError where it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise _not_utf8(raw[fault.start]) from fault


def _not_utf8(byte: int) -> RefusedError:
    return RefusedError(f"The parameters are not in UTF-8: byte 0x{byte:02x}. Convert them, e.g. iconv -t utf-8.")


def _of_body(body: bytes, content_type: str) -> dict[str, str]:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _of_multipart(body, content_type)
    if kind == "application/x-www-form-urlencoded":
        return _of_form(body)
    if body:
        raise RefusedError(f"Unsupported payload Content-Type '{kind[:100]}'. Send a form, urlencoded or multipart.")
    return {}


def _of_form(raw: bytes) -> dict[str, str]:
    text = text_of(raw)
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS))
    except UnicodeDecodeError as fault:
        raise _not_utf8(fault.object[fault.start]) from fault
    except ValueError as fault:
        raise _too_many() from fault


def _of_multipart(body: bytes, content_type: str) -> dict[str, str]:
    """Any part with a name counts, files too (`curl -F data=@file`)."""
    found: list[tuple[bytes | None, bytes | None]] = []

    def on_field(field: Field) -> None:
        found.append((field.field_name, field.value))
        _refuse_more(len(found))

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        found.append((file.field_name, file.file_object.read()))
        _refuse_more(len(found))

    sizes = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}  # nothing goes to the disk
    try:
        parser = create_form_parser({"Content-Type": content_type.encode("latin-1")}, on_field, on_file, config=sizes)
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as fault:
        raise RefusedError(f"The multipart payload is malformed: {fault}.") from fault
    return {text_of(name or b""): text_of(value or b"") for name, value in found}


def _too_many() -> RefusedError:
    return RefusedError(f"More than {_MAX_PARAMETERS} parameters.")


def _refuse_more(n: int) -> None:
    if n > _MAX_PARAMETERS:
        raise _too_many()
