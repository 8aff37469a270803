"""Kombu's Redis transport, except that an entry in a list that is no message at all ends nothing.

Kombu takes it from the list and then raises where it is not JSON or has not its fields; Celery ends then.
"""

from __future__ import annotations

import logging
from queue import Empty
from typing import Any

from kombu.transport import redis

log = logging.getLogger("seccheck")
_GARBAGE = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)


class Channel(redis.Channel):  # type: ignore[misc]
    """A channel that passes over what is no message."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except _GARBAGE as error:
            log.warning("broker: something that is no message was thrown away: %s", type(error).__name__)
            raise Empty from None

    def basic_get(self, queue: str, no_ack: bool = False, **options: Any) -> Any:
        """The next message of a queue, or None."""
        while True:
            try:
                return super().basic_get(queue, no_ack=no_ack, **options)
            except _GARBAGE as error:
                log.warning("broker: something that is no message was thrown away: %s", type(error).__name__)

    def _receive_one(self, c: Any) -> Any:
        try:
            return super()._receive_one(c)
        except _GARBAGE as error:
            log.warning("broker: something that is no message was thrown away: %s", type(error).__name__)
            raise Empty from None


class Transport(redis.Transport):  # type: ignore[misc]
    """The transport with such channels."""

    Channel = Channel
