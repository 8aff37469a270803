"""The broker that coordinator and workers meet at: Redis or RabbitMQ, over TLS unless it is on loopback."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from seccheck.errors import ExecutorError, InputError
from seccheck.hosts import is_loopback

if TYPE_CHECKING:
    from celery import Celery

TASK = "seccheck.look"
PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671}
_REDIS = "seccheck.executors.robust_redis:Transport"


@dataclass(frozen=True)
class Broker:
    """Where the broker is, and how it is reached. The password is never shown."""

    url: str
    password: str = field(default="", repr=False)
    ca: Path | None = None

    def __post_init__(self) -> None:
        place = "--broker"
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            raise InputError.at(place, "expected an address such as rediss://broker.example:6379/0") from None
        if parts.scheme not in PORTS or not parts.hostname or port == 0:
            raise InputError.at(
                place,
                "expected an address such as rediss://broker.example:6379/0 or amqps://broker.example",
            )
        if parts.password:
            raise InputError.at(
                place,
                "expected an address without a password: everybody on this machine sees it",
                hint="give --broker-password env:NAME or file:PATH",
            )
        if not self.local and parts.scheme in {"redis", "amqp"}:
            raise InputError.at(
                place,
                f"expected {parts.scheme}s://…: the broker is on another machine, and this has no TLS",
                hint="give the broker a certificate, and its authority as --broker-ca FILE",
            )
        if self.ca and not self.ca.is_file():
            raise InputError.at("--broker-ca", f"{self.ca}: expected a file with certificates (PEM)")

    @property
    def local(self) -> bool:
        """Whether it is on this very machine."""
        return is_loopback(urlsplit(self.url).hostname or "")

    @property
    def name(self) -> str:
        """How it is told of."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}:{parts.port or PORTS[parts.scheme]}"

    @cached_property
    def app(self) -> Celery:
        """The Celery application of this broker: JSON only, no remote control, no results kept there.

        Raises `ExecutorError` without the extra seccheck[celery].
        """
        try:
            from celery import Celery
        except ImportError:
            raise ExecutorError(
                "scanning from other machines needs Celery", next_step="pip install 'seccheck[celery]'"
            ) from None
        app = Celery("seccheck", set_as_current=False, fixups=[])
        app.conf.update(self._settings())
        return app

    def _settings(self) -> dict[str, Any]:
        parts = urlsplit(self.url)
        user = quote(unquote(parts.username or ""), safe="")
        secret = f"{user}:{quote(self.password, safe='')}@" if self.password else f"{user}@" if user else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        settings: dict[str, Any] = {
            "broker_url": f"{parts.scheme}://{secret}{host}:{parts.port or PORTS[parts.scheme]}{parts.path}",
            "broker_connection_timeout": 5,
            "broker_connection_retry_on_startup": True,
            "broker_connection_max_retries": None,
            "broker_pool_limit": 2,
            "task_serializer": "json",
            "accept_content": ["json"],
            "task_ignore_result": True,
            "task_acks_late": True,
            "task_reject_on_worker_lost": False,  # the coordinator alone sends an order again
            "task_create_missing_queues": True,
            "worker_prefetch_multiplier": 1,
            "worker_enable_remote_control": False,
            "worker_send_task_events": False,
            "worker_hijack_root_logger": False,
            "worker_redirect_stdouts": False,
            "worker_cancel_long_running_tasks_on_connection_loss": False,
            "enable_utc": True,
        }
        ca = str(self.ca) if self.ca else None
        if parts.scheme.startswith("redis"):
            settings["broker_transport"] = _REDIS
            settings["broker_transport_options"] = {
                "visibility_timeout": 86_400,
                "socket_connect_timeout": 5,
                "socket_timeout": 15,
                "socket_keepalive": True,
                "health_check_interval": 10,
                "retry_on_timeout": False,
            }
        if parts.scheme == "rediss":
            import ssl

            settings["broker_use_ssl"] = {
                "ssl_cert_reqs": ssl.CERT_REQUIRED,
                "ssl_ca_certs": ca,
                "ssl_check_hostname": True,
            }
        elif parts.scheme == "amqps":
            import ssl

            settings["broker_use_ssl"] = {
                "cert_reqs": ssl.CERT_REQUIRED,
                "ca_certs": ca,
                "server_hostname": parts.hostname,
            }
        return settings
