"""The transport chapter: the envelope around every answer.

Source: OCPI 2.2.1, transport_and_format.
"""

from __future__ import annotations

from typing import Annotated, Any

from hub.ocpi.types import DateTime, Integer, OcpiObject, String


class Response(OcpiObject):
    """The envelope of every answer.

    Source: OCPI 2.2.1, transport_and_format § Response format.
    """

    data: Any = None
    status_code: Integer
    status_message: Annotated[str, String()] | None = None
    timestamp: DateTime
