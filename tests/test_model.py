"""Verdict logic, canonical bytes, and text from servers made safe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.model import Verdict, all_of, any_of, canonical, digest, negation, safe_text

P, F, I = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE  # noqa: E741


@pytest.mark.parametrize(
    ("verdicts", "all_", "any_"),
    [([P, P], P, P), ([P, F], F, P), ([P, I], I, P), ([F, I], F, I), ([F, F], F, F), ([I], I, I)],
)
def test_three_valued_joins(verdicts, all_, any_):
    assert all_of(verdicts) is all_
    assert any_of(verdicts) is any_


@given(st.lists(st.sampled_from([P, F, I]), min_size=1))
def test_de_morgan_holds(verdicts):
    assert negation(all_of(verdicts)) is any_of(negation(one) for one in verdicts)


def test_equal_values_have_equal_digests_whatever_their_order():
    assert digest({"b": 1, "a": [1, 2]}) == digest({"a": [1, 2], "b": 1})
    assert canonical({"b": 1, "a": None}) == b'{"a":null,"b":1}'


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"nginx/1.22", "nginx/1.22"),
        (b"\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("Cổng dịch vụ công", "Cổng dịch vụ công"),
        (b"\xff\xfeab\x00", r"\xff\xfeab\x00"),
        ("abc\u202edef", r"abc\u202edef"),
        ("a\r\nb", r"a\x0d\x0ab"),
        ("\x9b31m", r"\x9b31m"),
    ],
)
def test_text_from_servers_is_made_visible(raw, shown):
    assert safe_text(raw) == shown


def test_long_text_is_cut_and_says_its_length():
    assert safe_text("x" * 5000, 10) == "xxxxxxxxxx… (5000 characters)"
    assert safe_text(b"x" * 5_000_000, 10).endswith("(5000000 bytes)")


@given(st.binary(max_size=300))
def test_no_control_character_survives(raw):
    assert all(char.isprintable() or char == "\xa0" or ord(char) >= 0xA0 for char in safe_text(raw))
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in safe_text(raw))
