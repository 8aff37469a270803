"""What pipelines take as it is: the GitHub action, the GitLab template, the hooks, the Dockerfile."""

import fnmatch
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import small
from tests.tools import free_port
from tests.validators import validator

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
TEMPLATE = yaml.safe_load((ROOT / "ci/gitlab/seccheck.gitlab-ci.yml").read_text("utf-8"))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("schema", "file"),
    [("vendor.github-actions", "action.yml"), ("vendor.gitlab-ci", "ci/gitlab/seccheck.gitlab-ci.yml")],
)
def test_the_published_schema_accepts_it(schema, file):
    transform = ["--data-transform", "gitlab-ci"] if "gitlab" in schema else []
    done = validator("check-jsonschema", "--builtin-schema", schema, *transform, ROOT / file)
    assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------------------------------ GitHub


def step(name):
    return next(one for one in ACTION["runs"]["steps"] if one["name"] == name)


def test_no_input_is_pasted_into_a_script():
    """What is pasted is run; inputs come as variables."""
    for one in ACTION["runs"]["steps"]:
        assert "${{" not in one["run"]


def test_every_input_reaches_the_script_and_every_option_is_one_of_the_gate():
    gate = step("Gate")
    used = set(re.findall(r"inputs\.([a-z-]+)", str(gate["env"])))
    assert used == set(ACTION["inputs"])
    assert {name for name in gate["env"] if f"${name}" not in gate["run"]} == set()
    options = set(re.findall(r"--[a-z-]+", gate["run"]))
    helped = subprocess.run(
        [sys.executable, "-m", "seccheck", "gate", "--help"], capture_output=True, text=True, check=True
    )
    assert options <= set(re.findall(r"--[a-z-]+", helped.stdout))


def gate_step(place, **inputs):
    """Run the script of the gate step as a runner would, with this seccheck in place of an installed one."""
    temporary = place / "runner"
    programs = temporary / "seccheck/bin"
    programs.mkdir(parents=True, exist_ok=True)
    program = programs / "seccheck"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m seccheck "$@"\n')
    program.chmod(0o755)
    gate = step("Gate")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")}
    for variable, expression in gate["env"].items():
        name = re.search(r"inputs\.([a-z-]+)", expression)[1]
        environment[variable] = inputs.get(name.replace("-", "_"), ACTION["inputs"][name]["default"])
    environment |= {
        "RUNNER_TEMP": str(temporary),
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(place / "output"),
        "GITHUB_STEP_SUMMARY": str(place / "summary.md"),
    }
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", gate["run"]]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def test_the_gate_step_scans_annotates_and_hands_on_its_status(tmp_path):
    asked = {"as_level": "1", "criteria": "project06-2024", "select": "WEB-02"}
    with small.web(nosniff=True) as good, small.web(nosniff=False) as bad:
        met = gate_step(tmp_path, target=f"http://127.0.0.1:{good}/\n", **asked)
        assert met.returncode == 0, met.stdout + met.stderr
        both = gate_step(tmp_path, target=f"http://127.0.0.1:{good}/\nhttp://127.0.0.1:{bad}/\n", **asked)
    assert both.returncode == 1
    assert "::error title=WEB-02" in both.stdout
    assert (tmp_path / "output").read_text().split() == ["status=0", "status=1"]
    assert "gate not met" in (tmp_path / "summary.md").read_text("utf-8")
    assert {path.name for path in tmp_path.glob("seccheck.*")} == {"seccheck.sarif", "seccheck.junit.xml"}


@pytest.mark.parametrize(
    "inputs",
    [{}, {"target": "https://127.0.0.1", "run": "x"}, {"run": "--help"}, {"target": "$(touch pasted)"}],
)
def test_a_mistaken_input_is_status_2(tmp_path, inputs):
    done = gate_step(tmp_path, **inputs)
    assert done.returncode == 2, done.stdout + done.stderr
    assert (tmp_path / "output").read_text() == "status=2\n"
    assert not (tmp_path / "pasted").exists()


# ------------------------------------------------------------------------------------ GitLab


def gitlab_job(place, **variables):
    """Run the script of the template, except that nothing is installed."""
    job = TEMPLATE[".seccheck-gate"]
    script = [line for line in job["script"] if "venv" not in line and "install" not in line]
    text = "set -eo pipefail\n" + "\n".join(script).replace(
        "/tmp/seccheck/bin/seccheck", f"{sys.executable} -m seccheck"
    )
    environment = {**os.environ, **job["variables"], **variables}
    return subprocess.run(
        ["bash", "-c", text], cwd=place, env=environment, capture_output=True, text=True, check=False
    )


def test_the_job_writes_every_report_that_it_hands_in(tmp_path):
    job = TEMPLATE[".seccheck-gate"]
    with small.web(nosniff=False) as port:
        done = gitlab_job(
            tmp_path,
            SECCHECK_TARGET=f"http://127.0.0.1:{port}/",
            SECCHECK_LEVEL="1",
            SECCHECK_CRITERIA="project06-2024",
            SECCHECK_OPTIONS="--select WEB-02",
        )
    assert done.returncode == 1, done.stdout + done.stderr
    handed_in = {*job["artifacts"]["paths"], *job["artifacts"]["reports"].values()}
    assert {path.name for path in tmp_path.iterdir()} == handed_in


def test_the_job_says_what_is_missing(tmp_path):
    assert "says what to scan" in gitlab_job(tmp_path).stderr
    install = next(line for line in TEMPLATE[".seccheck-gate"]["script"] if "install" in line)
    done = subprocess.run(["bash", "-c", install], capture_output=True, text=True, check=False, env={})
    assert done.returncode != 0
    assert "says what to install" in done.stderr


# ------------------------------------------------------------------------------------ pre-commit


def test_hooks_take_the_files_of_this_repository_and_accept_them(tmp_path):
    (criteria,) = (hook for hook in HOOKS if hook["id"] == "seccheck-criteria")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    chosen = [
        name
        for name in listed
        if re.search(criteria["files"], name) and not re.search(criteria["exclude"], name)
    ]
    assert set(chosen) == set(fnmatch.filter(listed, "criteria/*.yaml")) - {"criteria/sources.yaml"}
    assert hook_run(criteria, ROOT, *chosen).returncode == 0


def test_the_registry_hook_takes_several_files_and_refuses_a_mistake(tmp_path):
    (registry,) = (hook for hook in HOOKS if hook["id"] == "seccheck-registry")
    small.write_inputs(tmp_path, free_port(), free_port(), free_port())
    (tmp_path / "registry-2.yaml").write_text(
        (tmp_path / "registry.yaml").read_text().replace("level:", "levle:")
    )
    names = ["registry.yaml", "registry-2.yaml"]
    assert all(re.search(registry["files"], name) for name in names)
    assert hook_run(registry, tmp_path, "registry.yaml", "registry.yaml").returncode == 0
    refused = hook_run(registry, tmp_path, *names)
    assert refused.returncode == 2
    assert "did you mean 'level'" in refused.stderr


def hook_run(hook, place, *files):
    program, *words = shlex.split(hook["entry"])
    assert (program, hook["language"]) == ("seccheck", "python")
    command = [sys.executable, "-m", "seccheck", *words, *files]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


# ------------------------------------------------------------------------------------ Docker


def test_the_image_is_made_of_files_that_exist_and_are_not_ignored():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY") and "--from" not in line:
            copied |= set(line.split()[1:-1])
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
