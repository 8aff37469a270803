"""Plugins: values found through entry points, built-in ones and those of others alike."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Protocol, TypeVar

from seccheck.errors import PluginError


class Plugin(Protocol):
    """What every plugin has: an id, equal to the name of its entry point."""

    @property
    def id(self) -> str:
        """The id."""


T = TypeVar("T", bound=Plugin)


def load_plugins(group: str, kind: type[T]) -> dict[str, T]:
    """The plugins of an entry-point group by id, in order.

    Raises `PluginError` when one cannot be imported, is no `kind`, or has another id than its entry point.
    """
    plugins: dict[str, T] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            plugin = entry.load()
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"the plugin {entry.name!r} ({entry.value}) cannot be imported: {error}",
                next_step="reinstall seccheck, or the package that brings this plugin",
            ) from error
        if not isinstance(plugin, kind) or plugin.id != entry.name:
            raise PluginError(f"{entry.value} is not a {kind.__name__} with the id {entry.name!r}")
        plugins[plugin.id] = plugin
    return plugins
