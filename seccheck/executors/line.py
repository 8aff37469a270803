"""One connection to the broker, for one thread: sends sealed texts, takes answers, hears calls."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from seccheck.executors.broker import TASK, Broker
from seccheck.executors.wire import CALLS, ORDER_SECONDS, queue_of_zone


class Lost(Exception):  # noqa: N818
    """The broker cannot be reached, or was lost; what was being sent may or may not have arrived."""


class Line:
    """A connection; every method raises `Lost`, after which it is of no more use."""

    def __init__(self, broker: Broker) -> None:
        from kombu import Exchange, Producer

        self._app = broker.app
        self._connection = self._app.connection_for_write()
        self._errors = (
            OSError,
            *self._connection.connection_errors,
            *self._connection.channel_errors,
            *self._connection.recoverable_connection_errors,
        )
        with self._guarded():
            self._connection.connect()
            self._channel = self._connection.channel()
            self._producer = Producer(self._channel)
            self._calls = Exchange(CALLS, type="fanout", durable=False, channel=self._channel)
            self._calls.declare()

    def _guarded(self) -> _Guard:
        return _Guard(self._errors)

    def call(self, text: str) -> None:
        """Say something to every worker."""
        self._publish(text, self._calls)

    def answer(self, queue: str, text: str) -> None:
        """Put a text into the queue of a run."""
        from kombu import Queue

        with self._guarded():
            Queue(queue, durable=True, channel=self._channel).declare()
        self._publish(text, None, queue)

    def _publish(self, text: str, exchange: Any, queue: str = "") -> None:
        with self._guarded():
            self._producer.publish(
                text,
                exchange=exchange or "",
                routing_key=queue,
                content_type="application/json",
                content_encoding="utf-8",
                retry=False,
            )

    def order(self, zone: str, text: str) -> None:
        """Put an order into the queue of a zone, as a Celery task."""
        with self._guarded():
            self._app.send_task(
                TASK,
                args=(text,),
                queue=queue_of_zone(zone),
                expires=ORDER_SECONDS * 4,
                ignore_result=True,
                producer=self._app.amqp.Producer(self._channel),
                retry=False,
            )

    def open_queue(self, queue: str) -> None:
        """Make the queue of a run."""
        from kombu import Queue

        with self._guarded():
            Queue(queue, durable=True, channel=self._channel).declare()

    def take(self, queue: str) -> str | bytes | None:
        """The next text in the queue of a run, gone from there; None when there is none."""
        with self._guarded():
            message = self._channel.basic_get(queue, no_ack=True)
        return None if message is None else message.body

    def drop(self, queue: str) -> None:
        """Remove the queue of a run."""
        with self._guarded():
            self._channel.queue_delete(queue)

    def listen(self, name: str, heard: Callable[[str | bytes], None]) -> None:
        """From now on tell `heard` every call, while in `hear`."""
        from kombu import Consumer, Queue

        queue = Queue(
            f"{CALLS}.{name}", exchange=self._calls, durable=False, auto_delete=True, channel=self._channel
        )
        with self._guarded():
            consumer = Consumer(self._channel, [queue], no_ack=True, on_message=lambda one: heard(one.body))
            consumer.consume()

    def hear(self, seconds: float) -> None:
        """Wait at most so long for a call."""
        with self._guarded(), contextlib.suppress(socket.timeout, TimeoutError):
            self._connection.drain_events(timeout=seconds)

    def close(self) -> None:
        """Close it, whatever its state."""
        with contextlib.suppress(Exception):
            self._connection.release()


class _Guard:
    """Turns the errors of a transport into `Lost`; waiting in vain is none."""

    def __init__(self, errors: tuple[type[BaseException], ...]) -> None:
        self._errors = errors

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        from kombu.exceptions import OperationalError

        if kind is None or issubclass(kind, TimeoutError):
            if kind is not None and not isinstance(error, socket.timeout):
                raise Lost(type(error).__name__) from None
            return
        if issubclass(kind, (*self._errors, OperationalError)):
            raise Lost(f"{kind.__name__}: {error}") from None
