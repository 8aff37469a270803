"""The 124 systems of the demonstration: whose they are, what they serve, and what is wrong with 28 of them.

The units are real bodies, the systems and findings are invented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from typing import Literal

from seccheck.demo.conduct import Conduct
from seccheck.demo.defects import DEFECTS, spoiled
from seccheck.errors import SeccheckError
from seccheck.model import Text

ServiceKind = Literal["https", "http", "ssh", "smtp", "imaps", "tcp"]
Profile = Literal["technical", "full"]

ZONE = "seccheck-demo.gov.vn"
"""The domain of the demonstration; the fleet's own name server alone knows it."""
NOT_REPORTING = ("bac-lieu", "vass", "vast", "vna", "vov", "hcmmausoleum", "cmsc")
"""One locality and six central bodies: units without a system have not reported."""


@dataclass(frozen=True)
class Kind:
    """A kind of system that many units have."""

    vi: str
    """The name; the unit's own name stands in it."""
    en: str
    level: int
    services: tuple[ServiceKind, ...]
    tags: tuple[str, ...] = ()


_SERVICE = "administrative-procedures"
_POPULATION = "npd-connected"
KINDS = {
    "dichvucong": Kind(
        "Hệ thống thông tin giải quyết thủ tục hành chính {}",
        "Administrative-procedure information system of {}",
        3,
        ("https", "http"),
        (_SERVICE, _POPULATION),
    ),
    "lgsp": Kind(
        "Nền tảng tích hợp, chia sẻ dữ liệu (LGSP) {}",
        "Data integration and sharing platform (LGSP) of {}",
        3,
        ("https", "ssh", "tcp"),
        ("data-sharing", _POPULATION),
    ),
    "portal": Kind("Cổng thông tin điện tử {}", "Web portal of {}", 2, ("https", "http"), ("portal",)),
    "mail": Kind(
        "Hệ thống thư điện tử công vụ {}",
        "Official e-mail system of {}",
        2,
        ("https", "smtp", "imaps"),
        ("mail",),
    ),
    "info": Kind(
        "Trang thông tin chuyển đổi số {}",
        "Digital-transformation information site of {}",
        1,
        ("https", "http"),
        ("portal",),
    ),
    # Systems of a single body.
    "hotich": Kind(
        "Hệ thống thông tin đăng ký và quản lý hộ tịch dùng chung",
        "Shared civil-status registration and management system",
        4,
        ("https", "ssh"),
        ("national", _POPULATION),
    ),
    "daugia": Kind("Cổng đấu giá tài sản quốc gia", "National property-auction portal", 3, ("https", "http")),
    "thue": Kind(
        "Hệ thống quản lý thuế điện tử", "Electronic tax-administration system", 3, ("https", "ssh")
    ),
    "doanhnghiep": Kind(
        "Hệ thống thông tin quốc gia về đăng ký doanh nghiệp",
        "National business-registration information system",
        3,
        ("https", "http"),
        ("national",),
    ),
    "ndxp": Kind(
        "Nền tảng tích hợp, chia sẻ dữ liệu quốc gia (NDXP)",
        "National data exchange platform (NDXP)",
        5,
        ("https", "ssh", "tcp"),
        ("data-sharing", "national", _POPULATION),
    ),
    "tiemchung": Kind(
        "Hệ thống thông tin quản lý tiêm chủng quốc gia",
        "National immunisation information system",
        3,
        ("https",),
    ),
    "giaoduc": Kind("Cơ sở dữ liệu ngành giáo dục", "Education-sector database", 3, ("https", "http")),
    "datdai": Kind(
        "Cơ sở dữ liệu quốc gia về đất đai", "National land database", 3, ("https",), ("national",)
    ),
    "laodong": Kind(
        "Cơ sở dữ liệu lao động, việc làm", "Labour and employment database", 3, ("https", "ssh")
    ),
    "giaypheplaixe": Kind(
        "Hệ thống thông tin giấy phép lái xe",
        "Driving-licence information system",
        3,
        ("https", "http"),
        (_POPULATION,),
    ),
    "dvcqg": Kind(
        "Cổng Dịch vụ công quốc gia",
        "National public service portal",
        5,
        ("https", "http"),
        (_SERVICE, "national", _POPULATION),
    ),
    "baohiem": Kind(
        "Cơ sở dữ liệu quốc gia về bảo hiểm",
        "National insurance database",
        3,
        ("https", "ssh"),
        ("national", _POPULATION),
    ),
    "baocao": Kind(
        "Hệ thống báo cáo thống kê ngân hàng", "Banking statistics reporting system", 3, ("https",)
    ),
    "xuatxu": Kind(
        "Hệ thống cấp giấy chứng nhận xuất xứ điện tử",
        "Electronic certificate-of-origin system",
        3,
        ("https", "http"),
    ),
}

_FURTHER: dict[str, tuple[str, ...]] = {
    "ha-noi": ("lgsp", "portal"),
    "ho-chi-minh": ("lgsp", "mail"),
    "da-nang": ("lgsp", "portal"),
    "hai-phong": ("lgsp",),
    "can-tho": ("lgsp",),
    "thua-thien-hue": ("lgsp",),
    "quang-ninh": ("mail",),
    "bac-ninh": ("lgsp",),
    "thai-nguyen": ("mail",),
    "lao-cai": ("portal",),
    "phu-tho": ("lgsp",),
    "thanh-hoa": ("lgsp",),
    "nghe-an": ("mail",),
    "ha-tinh": ("info",),
    "quang-nam": ("lgsp",),
    "binh-dinh": ("mail",),
    "khanh-hoa": ("portal",),
    "binh-duong": ("lgsp",),
    "dong-nai": ("lgsp",),
    "long-an": ("mail",),
    "an-giang": ("info",),
    "moj": ("hotich", "daugia"),
    "mof": ("thue", "mail"),
    "mic": ("ndxp", "portal"),
    "mpi": ("doanhnghiep",),
    "moh": ("tiemchung",),
    "moet": ("giaoduc",),
    "monre": ("datdai",),
    "molisa": ("laodong",),
    "mot": ("giaypheplaixe",),
    "oog": ("dvcqg",),
    "vss": ("baohiem",),
    "sbv": ("baocao",),
    "moit": ("xuatxu",),
}
"""What units have beside their administrative-procedure system, which every reporting unit has."""

_WRONG: dict[str, tuple[str, ...]] = {
    "ha-giang-dichvucong": ("tls10",),
    "cao-bang-dichvucong": ("no-hsts", "no-csp"),
    "dien-bien-dichvucong": ("expired",),
    "lai-chau-dichvucong": ("wrong-name",),
    "son-la-dichvucong": ("php-unsupported",),
    "yen-bai-dichvucong": ("unsigned-zone",),
    "hoa-binh-dichvucong": ("http-content",),
    "bac-giang-dichvucong": ("self-signed",),
    "hai-duong-dichvucong": ("cookie", "no-dmarc"),
    "thai-binh-dichvucong": ("no-tls13",),
    "ninh-binh-dichvucong": ("database", "zone-transfer"),
    "quang-binh-dichvucong": ("no-intermediate",),
    "quang-tri-dichvucong": ("ssl3",),
    "quang-nam-lgsp": ("old-ssh",),
    "phu-yen-dichvucong": ("short-dh", "dmarc-none"),
    "ninh-thuan-dichvucong": ("sha1",),
    "kon-tum-dichvucong": ("short-key", "no-nosniff"),
    "gia-lai-dichvucong": ("renegotiation",),
    "dak-nong-dichvucong": ("apache-exploited",),
    "binh-phuoc-dichvucong": ("3des", "rc4"),
    "tay-ninh-dichvucong": ("approved-desktop", "restore-untested"),
    "ben-tre-dichvucong": ("no-nosniff", "framing"),
    "an-giang-info": ("no-https",),
    "soc-trang-dichvucong": ("plain-on-https", "any-issuer"),
    "binh-dinh-mail": ("ftp", "no-tls13", "static-rsa"),
    "mocst-dichvucong": ("short-hsts", "apache-outdated", "dead-exchanger"),
    "mard-dichvucong": ("open-port", "compression", "expired-zone"),
    "moit-xuatxu": ("docker", "memcached"),
}
"""The systems that do not meet all criteria, and why."""

_INSTEAD: dict[str, tuple[str, ...]] = {
    "ninh-binh-dichvucong": ("tls11", "zone-transfer"),
    "tay-ninh-dichvucong": ("open-csp", "restore-untested"),
    "binh-dinh-mail": ("null", "self-signed"),
    "mard-dichvucong": ("compression", "expired-zone"),
    "moit-xuatxu": ("cbc", "no-hsts"),
}
"""The same systems where all share one address, on which an open port would be everybody's."""

_HIGHEST_WHERE_SHARED = 3
"""The highest level there: from level 4 every port is looked at, and on the one address that everything
else on this machine uses as well, some program always opens one in between."""

_DISCLOSES: dict[str, Conduct] = {
    "ha-noi-dichvucong": Conduct(server="nginx/1.24.0 (Ubuntu)"),
    "nghe-an-mail": Conduct(server="nginx/1.24.0 (Ubuntu)"),
    "dong-nai-lgsp": Conduct(ssh=replace(Conduct().ssh, identification="SSH-2.0-OpenSSH_10.0p2")),
    "monre-datdai": Conduct(server="nginx/1.24.0 (Ubuntu)"),
    "oog-dvcqg": Conduct(server="nginx"),
    "mic-ndxp": Conduct(server="Apache"),
}
"""What some systems say of their software. Nothing can be told from outside of those that name a version, for
distributions keep the number while they mend it: a document has to say."""


_OF_MAIL = {"TLS-03", "TLS-05", "CRT-01", "CRT-02", "CRT-03"}
"""What MAI-03 asks once more of mail servers."""


@dataclass(frozen=True)
class DemoSystem:
    """One information system of the demonstration."""

    id: str
    unit: str
    name: Text
    level: int
    tags: tuple[str, ...]
    services: tuple[ServiceKind, ...]
    label: str
    """The first label of its host names."""
    conduct: Conduct
    defects: tuple[str, ...] = ()

    @property
    def domain(self) -> str:
        """The domain of its unit, a zone of its own."""
        return f"{self.unit}.{ZONE}"

    @property
    def host(self) -> str:
        """The host name of its services, which the fleet's own name server knows."""
        return f"{self.label}.{self.domain}"

    def fails(self, profile: Profile = "full") -> set[str]:
        """The criteria it fails, by its defects."""
        shown = [DEFECTS[one] for one in self.defects]
        broken = set().union(
            *(one.breaks(self.level) for one in shown if profile == "full" or one.needs != "document")
        )
        mail = {"smtp", "imaps"} & set(self.services)
        return broken | {"MAI-03"} if mail and broken & _OF_MAIL else broken


@cache
def demo_units() -> dict[str, Text]:
    """The reporting units of 2024, localities and central bodies that are counted, by id."""
    from seccheck.units import load_units

    return {unit.id: unit.name for unit in load_units("vn-2024") if unit.kind != "other"}


def systems(
    *, one_address: bool = False, extra_defects: Mapping[str, Iterable[str]] | None = None
) -> list[DemoSystem]:
    """The systems, in the order of their units.

    `extra_defects` adds defects, by system; raises `SeccheckError` for what does not exist or cannot show.
    """
    wrong = dict(_WRONG) | (_INSTEAD if one_address else {})
    made = []
    for unit, name in demo_units().items():
        if unit in NOT_REPORTING:
            continue
        made += [_system(unit, name, kind, wrong) for kind in ("dichvucong", *_FURTHER.get(unit, ()))]
    extra = {id_: tuple(defects) for id_, defects in (extra_defects or {}).items()}
    for id_ in extra:
        _known(id_, [system.id for system in made], "system of the demonstration")
    result = [_with_defects(system, extra.get(system.id, ())) for system in made]
    alone = {unit for unit, count in Counter(one.unit for one in result).items() if count == 1}
    if one_address:
        result = [replace(system, level=min(system.level, _HIGHEST_WHERE_SHARED)) for system in result]
    for system in result:
        for defect in system.defects:
            _check_possible(system, defect, one_address=one_address, alone=system.unit in alone)
    return result


def _system(unit: str, name: Text, kind: str, defects: Mapping[str, tuple[str, ...]]) -> DemoSystem:
    what = KINDS[kind]
    id_ = f"{unit}-{kind}"
    system = DemoSystem(
        id=id_,
        unit=unit,
        name=Text(vi=what.vi.format(_inside_vi(name.vi)), en=what.en.format(_inside_en(name.en))),
        level=what.level,
        tags=what.tags,
        services=what.services,
        label=kind,
        conduct=_DISCLOSES.get(id_, Conduct()),
    )
    return _with_defects(system, defects.get(id_, ()))


def _with_defects(system: DemoSystem, defects: tuple[str, ...]) -> DemoSystem:
    for defect in defects:
        _known(defect, DEFECTS, "defect")
    conduct = spoiled(system.conduct, defects)
    services = tuple(one for one in system.services if one != "https" or conduct.https)
    return replace(system, conduct=conduct, services=services, defects=system.defects + defects)


def _check_possible(system: DemoSystem, defect: str, *, one_address: bool, alone: bool) -> None:
    needs = DEFECTS[defect].needs
    has = {"system", "document", *system.services}
    if alone:
        has.add("domain")
    if has & {"https", "smtp", "imaps"}:
        has.add("tls")
    if not one_address:
        has.add("address")
    if needs not in has:
        raise SeccheckError(
            f"{system.id} has no {needs} of its own, so the defect {defect!r} cannot show there",
            next_step="choose another system or another defect",
        )


def _known(name: str, known: Iterable[str], what: str) -> None:
    if name not in set(known):
        close = get_close_matches(name, list(known), 1)
        raise SeccheckError(
            f"{name!r} is no {what}",
            next_step=f"did you mean {close[0]!r}?" if close else "see the list of them",
        )


def _inside_vi(name: str) -> str:
    """The name of a unit inside a Vietnamese sentence: only its own name keeps its capitals."""
    for kind in ("Tỉnh ", "Thành phố "):
        if name.startswith(kind):
            return kind.lower() + name.removeprefix(kind)
    return name


def _inside_en(name: str) -> str:
    """The name of a unit inside an English sentence."""
    articled = ("Ministry", "Committee", "Office", "State Bank", "Government")
    return f"the {name}" if name.startswith(articled) else name
