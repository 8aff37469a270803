"""Everything that a report says is there in Vietnamese, and with the same values in it."""

from __future__ import annotations

import re

import pytest

from seccheck.reports.words import Words
from tests.reports.catalogue import translated, wanted

PLACEHOLDER = re.compile(r"%\([a-z]+\)s|</?b>")


def test_no_string_is_untranslated():
    have, want = translated("vi"), wanted()
    assert [f"{want[text]}: {text}" for text in want if not have.get(text)] == []


def test_no_translation_is_left_over():
    assert sorted(translated("vi").keys() - wanted().keys(), key=str) == []


def test_translations_keep_their_values():
    for text, said in translated("vi").items():
        source = text if isinstance(text, str) else text[1]
        assert set(PLACEHOLDER.findall(said)) <= set(PLACEHOLDER.findall(source)), source
        assert len(set(PLACEHOLDER.findall(source)) - set(PLACEHOLDER.findall(said))) == 0, source


@pytest.mark.parametrize(
    ("language", "day", "time", "number"),
    [
        ("vi", "8/6/2024", "22:12 ngày 8/6/2024", "10.000"),
        ("en", "8 June 2024", "22:12, 8 June 2024", "10,000"),
    ],
)
def test_dates_and_numbers_are_those_of_the_language(language, day, time, number):
    words = Words(language)
    assert words.day("2024-06-08") == day
    assert words.time("2024-06-08T15:12:04Z") == time
    assert words.number(10000) == number
    assert words.day("no date") == "no date"
    assert (words.signed(14), words.signed(-3), words.signed(0)) == ("+14", "−3", "0")


def test_what_evidence_records_is_said_in_the_language_of_the_reader():
    words = Words("vi")
    assert words.expected("none of: null, rc4") == "không gồm: null, rc4"
    assert words.expected("not one of: a") == "không phải một trong: a"
    assert words.value("true") == "có"
    assert Words("en").expected("only: TLSv1.3") == "only: TLSv1.3"
    assert words.value("? (not-probed)") == "không kiểm tra"
    assert words.value("? (timeout)") == "chưa rõ: Dịch vụ không trả lời trong thời gian quy định"


def test_places_are_cited_as_the_sources_cite_them():
    vi, en = Words("vi"), Words("en")
    clause = "Art. 12–18; Art. 20.2.đ; Art. 9.9–9.10; App. II–V; 5–9.2.1.2; evidence_months"
    assert en.cited("Decree", "", clause) == (
        "Decree, Art. 12–18; Art. 20.2.đ; Art. 9.9–9.10; App. II–V; clause 5–9.2.1.2; evidence_months"
    )
    assert vi.cited("Nghị định", "85/2016/NĐ-CP", clause) == (
        "Nghị định (85/2016/NĐ-CP), Điều 12–18; điểm đ khoản 2 Điều 20; khoản 9 đến khoản 10 Điều 9; "
        "Phụ lục II–V; mục 5–9.2.1.2; evidence_months"
    )
    assert vi.cited("Luật số 24/2018/QH14", "24/2018/QH14", "") == "Luật số 24/2018/QH14"
