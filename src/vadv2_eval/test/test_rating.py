"""The blind rating page: nothing in it says whose a text is; ratings are checked, saved and summed up."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request

import pytest

from vadv2_core.errors import InputError
from vadv2_eval.rating import RatedFrame, rating_summary, read_ratings, serve, weighted_kappa, write_rating_page

JPEG = b"\xff\xd8\xff\xe0 a picture"


@pytest.fixture
def folder(tmp_path):
    frames = [
        RatedFrame(f"f{i}", JPEG, {"model": f"text m{i}", "narrator": f"text n{i}", "shuffled": f"text m{(i + 1) % 4}"})
        for i in range(4)
    ]
    write_rating_page(tmp_path, frames, seed=3)
    return tmp_path


def _rate(folder, rater, marks):
    key = json.loads((folder / "key.json").read_text())["items"]
    ratings = {i: {"correct": marks[v["source"]], "reason": marks[v["source"]]} for i, v in key.items()}
    path = folder / f"{rater}.json"
    path.write_text(json.dumps({"rater": rater, "ratings": ratings}))
    return path


def test_the_page_is_blind_and_the_order_is_drawn(folder):
    text = (folder / "rate.html").read_text()
    for word in ("model", "narrator", "shuffled"):
        assert word not in text
    key = json.loads((folder / "key.json").read_text())["items"]
    assert len(key) == 12 and text.count("<fieldset>") == 12
    orders = {tuple(key[f"item{3 * f + k}"]["source"] for k in range(3)) for f in range(4)}
    assert len(orders) > 1


def test_means_by_source_and_agreement(folder):
    ann = _rate(folder, "ann", {"model": 4, "narrator": 5, "shuffled": 1})
    bob = _rate(folder, "bob", {"model": 4, "narrator": 5, "shuffled": 2})
    summary = rating_summary(folder, [ann, bob])
    assert summary["means"]["correct"]["narrator"]["mean"] == 5.0
    assert summary["means"]["correct"]["shuffled"]["mean"] == 1.5 and summary["means"]["reason"]["model"]["count"] == 8
    kappa = summary["agreement"]["ann and bob"]["correct"]
    assert 0.8 < kappa < 1.0
    assert weighted_kappa([1, 2, 3], [1, 2, 3]) == 1.0 and weighted_kappa([], []) is None


def test_ratings_of_another_page_are_refused(folder):
    path = folder / "bad.json"
    key = json.loads((folder / "key.json").read_text())
    for value, message in (
        ({"rater": "x", "ratings": {"item99": {"correct": 1}}}, "unknown item 'item99'"),
        ({"rater": "x", "ratings": {"item0": {"correct": 9}}}, "item0.correct is 9"),
        ({"ratings": {}}, "another form"),
    ):
        path.write_text(json.dumps(value))
        with pytest.raises(InputError, match=message):
            read_ratings(path, key)
    with pytest.raises(InputError, match="no ratings"):
        rating_summary(folder, [])


def test_the_server_shows_the_page_and_saves(folder):
    server = serve(folder, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        assert "Rate rationales" in urllib.request.urlopen(f"{url}/").read().decode()
        body = json.dumps({"rater": "Ann B", "ratings": {"item0": {"correct": 3}}}).encode()
        assert urllib.request.urlopen(f"{url}/ratings", data=body).read() == b"saved 1 items"
        assert json.loads((folder / "ratings" / "Ann_B.json").read_text())["ratings"] == {"item0": {"correct": 3}}
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(f"{url}/ratings", data=b"{}")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/key.json")
    finally:
        server.shutdown()
        server.server_close()
