"""What is wrong with a case file is said in one line: the file, the place and what was expected."""

from __future__ import annotations

import copy
import gzip
import json

import pytest

from vadv2_core.errors import InputError
from vadv2_eval.pdms.case_file import score_file
from vadv2_eval.pdms.scene_case import parse_case, read_raw_cases


def _without(case, *keys):
    inner = case
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]


BAD = {
    "missing key": (lambda c: _without(c, "candidate", "poses"), r"candidate: key 'poses' is missing"),
    "missing map": (lambda c: _without(c, "map"), r"key 'map' is missing"),
    "not a number": (lambda c: c["candidate"]["poses"].__setitem__(3, [1.0, None, 0.0]), r"candidate.poses: row 3"),
    "infinite": (lambda c: c["ego"]["velocity"].__setitem__(0, float("inf")), r"ego.velocity"),
    "NaN": (lambda c: c["candidate"]["poses"][0].__setitem__(0, float("nan")), r"candidate.poses: row 0"),
    "empty plan": (lambda c: c["candidate"].__setitem__("poses", []), r"candidate.poses: .*wrong length"),
    "bow tie": (
        lambda c: c["map"]["polygons"][2].__setitem__("exterior", [[0, 0], [2, 2], [2, 0], [0, 2]]),
        r"map.polygons\[2\] .*impossible",
    ),
    "flat": (
        lambda c: c["map"]["polygons"][1].__setitem__("exterior", [[0, 0], [1, 1], [2, 2]]),
        r"encloses nothing",
    ),
    "two points": (lambda c: c["map"]["polygons"][0].__setitem__("exterior", [[0, 0], [1, 1]]), r"exterior"),
    "layer": (lambda c: c["map"]["polygons"][0].__setitem__("layer", "LAKE"), r"layer is 'LAKE'"),
    "type": (lambda c: c["tracks"][0].__setitem__("type", "dog"), r"type is 'dog' .*pedestrian"),
    "frames": (lambda c: c["tracks"][0].__setitem__("states_2hz", []), r"states_2hz: has 0 entries"),
    "size": (lambda c: c["tracks"][0].__setitem__("width", -1.0), r"width: is -1.0"),
    "twice": (lambda c: c["tracks"].append(c["tracks"][0]), r"appears twice"),
    "dt": (lambda c: c["reference"].__setitem__("dt", 0), r"reference.dt"),
    "centreline": (lambda c: c["map"].__setitem__("centerline", [[1, 1, 0], [1, 1, 0]]), r"centerline"),
    "history": (lambda c: c.__setitem__("history", c["history"][::-1]), r"history: t does not rise"),
    "light": (lambda c: c["traffic_lights_2hz"].__setitem__(4, [{"red": 1}]), r"traffic_lights_2hz\[4\]"),
    "text": (lambda c: c.__setitem__("ego", "here"), r"ego: is str"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_case_is_named(raw_cases, name):
    spoil, expected = BAD[name]
    case = copy.deepcopy(next(c for c in raw_cases if c["tracks"]))
    spoil(case)
    with pytest.raises(InputError, match=expected) as caught:
        parse_case(case, "file.json: cases[0]")
    line = str(caught.value)
    assert "\n" not in line and "file.json: cases[0]" in line and case["id"] in line and caught.value.expected


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": "other"}', b'{"cases": []}', b"[1]", None])
def test_a_bad_file_is_named(tmp_path, content):
    path = tmp_path / "cases.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"pdms-cases-1|a list 'cases'") as caught:
        read_raw_cases(path)
    assert str(path) in str(caught.value)


def test_a_truncated_gzip_is_named(tmp_path, pdms_file):
    path = tmp_path / "cases.json.gz"
    path.write_bytes(pdms_file.read_bytes()[:5000])
    with pytest.raises(InputError, match="cannot be read"):
        read_raw_cases(path)


def test_the_other_cases_go_on_and_the_status_says_so(raw_cases, tmp_path, capsys):
    cases = copy.deepcopy(raw_cases[:3])
    del cases[1]["tracks"]
    source, out = tmp_path / "cases.json.gz", tmp_path / "out.json"
    source.write_bytes(gzip.compress(json.dumps({"format": "pdms-cases-1", "cases": cases}).encode()))
    assert score_file(source, out) == 2
    written = json.loads(out.read_text())
    assert [c["id"] for c in written["cases"]] == [cases[0]["id"], cases[2]["id"]]
    assert "key 'tracks' is missing" in written["left_out"][0]["what"]
    captured = capsys.readouterr()
    assert captured.err.count("left out") == 1 and cases[1]["id"] in captured.err
    assert "2 cases scored, 1 left out" in captured.out


def test_nothing_is_written_where_no_case_is_good(raw_cases, tmp_path):
    case = copy.deepcopy(raw_cases[0])
    del case["ego"]
    source, out = tmp_path / "cases.json", tmp_path / "out.json"
    source.write_text(json.dumps({"cases": [case]}))
    with pytest.raises(InputError, match="key 'ego' is missing"):
        score_file(source, out)
    assert not out.exists()
