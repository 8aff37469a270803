"""Where an organisation's names begin: the organisational domain that DMARC falls back to (RFC 7489, 3.2).

A small list of our own instead of the Public Suffix List, which is large and changes weekly: the suffixes of
.vn, and the usual second levels elsewhere. Under a suffix that is not here, the organisation counts as one
level too high.
"""

from __future__ import annotations

_VN = """
    ac ai biz com edu gov health id info int io name net org pro

    angiang bacgiang backan baclieu bacninh baria-vungtau bentre binhdinh binhduong binhphuoc binhthuan camau
    cantho caobang daklak daknong danang dienbien dongnai dongthap gialai hagiang haiduong haiphong hanam
    hanoi hatinh haugiang hoabinh hungyen khanhhoa kiengiang kontum laichau lamdong langson laocai longan
    namdinh nghean ninhbinh ninhthuan phutho phuyen quangbinh quangnam quangngai quangninh quangtri soctrang
    sonla tayninh thaibinh thainguyen thanhhoa thanhphohochiminh thuathienhue tiengiang travinh tuyenquang
    vinhlong vinhphuc yenbai
"""
SUFFIXES = frozenset(f"{label}.vn" for label in _VN.split())
"""Names under .vn below which organisations register."""
_SECOND_LEVELS = frozenset({"ac", "co", "com", "edu", "go", "gob", "gov", "mil", "ne", "net", "or", "org"})


def organisational_domain(name: str) -> str:
    """The name an organisation registered, of which `name` is part; `name` itself when it is a suffix."""
    labels = name.rstrip(".").lower().split(".")
    country = len(labels[-1]) == 2
    second = ".".join(labels[-2:])
    if second in SUFFIXES or (
        country and not second.endswith(".vn") and len(labels) > 1 and labels[-2] in _SECOND_LEVELS
    ):
        return ".".join(labels[-3:])
    return second
