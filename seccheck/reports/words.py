"""The language of a report: gettext catalogue, names of verdicts, dates and numbers as readers write them.

Source strings are English. `report_templates/locale/<language>/LC_MESSAGES/report.po` is compiled in memory,
so there is no compiled file to go stale.
"""

from __future__ import annotations

import gettext
import io
import re
import unicodedata
from datetime import date, datetime
from functools import cache, cached_property, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from seccheck.resources import bundled

TIME_ZONE = "Asia/Ho_Chi_Minh"


def _(text: str) -> str:
    """Mark `text` for translation; `Words.gettext` translates it when it is shown."""
    return text


STATUS_NAMES = {
    "meets": _("Meets all"),
    "does-not-meet": _("Does not meet all"),
    "not-concluded": _("Not concluded"),
    "unassessed": _("Not assessed"),
}
NARROW_STATUS_NAMES = {**STATUS_NAMES, "meets": _("Meets the selected criteria")}
VERDICT_NAMES = {
    "pass": _("Pass"),
    "fail": _("Fail"),
    "inconclusive": _("Not concluded"),
    "not-applicable": _("Not applicable"),
    "waived": _("Waived"),
}
SEVERITY_NAMES = {
    "critical": _("critical"),
    "high": _("high"),
    "medium": _("medium"),
    "low": _("low"),
}
KIND_NAMES = {
    "ministry": _("ministries and central bodies"),
    "locality": _("localities"),
    "enterprise": _("enterprises"),
    "other": _("other bodies"),
}
KIND_TITLES = {
    "ministry": _("Ministries and central bodies"),
    "locality": _("Localities"),
    "enterprise": _("Enterprises"),
    "other": _("Other bodies"),
}
BASIS_NAMES = {
    "binding": _("binding"),
    "by-analogy": _("by analogy"),
    "interpretation": _("interpretation"),
    "project-choice": _("choice of this project"),
}
REASONS = {
    "unreachable": _("The service could not be reached from where the scan looked."),
    "timeout": _("The service did not answer in time."),
    "rate-limited": _(
        "The service, or something before it, began to refuse connections while it was looked at."
    ),
    "contradictory": _("Answers contradicted each other, so none of them was relied on."),
    "resolver": _("The name could not be resolved reliably."),
    "access": _("The service asks for a client certificate or a login before it shows anything."),
    "not-offered": _("The service does not offer what this criterion looks at."),
    "out-of-scope": _("The answer led outside the registered networks, where the scan does not follow."),
    "undisclosed": _("The service does not show its version, so only a document can decide."),
    "backport-possible": _(
        "The version shown may carry corrections brought back by its distribution; a document can decide."
    ),
    "stale": _(
        "The reference data was too old on the day to rule out newer flaws;"
        " bring it up to date (seccheck feeds update) and scan again."
    ),
    "no-data": _("The reference data says nothing about this product."),
    "no-valid-evidence": _("The document that would decide is missing, out of date or changed."),
    "not-probed": _(
        "It was not looked at: outside the permitted hours, the scope, or the place to look from."
    ),
    "crashed": _("The examination broke off and was not repeated."),
    "bug": _("The examination failed by a mistake of the program; please report it."),
}
EXPECTATIONS = (
    ("one of: ", _("one of: ")),
    ("only: ", _("only: ")),
    ("none of: ", _("none of: ")),
    ("includes ", _("includes ")),
    ("matches ", _("matches ")),
    ("after ", _("after ")),
    ("before ", _("before ")),
    ("still maintained on ", _("still maintained on ")),
    ("no flaw that is known to be exploited", _("no flaw that is known to be exploited")),
)
"""How an expectation begins in the evidence, which is recorded in English."""
DOUBT = re.compile(r"\? \(([a-z-]+)\)")
"""How the evidence records what could not be told, and why."""
NOT_LOOKED_AT = "? (not-probed)"
"""The same, where nobody looked; often because something else had decided already."""
PLACES = (
    (re.compile(r"Art\. (?P<article>[\d–]+)"), _("Art. %(article)s")),
    (re.compile(r"Art\. (?P<article>\d+)\.(?P<clause>\d+)"), _("Art. %(article)s.%(clause)s")),
    (
        re.compile(r"Art\. (?P<article>\d+)\.(?P<clause>\d+)–(?P=article)\.(?P<last>\d+)"),
        _("Art. %(article)s.%(clause)s–%(article)s.%(last)s"),
    ),
    (
        re.compile(r"Art\. (?P<article>\d+)\.(?P<clause>\d+)\.(?P<point>\w)"),
        _("Art. %(article)s.%(clause)s.%(point)s"),
    ),
    (re.compile(r"App\. (?P<part>[IVX–]+)"), _("App. %(part)s")),
    (re.compile(r"(?P<clause>\d.*)"), _("clause %(clause)s")),
)
"""Places in a source, as the criteria write them."""
NEWEST = re.compile(r"the newest patch level, or one superseded at most (\d+) days ago")
VALUES = {
    "true": _("true"),
    "false": _("false"),
    "met": _("met"),
    "not-met": _("not met"),
    "empty": _("empty"),
}
DECIDERS = {"probe": _("probe"), "document": _("document"), "registry": _("registry")}
REFERENCE_NAMES = {
    "eol": _("Support dates of products"),
    "kev": _("Known exploited vulnerabilities"),
    "releases": _("Release dates of versions"),
    "backports": _("Corrected packages of distributions"),
    "builds": _("Builds of products"),
    "debian": _("Packages of Debian"),
    "ubuntu": _("Packages of Ubuntu"),
    "products": _("Names of products"),
    "ranges": _("Versions with known flaws"),
}


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The catalogue of `language`; the source strings themselves for English."""
    if language == "en":
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    path = bundled("report_templates") / "locale" / language / "LC_MESSAGES" / "report.po"
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def visible(text: str) -> str:
    """`text` with control characters, text direction overrides and the like written out as escapes.

    What servers say was made safe when it was recorded; this holds for whatever else ends in a report.
    """
    if text.isprintable():
        return text
    return "".join(
        sign
        if sign.isprintable() or sign in "\n\t" or unicodedata.category(sign) == "Zs"
        else f"\\u{ord(sign):04x}"
        for sign in text
    )


def visible_or_same(value: object) -> object:
    """`visible` for text that is not yet safe; any other value as it is."""
    return visible(value) if type(value) is str else value


class Words:
    """Everything said in one language."""

    def __init__(self, language: str, *, narrowed: bool = False) -> None:
        self.language = language
        self._catalogue = translations(language)
        self.gettext = self._catalogue.gettext
        self.ngettext = self._catalogue.ngettext
        self._status = NARROW_STATUS_NAMES if narrowed else STATUS_NAMES

    def _table(self, table: dict[str, str]) -> dict[str, str]:
        return {key: self.gettext(text) for key, text in table.items()}

    @cached_property
    def statuses(self) -> dict[str, str]:
        """Names of system statuses."""
        return self._table(self._status)

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """Names of verdicts."""
        return self._table(VERDICT_NAMES)

    @cached_property
    def severities(self) -> dict[str, str]:
        """Names of severities."""
        return self._table(SEVERITY_NAMES)

    def severity(self, name: str) -> str:
        """How grave a criterion is: severity: high."""
        return self.gettext("severity: %(severity)s") % {"severity": self.severities.get(name, name)}

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Kinds of unit, as they stand in a sentence."""
        return self._table(KIND_NAMES)

    @cached_property
    def kind_titles(self) -> dict[str, str]:
        """Kinds of unit, as a heading."""
        return self._table(KIND_TITLES)

    @cached_property
    def bases(self) -> dict[str, str]:
        """How a criterion rests on its source."""
        return self._table(BASIS_NAMES)

    @cached_property
    def deciders(self) -> dict[str, str]:
        """What a finding rests on."""
        return self._table(DECIDERS)

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Why something could not be concluded, in a sentence."""
        return self._table(REASONS)

    def expected(self, text: str) -> str:
        """What evidence records as expected, its first words in this language."""
        if text.startswith("not "):
            return self.gettext("not %(what)s") % {"what": self.expected(text[4:])}
        if newest := NEWEST.fullmatch(text):
            return self.gettext("the newest patch level, or one superseded at most %(days)s days ago") % {
                "days": newest[1]
            }
        for start, said in EXPECTATIONS:
            if text.startswith(start):
                return self.gettext(said) + text[len(start) :]
        return self.value(text)

    def value(self, text: str) -> str:
        """A value of the evidence: a yes, a no or a doubt in this language, anything else as it is."""
        if text == NOT_LOOKED_AT:
            return self.gettext("not looked at")
        if (doubt := DOUBT.fullmatch(text)) and doubt[1] in REASONS:
            return self.gettext("unknown: %(why)s") % {"why": self.reasons[doubt[1]].rstrip(".")}
        first, mark, rest = text.partition(" (")
        return f"{self.gettext(VALUES[first])}{mark}{rest}" if first in VALUES else text

    def cited(self, title: str, number: str, clause: str) -> str:
        """A source and the places in it: Decree on … (85/2016/NĐ-CP), Art. 20.2.d."""
        named = f"{title} ({number})" if number and number not in title else title
        places = "; ".join(self._place(part) for part in clause.split("; "))
        return f"{named}, {places}" if clause else named

    def _place(self, text: str) -> str:
        """A place as its source's language cites it: in Vietnamese from the point up to the article."""
        for pattern, said in PLACES:
            if place := pattern.fullmatch(text):
                return self.gettext(said) % place.groupdict()
        return text

    def reference(self, name: str) -> str:
        """What a reference snapshot is about."""
        return self.gettext(REFERENCE_NAMES[name]) if name in REFERENCE_NAMES else name

    def number(self, number: float) -> str:
        """A number with the thousands marked as in this language."""
        return _number(number, self.language)

    def percent(self, part: int, whole: int) -> str:
        """A share, rounded down so that 100 % means all."""
        from babel.numbers import format_percent

        return format_percent(100 * part // whole / 100, locale=self.language)

    def signed(self, number: int) -> str:
        """A difference: +14, −3, 0."""
        return f"{'+' if number > 0 else '−' if number < 0 else ''}{self.number(abs(number))}"

    def day(self, text: str | date) -> str:
        """The day of a date or RFC 3339 time, in the time zone of the report."""
        return _shown(str(text), self.language, self.gettext("d MMMM y"))

    def time(self, text: str) -> str:
        """The minute of an RFC 3339 time, in the time zone of the report."""
        if len(text) <= 10:
            return self.day(text)
        return _shown(text, self.language, self.gettext("HH:mm, d MMMM y"))

    def span(self, start: str, end: str) -> str:
        """From one minute to another, the day once where both lie on it."""
        first, last = self.time(start), self.time(end)
        if len(start) <= 10 or first == last or self.day(start) != self.day(end):
            return first if first == last else f"{first} – {last}"
        return self.gettext("%(start)s–%(end)s on %(day)s") % {
            "start": _shown(start, self.language, "HH:mm"),
            "end": _shown(end, self.language, "HH:mm"),
            "day": self.day(end),
        }

    def join(self, items: list[Any]) -> str:
        """A list in a sentence: a, b and c."""
        from babel.lists import format_list

        return format_list([str(item) for item in items], locale=self.language) if items else ""


@lru_cache(maxsize=65536)
def _number(number: float, language: str) -> str:
    from babel.numbers import format_decimal

    return format_decimal(number, locale=language)


@lru_cache(maxsize=65536)
def _shown(text: str, language: str, pattern: str) -> str:
    """`text` as a date by a CLDR pattern; what is no date stays as it is."""
    from babel.dates import format_date, format_datetime

    try:
        if len(text) <= 10:
            return format_date(date.fromisoformat(text), pattern, locale=language)
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return format_datetime(moment, pattern, tzinfo=ZoneInfo(TIME_ZONE), locale=language)
