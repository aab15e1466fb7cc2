"""A stage of one line, as a node: multiplies an embedding. Tests start it as a process."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace

from vadv2_msgs.msg import ReasoningEmbedding as EmbeddingMessage

from vadv2_core.config import parameter
from vadv2_core.errors import InputError
from vadv2_core.reasoning import ReasoningEmbedding
from vadv2_ros import qos
from vadv2_ros.conversions import embedding_from_message, embedding_to_message
from vadv2_ros.node_process import run_node
from vadv2_ros.worker_node import WorkerNode


@dataclass(frozen=True, slots=True)
class ScalingConfig:
    """Of the test's node."""

    factor: float = parameter(2.0, "Multiplies the embedding.", minimum=-10.0, maximum=10.0, live=True)
    model: str = parameter("there", "A model that is there, or not.")
    delay: float = parameter(0.0, "How long an answer takes.", unit="s", minimum=0.0, maximum=1.0)


class ScalingNode(WorkerNode[ScalingConfig, ReasoningEmbedding]):
    """Embedding in, embedding out."""

    def __init__(self) -> None:
        super().__init__("scaling", ScalingConfig)

    def setup(self) -> None:
        if self.config.model != "there":
            raise InputError("no such model", self.config.model, "a model directory")
        self.listen(EmbeddingMessage, "embedding", self._receive, qos.STAGE)
        self.output = self.advertise(EmbeddingMessage, "output/embedding", qos.STAGE)

    def _receive(self, message: EmbeddingMessage) -> None:
        embedding = embedding_from_message(message)
        if len(embedding.embedding) == 0:
            raise InputError("empty", "embedding", "some numbers")
        self.offer(embedding)

    def work(self, item: ReasoningEmbedding) -> None:
        self.follow_time(item.stamp)
        time.sleep(self.config.delay)
        if item.model_id == "explode":
            raise RuntimeError("the stage broke")
        scaled = replace(item, embedding=item.embedding * self.config.factor)
        self.send(self.output, embedding_to_message, scaled)


if __name__ == "__main__":
    sys.exit(run_node(ScalingNode))
