# ruff: noqa: E501 (a mistake stands on one line)
"""The way of a new author of criteria, by the code blocks of criteria/README.md alone, and each slip on it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from seccheck.authoring import check
from seccheck.errors import InputError
from tests import small

README = (Path(__file__).parents[1] / "criteria" / "README.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- example: (\S+) -->\n```yaml\n(.*?)```", README, re.DOTALL))
COMMANDS = re.findall(r"^    seccheck (criteria .*)$", README, re.MULTILINE)
OWN, SET = "own.yaml", "our-set.yaml"
TLS = "expect: {fact: tls.extended_master_secret, equals: true}"
APPLIES = "applies_if: {fact: target.tls, equals: true}"
LAST = "  - {given: {tls: {failed: timeout}}, then: inconclusive, reason: timeout}\n"


@pytest.fixture
def place(tmp_path):
    for name, text in BLOCKS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def seccheck(place, *words):
    command = [sys.executable, "-m", "seccheck", *words]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_run_in_the_folder_of_its_files(place, command):
    words, _, out = command.partition(" > ")
    done = seccheck(place, *words.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    if out:
        assert json.loads(done.stdout)["$defs"]


@pytest.mark.parametrize(("what", "name"), [("criteria", OWN), ("set", SET)])
def test_an_editor_is_told_the_same_by_the_schema(place, what, name):
    schema = json.loads(seccheck(place, "criteria", "schema", what).stdout)
    data = json.loads(json.dumps(yaml.safe_load(BLOCKS[name]), default=str))
    jsonschema.validate(data, schema)
    first = data["criteria"][0]
    first["severty"] = "high"
    with pytest.raises(jsonschema.ValidationError, match="severty"):
        jsonschema.validate(data, schema)


def test_a_draft_is_tried_against_a_stored_run(place):
    with small.web(nosniff=True) as good:
        inputs = small.write_inputs(place, good, good, good)
        small.assess(place / "run", *inputs)
    draft = small.CRITERIA.replace("SNIFF-01", "OWN-02").replace("PAPER-01", "OWN-03")
    (place / "draft.yaml").write_text(draft, encoding="utf-8")
    done = seccheck(place, "criteria", "try", "draft.yaml", "--against", "run")
    assert done.returncode == 0, done.stderr
    assert "good\t127.0.0.1" in done.stdout.replace("https", "http") or "OWN-02\tpass" in done.stdout


MISTAKES = [
    # file, what stands there, what is written instead, the line it is told at, what is told
    (OWN, "rationale:", "rationle:", "rationle:", "did you mean 'rationale'"),
    (OWN, "tls.extended_master_secret, eq", "tls.extended_master, eq", "expect:", "extended_master_secret"),
    (OWN, "fact: tls.ext", "fact: tsl.ext", "expect:", "did you mean 'tls'"),
    (OWN, TLS, TLS.replace("equals: true", "at_least: 3"), "expect:", "a whole-number fact"),
    (OWN, TLS, TLS.replace("equals: true", "equals: yes"), "expect:", "true or false, found 'yes'"),
    (OWN, TLS, TLS.replace("equals", "equal"), "expect:", "did you mean 'equals'"),
    (OWN, TLS, TLS.replace("equals: true", "equals: {parameter: wanted}"), "expect:", "under `parameters`"),
    (OWN, TLS, "expect: {each: tls.chains, expect: {fact: item.trusted, equals: true}}", "expect:", "if_none"),
    (OWN, TLS, "expect: {all: []}", "expect:", "one or more expectations"),
    (OWN, TLS, f"expect: {{all: [{TLS[8:]}, {TLS[8:].replace('true', 'false')}]}}", "expect:", "hold together"),
    (OWN, TLS, "expect: {all: [{fact: target.port, at_least: 9}, {fact: target.port, at_most: 5}]}", "expect:", "hold together"),
    (OWN, APPLIES, "applies_if: {fact: tls.offered, equals: true}", "applies_if:", "starts with one of"),
    (OWN, APPLIES, "applies_if: {all: [{fact: target.tls, equals: true}, {fact: target.service, equals: ssh}]}", "applies_if:", "never holds"),
    (OWN, APPLIES, "applies_if: {fact: target.service, equals: htps}", "applies_if:", "never holds"),
    (OWN, "collect: {tls: {ask: [features]}}", "collect: {tsl: {}}", "collect:", "did you mean 'tls'"),
    (OWN, "ask: [features]", "ask: [featuers]", "collect:", "parameters of the tls probe"),
    (OWN, "evidence_months: 6", "evidence_months: 6 months", "evidence_months:", "a whole number"),
    (OWN, "severity: medium", "severity: middle", "severity:", "critical, high, medium, low"),
    (OWN, "from_level: 3", "from_level: 6", "from_level:", "from 1 to 5"),
    (OWN, "id: OWN-01", "id: own-1", "id:", "expected text like"),
    (OWN, "id: OWN-01", "id: TLS-01", "id:", "letters of your own"),
    (OWN, "    vi: Phiên TLS được gắn với quá trình bắt tay (extended master secret)\n", "", "statement:", "missing"),
    (OWN, "    en: Without", "    eng: Without", "eng:", "did you mean 'en'"),
    (OWN, "Phiên TLS được gắn với quá trình bắt tay", "Phien TLS duoc gan voi qua trinh bat tay", "statement:", "diacritics"),
    (OWN, "en: TLS sessions are bound", "en: Phiên TLS được gắn", "statement:", "Vietnamese letters"),
    (OWN, "(extended master secret)\n    vi", "of {bits} bits\n    vi", "statement:", "found {bits}"),
    (OWN, "source: seccheck", "source: secchek", "basis:", "did you mean 'seccheck'"),
    (OWN, "kind: project-choice, source: seccheck", "kind: binding, source: tcvn-14423-2026", "basis:", "second-hand"),
    (OWN, "kind: project-choice, source: seccheck", "kind: interpretation, source: letter-708-2024", "basis:", "may not be cited"),
    (OWN, "kind: project-choice", "kind: law", "basis:", "binding, by-analogy"),
    (OWN, LAST, "", "examples:", "missing: inconclusive"),
    (OWN, "secret: true}}, then: pass", "secret: false}}, then: pass", "examples:", "expected pass, but the criterion says fail"),
    (OWN, "tls: {extended_master_secret: true}}, then", "tls: {extended_master: true}}, then", "examples:", "did you mean 'extended_master_secret'"),
    (OWN, "reason: timeout}", "reason: timout}", "inconclusive, reason", "did you mean 'timeout'"),
    (OWN, "  severity: medium", "\tseverity: medium", "severity:", "never tabs"),
    (OWN, "severity: medium", "severity: [medium", "from_level:", "expected YAML"),
    (OWN, "severity: medium", "severity: medium\n  severity: high", "severity: high", "duplicate key"),
    (OWN, "seccheck: criteria/1", "seccheck: criteria/2", "seccheck: criteria/2", "criteria/1"),
    (SET, "extends: project06-2026", "extends: project06-2025", "extends:", "did you mean"),
    (SET, "extends: project06-2026", "extends: our-set.yaml", "extends:", "does not extend itself"),
    (SET, "extends: project06-2026", "extends: other.yaml", "extends:", "there is no"),
    (SET, "catalogue: [own.yaml]", "catalogue: [owns.yaml]", "catalogue:", "did you mean 'own.yaml'"),
    (SET, "use: PAT-03", "use: PAT-30", "use: PAT-30", "did you mean 'PAT-0"),
    (SET, "parameters: {days: 14}", "parameters: {day: 14}", "use: PAT-03", "did you mean 'days'"),
    (SET, "parameters: {days: 14}", "parameters: {days: two weeks}", "use: PAT-03", "a whole number such as 30"),
    (SET, "parameters: {days: 14}", "parameters: {days: 60}", "use: PAT-03", "say why beside `reason`"),
    (SET, "grace_until: 2027-06-30", "grace_until: 30/06/2027", "OWN-*", "a date such as"),
    (SET, "grace_until: 2027-06-30", "grace_until: 2026-06-30", "OWN-*", "ends after it takes effect"),
    (SET, "weight: counted", "weight: optional", "use: WEB-10", "counted, advised"),
    (SET, ', reason: "The budget is controlled by another body."', "", "drop:", "expected a `reason`"),
    (SET, "drop: HUM-04", "drop: HUM-40", "drop:", "did you mean 'HUM-0"),
    (SET, "drop: HUM-04", "drop: HUM-04, use: HUM-04", "drop:", "either `use` or `drop`"),
    (SET, 'version: "1.0"', "version: 1.0", "version:", "put it in quotes"),
    (SET, "id: our-set", "id: Our Set", "id:", "expected text like"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "old", "new", "at", "told"), MISTAKES, ids=[f"{one[0]}:{one[2][:40]}" for one in MISTAKES]
)
def test_every_mistake_is_told_with_its_line_and_what_was_expected(
    place, monkeypatch, name, old, new, at, told
):
    assert old in BLOCKS[name], "the page has changed: change this test with it"
    text = BLOCKS[name].replace(old, new, 1)
    (place / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(place)
    with pytest.raises(InputError) as caught:
        check(name)
    lines = text.splitlines()
    places = [
        (one.file, lines[one.line - 1])
        for one in caught.value.problems
        if told in f"{one.message} {one.hint}" and one.line
    ]
    assert places, caught.value
    assert all(file == name for file, _ in places), caught.value
    near = {
        line for number, line in enumerate(lines) if at in "\n".join(lines[max(0, number - 3) : number + 1])
    }
    assert all(line in near for _, line in places), caught.value


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
        (lambda path: path.write_bytes(b"\xff\xfea\0"), "expected UTF-8"),
        (lambda path: path.write_text(""), "seccheck"),
        (lambda path: path.write_text("- a\n- b\n"), ""),
        (lambda path: path.write_text("a: [" * 200), ""),
    ],
)
def test_a_file_that_is_none_ends_with_status_2_and_says_so(place, make, told):
    make(place / OWN)
    done = seccheck(place, "criteria", "check", OWN)
    assert done.returncode == 2
    assert done.stdout == ""
    assert OWN in done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_two_criteria_that_ask_the_same_are_told(place, monkeypatch):
    text = BLOCKS[OWN]
    twin = text[text.index("- id:") :].replace("OWN-01", "OWN-02")
    (place / OWN).write_text(f"{text}\n{twin}", encoding="utf-8")
    monkeypatch.chdir(place)
    with pytest.raises(InputError, match=r"OWN-02.*OWN-01 asks just the same") as caught:
        check(OWN)
    assert caught.value.problems[0].line > len(text.splitlines())
