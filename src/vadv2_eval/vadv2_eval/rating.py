"""Blind rating of rationales by people: the page, the saved ratings, and what they come to.

Every shown frame has three rationales in an order drawn by the seed: the model's, the narrator's (true by
construction) and the model's of another frame. Which is which is in ``key.json`` and not in the page.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_bytes_atomic, write_json_atomic
from vadv2_eval.html import STYLE
from vadv2_eval.intervals import mean_interval

SOURCES = ("model", "narrator", "shuffled")
SCALE = (1, 2, 3, 4, 5)
QUESTIONS = {
    "correct": "Is what it says true of the picture?",
    "reason": "Does it give the right reason for what a driver should do here?",
}
PAGE, KEY = "rate.html", "key.json"


@dataclass(frozen=True, slots=True)
class RatedFrame:
    """A frame to show: name, JPEG or PNG bytes, and the rationale by source."""

    name: str
    image: bytes
    rationales: dict[str, str]


def frames_of_bag(bag: Path, count: int, seed: int) -> list[RatedFrame]:
    """Frames of a recorded drive that have the model's and the narrator's reasoning and a front image.

    Raises:
        InputError: for a bag without both reasonings, or with fewer than two such frames.
    """
    from rosbags.highlevel import AnyReader

    from vadv2_eval.bags.recording import choose_topics, read_recording
    from vadv2_ros.bag_types import bag_typestore
    from vadv2_ros.fields import stamp_from_time

    recording = read_recording(bag)
    truths = {r.stamp: r for _, r in recording.truth_reasonings}
    said = {r.stamp: r for _, r in recording.reasonings if r.stamp in truths}
    wanted = sorted(set(said) & set(recording.camera_stamps.tolist()))
    if len(wanted) < 2:
        raise InputError(
            f"{len(wanted)} frames have a model's and a narrator's reasoning and a picture", str(bag), "at least two"
        )
    rng = np.random.default_rng(seed)
    shown = sorted(rng.choice(wanted, min(count, len(wanted)), replace=False).tolist())
    images: dict[int, bytes] = {}
    with AnyReader([bag], default_typestore=bag_typestore()) as reader:
        topic = choose_topics({c.topic: c.msgtype for c in reader.connections}, {}, str(bag))["camera"]
        for connection, _, data in reader.messages([c for c in reader.connections if c.topic == topic]):
            message: Any = reader.deserialize(data, connection.msgtype)
            stamp = stamp_from_time(message.header.stamp)
            if stamp in shown:
                images[stamp] = _encoded(message)
    frames = []
    for stamp in shown:
        other = int(rng.choice([s for s in wanted if s != stamp]))
        rationales = {
            "model": f"{said[stamp].intent} {said[stamp].trace}".strip(),
            "narrator": f"{truths[stamp].intent} {truths[stamp].trace}".strip(),
            "shuffled": f"{said[other].intent} {said[other].trace}".strip(),
        }
        frames.append(RatedFrame(f"{recording.name}@{stamp}", images[stamp], rationales))
    return frames


def _encoded(message: Any) -> bytes:
    """JPEG or PNG bytes of an image message."""
    if hasattr(message, "format"):
        return bytes(message.data)
    import cv2

    from vadv2_ros.images import rgb_from_message

    ok, png = cv2.imencode(".png", rgb_from_message(message)[:, :, ::-1])
    if not ok:
        raise InputError("cannot be encoded", "image", "an RGB image")
    return bytes(png.tobytes())


def write_rating_page(folder: Path, frames: Sequence[RatedFrame], seed: int) -> None:
    """Write ``rate.html`` (no source in it) and ``key.json`` (which item is whose).

    Raises:
        InputError: for no frames.
    """
    if not frames:
        raise InputError("nothing to rate", str(folder), "at least one frame")
    rng = np.random.default_rng(seed)
    items = []
    for f, frame in enumerate(frames):
        for source in rng.permutation([s for s in SOURCES if s in frame.rationales]):
            items.append((f, str(source)))
    key = {f"item{i}": {"frame": frames[f].name, "source": source} for i, (f, source) in enumerate(items)}
    parts, shown = [], -1
    for i, (f, source) in enumerate(items):
        if f != shown:
            shown = f
            kind = "png" if frames[f].image[:4] == b"\x89PNG" else "jpeg"
            data = base64.b64encode(frames[f].image).decode()
            parts.append(
                f'<h2>Frame {f + 1} of {len(frames)}</h2><img alt="front camera" src="data:image/{kind};base64,{data}">'
            )
        parts.append(f"<fieldset><p>{html.escape(frames[f].rationales[source])}</p>")
        for name, question in QUESTIONS.items():
            marks = "".join(f'<label><input type="radio" name="item{i}.{name}" value="{v}">{v}</label> ' for v in SCALE)
            parts.append(f"<p>{html.escape(question)} (1 no, 5 yes) {marks}</p>")
        parts.append("</fieldset>")
    write_json_atomic(folder / KEY, {"scale": SCALE, "questions": QUESTIONS, "items": key})
    write_bytes_atomic(folder / PAGE, _page("".join(parts)).encode())


def _page(body: str) -> str:
    script = """
document.getElementById('save').onclick = async () => {
  const rater = document.getElementById('rater').value.trim();
  if (!rater) { alert('Please give a name.'); return; }
  const marks = {};
  for (const input of document.querySelectorAll('input[type=radio]:checked')) {
    const [item, question] = input.name.split('.');
    (marks[item] = marks[item] || {})[question] = Number(input.value);
  }
  const text = JSON.stringify({rater: rater, ratings: marks});
  const said = document.getElementById('said');
  if (location.protocol.startsWith('http')) {
    const answer = await fetch('ratings', {method: 'POST', body: text});
    said.textContent = await answer.text();
    return;
  }
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'application/json'}));
  link.download = 'ratings_' + rater.replace(/[^A-Za-z0-9_-]/g, '_') + '.json';
  link.click();
  said.textContent = 'Downloaded ' + link.download;
};
"""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Rate rationales</title>'
        f"<style>{STYLE} fieldset {{ border: 1px solid #dcdcd6; margin: 0.7rem 0; }} label {{ margin-left: 0.6rem; }}"
        "</style></head><body><h1>Rate rationales</h1>"
        "<p>Each text claims to be about the moment above it. Rate each by itself; two may be alike. Where there are "
        "three pictures, they look to the front left, the front and the front right, and overlap.</p>"
        f'<p>Your name: <input id="rater"></p>{body}'
        f'<p><button id="save">Save</button> <span id="said"></span></p><script>{script}</script></body></html>\n'
    )


def read_ratings(path: Path, key: dict[str, Any]) -> tuple[str, dict[str, dict[str, int]]]:
    """A saved file of ratings: the rater and the marks by item and question.

    Raises:
        InputError: for another form, an unknown item or a mark off the scale.
    """
    return check_ratings(read_json(path), key, str(path))


def check_ratings(value: Any, key: dict[str, Any], where: str) -> tuple[str, dict[str, dict[str, int]]]:
    """Ratings as posted or read, checked; see `read_ratings`."""
    if not isinstance(value, dict) or not isinstance(value.get("ratings"), dict) or not value.get("rater"):
        raise InputError("is of another form", where, "{rater, ratings: {item: {question: mark}}}")
    for item, marks in value["ratings"].items():
        if item not in key["items"]:
            raise InputError(f"unknown item {item!r}", where, "items of this page")
        if not isinstance(marks, dict):
            raise InputError(f"{item} is {marks!r}", where, "marks by question")
        for question, mark in marks.items():
            if question not in key["questions"] or mark not in key["scale"]:
                raise InputError(f"{item}.{question} is {mark!r}", where, f"one of {', '.join(map(str, SCALE))}")
    return str(value["rater"]), value["ratings"]


def rating_summary(folder: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Mean mark by source and question with intervals, and the raters' agreement (quadratic weighted kappa).

    Raises:
        InputError: for no files, or one that does not belong to this page.
    """
    if not files:
        raise InputError("no ratings", str(folder), "at least one saved file")
    key = read_json(folder / KEY)
    raters = dict(read_ratings(f, key) for f in files)
    means: dict[str, Any] = {}
    for question in key["questions"]:
        means[question] = {}
        for source in SOURCES:
            items = [i for i, v in key["items"].items() if v["source"] == source]
            marks = [r[i][question] for r in raters.values() for i in items if question in r.get(i, {})]
            estimate = mean_interval(marks)
            means[question][source] = estimate.to_json() if estimate else None
    names = sorted(raters)
    agreement = {}
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            agreement[f"{names[a]} and {names[b]}"] = {
                q: weighted_kappa(*_paired(raters[names[a]], raters[names[b]], q)) for q in key["questions"]
            }
    return {"raters": names, "means": means, "agreement": agreement}


def _paired(a: dict[str, dict[str, int]], b: dict[str, dict[str, int]], question: str) -> tuple[list[int], list[int]]:
    both = [i for i in sorted(set(a) & set(b)) if question in a[i] and question in b[i]]
    return [a[i][question] for i in both], [b[i][question] for i in both]


def weighted_kappa(a: Sequence[int], b: Sequence[int]) -> float | None:
    """Cohen's kappa with quadratic weights; None without pairs, or where both always gave one and the same mark."""
    from sklearn.metrics import cohen_kappa_score

    if not a or (len(set(a)) == 1 and set(a) == set(b)):
        return None
    return float(cohen_kappa_score(a, b, labels=list(SCALE), weights="quadratic"))


def serve(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server on this machine that shows the page and saves ratings to ``ratings/NAME.json``, not started yet."""
    key = read_json(folder / KEY)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in ("/", f"/{PAGE}"):
                self._say(404, "not here")
                return
            self._say(200, (folder / PAGE).read_text(), "text/html; charset=utf-8")

        def do_POST(self) -> None:
            try:
                value = json.loads(self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 1_000_000)))
                rater, ratings = check_ratings(value, key, "ratings")
            except (ValueError, InputError) as error:
                self._say(400, str(error))
                return
            name = "".join(c if c.isalnum() or c in "_-" else "_" for c in rater)
            write_json_atomic(folder / "ratings" / f"{name}.json", {"rater": rater, "ratings": ratings})
            self._say(200, f"saved {len(ratings)} items")

        def _say(self, status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing on the terminal."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)
