"""What the first page says about who signed the run."""

from __future__ import annotations

import json
import shutil

from seccheck.reports.run import RunFolder
from seccheck.reports.signature import merged_state, verified_state


def test_a_merged_run_says_that_its_bundles_were_verified(tmp_path, run_folder):
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    assert merged_state(RunFolder(run), "vi") == ""
    (run / "merge.json").write_text(json.dumps({"schema": "seccheck.merge/1", "parts": [{}, {}]}))
    assert "2 gói dữ liệu có chữ ký" in merged_state(RunFolder(run), "vi")
    assert merged_state(RunFolder(run), "en") == "merged from 2 signed bundles, each verified on merging"


def test_a_verified_bundle_names_the_key_and_no_unit():
    said = verified_state("vi", key="ab" * 32, units=84, signed="2024-06-09T01:00:00Z")
    assert said == "hợp lệ; khóa abababababababab của 84 đơn vị, ký ngày 9/6/2024"
