"""An outside client drives a node's process by topics, parameters and lifecycle services only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from outside_client import OutsideClient
from vadv2_msgs.msg import ReasoningEmbedding as EmbeddingMessage

from vadv2_core.reasoning import ReasoningEmbedding
from vadv2_ros import qos
from vadv2_ros.conversions import embedding_from_message, embedding_to_message

SCRIPT = str(Path(__file__).with_name("scaling_node.py"))


@pytest.fixture
def client() -> Iterator[OutsideClient]:
    with OutsideClient() as client:
        yield client


def embedding(stamp: int, *values: float, model_id: str = "m") -> EmbeddingMessage:
    return embedding_to_message(ReasoningEmbedding(stamp, np.array(values, np.float32), model_id))


def connect(client: OutsideClient):
    publisher = client.publisher(EmbeddingMessage, "/scaling/input/embedding", qos.STAGE)
    received = client.collect(EmbeddingMessage, "/scaling/output/embedding", qos.STAGE)
    return publisher, received


def test_lifecycle_parameters_and_bad_input(start_process, client: OutsideClient) -> None:
    start_process(SCRIPT)
    publisher, received = connect(client)
    assert client.state("scaling") == "unconfigured"
    assert client.transition("scaling", "configure")
    client.wait(lambda: publisher.get_subscription_count() == 1)
    # Inactive: heard by nobody.
    publisher.publish(embedding(1, 1.0))
    assert client.state("scaling") == "inactive" and not received
    assert client.transition("scaling", "activate")

    publisher.publish(embedding(10**9, 1.0, 2.0))
    client.wait(lambda: received)
    answer = embedding_from_message(received[-1])
    assert answer.stamp == 10**9 and answer.embedding.tolist() == [2.0, 4.0]

    assert client.set_parameter("scaling", "factor", -0.5) == ""
    assert "out of range" in client.set_parameter("scaling", "factor", 99.0)
    publisher.publish(embedding(2 * 10**9, 4.0))
    client.wait(lambda: len(received) == 2)
    assert received[-1].embedding.tolist() == [-2.0]

    # An empty message, one that breaks the stage, one with a NaN: counted, and the node lives on.
    for bad in (embedding(3), embedding(4, 1.0, model_id="explode"), embedding(5, float("nan"))):
        before = client.diagnostics("scaling")
        publisher.publish(bad)
        client.wait(lambda before=before: sum_of_faults(client.diagnostics("scaling")) > sum_of_faults(before))
    values = client.diagnostics("scaling")
    assert (values["bad_input"], values["failures"], values["not_finite"]) == ("1", "1", "1")
    # Stamps went back from seconds to nanoseconds: the stage forgot what was before.
    assert int(values["restarts"]) >= 1
    publisher.publish(embedding(6, 4.0))
    client.wait(lambda: len(received) == 3)
    assert received[-1].embedding.tolist() == [-2.0]

    assert client.transition("scaling", "deactivate") and client.transition("scaling", "cleanup")
    assert client.state("scaling") == "unconfigured"
    assert client.transition("scaling", "configure") and client.transition("scaling", "activate")


def sum_of_faults(values: dict[str, str]) -> int:
    return sum(int(values.get(name, 0)) for name in ("bad_input", "failures", "not_finite"))


def test_a_slow_worker_sees_the_newest_and_counts_the_rest(start_process, client: OutsideClient) -> None:
    start_process(SCRIPT, "--ros-args", "-p", "autostart:=true", "-p", "delay:=0.3")
    publisher, received = connect(client)
    client.wait(lambda: publisher.get_subscription_count() == 1 and client.state("scaling") == "active")
    for stamp in range(1, 8):
        publisher.publish(embedding(stamp, float(stamp)))
        # Each lies in the mailbox before the next one comes.
        client.wait(lambda stamp=stamp: client.spin() or True)
    client.wait(lambda: received and received[-1].embedding[0] == 14.0)
    assert len(received) < 7
    client.wait(lambda: int(client.diagnostics("scaling").get("answered", 0)) == len(received))
    values = client.diagnostics("scaling")
    assert int(values["dropped"]) + int(values["answered"]) == int(values["received"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-p", "model:=gone"), "gone: no such model (expected a model directory)"),
        (("-p", "factor:=11.0"), "scaling parameter 'factor': value 11.0 (expected -10 .. 10)"),
    ],
)
def test_a_node_that_cannot_start_says_why_and_ends(start_process, arguments: tuple[str, ...], says: str) -> None:
    process = start_process(SCRIPT, "--ros-args", "-p", "autostart:=true", *arguments)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert says in output and "Traceback" not in output
