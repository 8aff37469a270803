"""An HTML report as a whole: where its pages lie, how they link, and how one is rendered."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from seccheck.reports.overview import Blocker, Overview, Row
from seccheck.reports.repeat import where
from seccheck.reports.run import CriterionEntry, Finding
from seccheck.reports.ways import Step
from seccheck.reports.words import Words, visible_or_same
from seccheck.resources import bundled

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = bundled("report_templates")
SHAPES = {
    "meets": "meets",
    "does-not-meet": "does-not-meet",
    "not-concluded": "not-concluded",
    "unassessed": "unassessed",
    "pass": "meets",
    "fail": "does-not-meet",
    "inconclusive": "not-concluded",
    "waived": "unassessed",
}
"""How statuses and verdicts look: one colour and shape means one thing everywhere."""
PRODUCTS = {
    "apache": "Apache",
    "cloudflare": "Cloudflare",
    "cisco": "Cisco",
    "dovecot": "Dovecot",
    "fortinet": "Fortinet",
    "haproxy": "HAProxy",
    "iis": "IIS",
    "linux": "Linux",
    "mikrotik": "MikroTik",
    "openssh": "OpenSSH",
    "paloalto": "Palo Alto Networks",
    "php": "PHP",
    "postfix": "Postfix",
    "tomcat": "Tomcat",
    "windows": "Windows",
}
"""How products are written whose settings stand in a remedy."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)


def file_name(name: str) -> str:
    """An id as a file name that every system accepts (Windows keeps `con`, `nul` and others for itself)."""
    return f"{name}~" if _RESERVED.match(name) or name.endswith(".") else name


def unit_key(unit: str) -> str:
    """The page of a unit."""
    return f"unit/{file_name(unit)}"


def system_key(row: Row) -> str:
    """The page of a system; in a folder of its unit, so that no folder grows too large."""
    return f"system/{file_name(row.unit)}/{file_name(row.id)}"


def finding_name(one: Finding | Blocker) -> str:
    """What a finding is called on its system's page."""
    target = one.target and re.sub(r"[^A-Za-z0-9._-]", "_", one.target)
    return f"{one.criterion}.{target}" if target else one.criterion


@dataclass(frozen=True)
class Links:
    """Where pages lie, seen from one of them."""

    root: str = ""
    extension: str = ".html"
    single: bool = False
    first: str = "index"
    """The page that stands first: the nation's, or the unit's in an edition for one unit."""

    def to(self, page: str, name: str = "") -> str:
        """The address of `page`, or of a place in it."""
        if self.single:  # where the list of all systems is the lists of the units
            return f"#{self.anchor('units' if page == 'systems/all' else page, name)}"
        file = "index.html" if page == self.first else f"{page}{self.extension}"
        return f"{self.root}{file}{'#' if name else ''}{name}"

    def anchor(self, page: str, name: str = "") -> str:
        """What a place in a page is called."""
        if not self.single:
            return name
        return f"{page}--{name}" if name else page

    def unit(self, unit: str) -> str:
        """The address of a unit's page."""
        return self.to(unit_key(unit))

    def system(self, row: Row, one: Blocker | None = None) -> str:
        """The address of a system's page, or of a finding on it."""
        return self.to(system_key(row), finding_name(one) if one else "")

    def criterion(self, criterion: str) -> str:
        """The address of a criterion's page."""
        return self.to(f"criterion/{criterion}")


@dataclass
class Page:
    """One page: which template, under which title, with what."""

    key: str
    template: str
    title: str
    menu: str = ""
    crumbs: list[tuple[str, str]] = field(default_factory=list)
    heading: str = ""
    lead: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def opens_sheet(self) -> bool:
        """Whether it begins on a new sheet when the whole report is printed."""
        if self.template == "unit":
            return bool(self.data["steps"])
        return self.template not in {"system", "systems", "criterion"}

    def __post_init__(self) -> None:
        self.heading = self.heading or self.title
        self.menu = self.menu or self.key


class Site:
    """What all pages of one report share, and how a page becomes text."""

    def __init__(self, overview: Overview, *, single: bool = False, margins: str = "") -> None:
        """`single`: all pages in one file; `margins`: of the sheets it is printed on, as a style sheet."""
        self.overview = overview
        self.options = overview.options
        self.scan = overview.scan
        self.language = overview.options.language
        self.words = Words(self.language, narrowed=self.scan.selection.narrowed)
        self.single = single
        self.margins = margins
        self.extension = ".demo.html" if self.scan.demonstration else ".html"
        self.first = unit_key(self.options.unit) if self.options.unit else "index"

    def links(self, key: str) -> Links:
        """The links as seen from the page `key`."""
        root = "" if key == self.first else "../" * key.count("/")
        return Links(root, self.extension, self.single, self.first)

    def path(self, key: str) -> str:
        """The file of the page `key`, below the report's folder."""
        return Links("", self.extension, first=self.first).to(key)

    def render(self, page: Page, template: str = "base.html") -> str:
        """The whole page, or with another template a part of it."""
        return self.environment.get_template(template).render(
            page=page, links=self.links(page.key), **page.data
        )

    def stream(self, page: Page, template: str = "base.html") -> Iterator[str]:
        """The whole page in pieces: long lists are never held as one text."""
        pieces = self.environment.get_template(template).stream(
            page=page, links=self.links(page.key), **page.data
        )
        pieces.enable_buffering(500)
        return iter(pieces)

    # ------------------------------------------------------------------------------------------ names

    def statement(self, criterion: str) -> str:
        """What a criterion asks, with the values of all levels."""
        entry = self.overview.criteria.get(criterion)
        return entry.said(self.language) if entry else criterion

    def remedy(self, criterion: CriterionEntry, level: int = 0, *, settings: bool = True) -> Markup:
        """How to mend: a sentence, then the settings of each product."""
        sentence = criterion.remedy.get(self.language) or criterion.remedy.get("en", "")
        for name, value in criterion.at_level(level).items() if level else ():
            sentence = sentence.replace(f"{{{name}}}", value)
        products = [
            (PRODUCTS.get(name, name), text)
            for name, text in criterion.remedy.items()
            if settings and name not in {"vi", "en"}
        ]
        module: Any = self.environment.get_template("blocks.html").module
        remedy: Markup = module.settings(sentence, products)
        return remedy

    def name(self, system: str) -> str:
        """The name of a system."""
        return self.overview.system_name(system, self.language)

    def unit_name(self, unit: str) -> str:
        """The name of a unit."""
        return self.overview.unit_name(unit, self.language)

    def first_name(self) -> str:
        """What the first page is called."""
        if self.options.unit:
            return self.unit_name(self.options.unit)
        say = self.words.gettext
        national = (self.overview.run.registry.unit_list or "").startswith("vn-")
        return say("National summary") if national else say("Summary")

    def reference(self) -> list[tuple[str, str]]:
        """The reference data the run was judged by, and its dates."""
        feeds = self.scan.reference if isinstance(self.scan.reference, dict) else {}
        return [
            (self.words.reference(name), feed["date"])
            for name, feed in sorted(feeds.items())
            if isinstance(feed, dict) and feed.get("date")
        ]

    def _reference_days(self) -> str:
        """The oldest and the newest of their dates."""
        days = sorted({day for _, day in self.reference()})
        return " – ".join(self.words.day(day) for day in (days if len(days) < 2 else (days[0], days[-1])))

    def why_open(self, step: Step) -> list[str]:
        """The reasons why what a step settles is open, where one or two are all."""
        reasons = {
            one.reason
            for system in (step.systems if step.settles else ())
            for one in self.overview.rows_by_id[system].blockers
            if one.reason and (one.criterion, one.verdict) in step.criteria
        }
        return sorted(reasons) if len(reasons) <= 2 else []

    def _set_line(self) -> str:
        say = self.words.gettext
        profile = self.scan.criteria.profile
        name = {"technical": say("technical profile"), "full": say("full profile")}.get(profile, profile)
        return f"{self.overview.run.criteria.set.name.get(self.language)} · {name}"

    def _menu(self) -> list[tuple[str, str]]:
        say = self.words.gettext
        criteria, about = ("criteria", say("Criteria")), ("about", say("How to read this report"))
        if self.options.unit:
            return [(self.first, say("Summary")), criteria, about]
        systems = ("systems/all", say("Systems"))
        return [
            ("index", self.first_name()),
            ("units", say("Units")),
            *([] if self.single else [systems]),
            criteria,
            ("way-up", say("The shortest way up")),
            about,
        ]

    # ------------------------------------------------------------------------------------------ form

    @cached_property
    def environment(self) -> Environment:
        """The templates, autoescaping, with everything that is the same on every page."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=visible_or_same,
        )
        environment.install_gettext_callables(  # type: ignore[attr-defined]
            self.words.gettext, self.words.ngettext, newstyle=True
        )
        environment.globals.update(
            words=self.words,
            scan=self.scan,
            selection=self.scan.selection,
            public=self.options.public,
            unit=self.options.unit,
            review=self.overview.registry_name(self.language),
            set_line=self._set_line(),
            menu=self._menu(),
            reference=self.reference(),
            reference_days=self._reference_days(),
            row_of=self.overview.rows_by_id,
            why_open=self.why_open,
            results_digest=self.overview.run.results_digest,
            signature=self.options.signature,
            short=short_digest,
            shape=SHAPES,
            statement=self.statement,
            names=self.name,
            unit_names=self.unit_name,
            policy=self.policy,
            where=where,
            style=Markup(self.style) if self.single else "",  # noqa: S704 - our own style sheet
        )
        return environment

    @cached_property
    def style(self) -> str:
        """The style sheet with both faces of the font inside."""
        faces = "".join(
            f'@font-face{{font-family:"Be Vietnam Pro";font-weight:{weight};font-display:swap;'
            f"src:url(data:font/woff2;base64,"
            f"{_base64(TEMPLATES / 'fonts' / f'be-vietnam-pro-{weight}.woff2')}"
            ') format("woff2")}\n'
            for weight in (400, 600)
        )
        return faces + (TEMPLATES / "report.css").read_text("utf-8") + self.margins

    @cached_property
    def policy(self) -> str:
        """The content security policy: no script, nothing from elsewhere.

        `file:` stands beside 'self' because some browsers never match 'self' on pages opened from a disk.
        """
        style = "'self' file:"
        if self.single:
            digest = hashlib.sha256(self.style.encode()).digest()
            style = f"'sha256-{base64.b64encode(digest).decode()}'"
        return (
            f"default-src 'none'; style-src {style}; font-src data:; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )


def short_digest(digest: str) -> str:
    """The beginning and end of a digest."""
    return f"{digest[:15]}…{digest[-6:]}" if len(digest) > 24 else digest


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
