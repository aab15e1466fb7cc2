"""The perception core: `SceneEncoder.encode` takes a frame and the ego's state and says what is there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraFrame
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.tokens import SceneAhead, SceneMap, SceneObjects, SceneTokens
from vadv2_perception.answers import ahead_in_words, map_in_words, objects_in_words
from vadv2_perception.checkpoints import LoadedEncoder, load_encoder, untrained_encoder
from vadv2_perception.configuration import EncoderModelConfig, PerceptionConfig
from vadv2_perception.ego_tokens import AUX_QUANTITIES
from vadv2_perception.frame_memory import FrameMemory, RememberedFrame
from vadv2_perception.halves import ANSWER_NAMES
from vadv2_perception.network_images import network_images, to_network_size
from vadv2_perception.networks import Network, make_networks
from vadv2_perception.novelty import statistics_of
from vadv2_perception.quantization import quantise
from vadv2_perception.rig_arrays import RigArrays, camera_motion, moved_cameras, rig_arrays, same_rig


class SceneEncoder:
    """Images of any size and rig, ego motion and a second or two of past, to `SceneTokens`.

    Args:
        directory: A perception checkpoint; None makes seeded weights (on ImageNet's where a package ships them), kept
            in the cache directory, whose ``model_id`` ends in ``-untrained``.
        config: How it runs here.

    Raises:
        InputError: for a checkpoint that does not fit, or a backend that is not installed, in one line.
    """

    def __init__(self, directory: Path | None, config: PerceptionConfig) -> None:
        self.config = config
        self._encoder: LoadedEncoder = untrained_encoder(config) if directory is None else load_encoder(directory)
        model = self._encoder.model
        self._statistics = statistics_of(model)
        self._memory = FrameMemory(model.config.history_ages, config.maximum_gap)
        self._rig: RigArrays | None = None
        self._networks: dict[int, tuple[Network, Network]] = {}

    @property
    def encoder_hash(self) -> str:
        """SHA-256 of the weights: planner and VLM refuse the tokens of another encoder."""
        return self._encoder.encoder_hash

    @property
    def model_id(self) -> str:
        """Name of the checkpoint."""
        return self._encoder.model_id

    @property
    def parameters(self) -> int:
        """How many numbers the network has learnt."""
        return sum(p.numel() for p in self._encoder.model.parameters())

    @property
    def model_config(self) -> EncoderModelConfig:
        """The network's facts."""
        return self._encoder.model.config

    def reset(self) -> None:
        """Forget the past, as before the first frame."""
        self._memory.clear()

    def prepare(self, cameras: int = 6) -> None:
        """Export and compile for a rig of so many cameras now, rather than at the first frame (seconds)."""
        if cameras not in self._networks:
            self._networks[cameras] = make_networks(self._encoder, cameras, self.config)

    def encode(self, frame: CameraFrame, ego: EgoState) -> SceneTokens:
        """Say what a frame shows. A gap of more than the config's, or time going back, forgets the past first.

        Args:
            frame: Images of one moment; cameras that are not valid are not looked at.
            ego: Ego state at the frame's stamp; its pose carries the past along, so it must be of one odometry.

        Raises:
            InputError: for an image whose size is not its camera's, an ego state that is not finite, or an answer of
                the network that is not.
        """
        self._check_ego(ego)
        config = self._encoder.model.config
        rig = self._rig_of(frame)
        valid = np.asarray(frame.valid, dtype=bool)
        self.prepare(len(valid))
        image_network, scene_network = self._networks[len(valid)]
        self._memory.advance(frame.stamp)
        images = network_images(frame, config.image_width, config.image_height)
        seen = image_network({"images": images, "rays": rig.rays})
        motion = camera_motion(ego, frame.stamp, frame.stamps, valid)
        aux = np.array([[ego.speed, ego.acceleration[0], ego.yaw_rate, ego.steering_angle or 0.0]], np.float32)
        aux_valid = np.array([[1, 1, 1, ego.steering_angle is not None]], np.float32)
        past = self._memory.past(frame.stamp, ego.pose, seen["memory"].shape) if config.history_ages else None
        inputs: dict[str, NDArray[Any]] = {
            "own_tokens": seen["own_tokens"][None],
            "rays": rig.rays[None],
            "k": rig.k.astype(np.float32)[None],
            "t_base_camera": moved_cameras(rig.t_base_camera, motion).astype(np.float32)[None],
            "camera_valid": valid.astype(np.float32)[None],
            "aux": aux,
            "aux_valid": aux_valid,
        }
        if past is not None:
            inputs |= {
                "past_tokens": past.tokens,
                "past_motion": past.motion,
                "past_age": past.age,
                "past_valid": past.valid,
            }
        out = scene_network(inputs)
        if not all(np.isfinite(value).all() for value in out.values()):
            raise InputError("not finite", "what the encoder says", "finite numbers; is the checkpoint whole?")
        self._memory.remember(RememberedFrame(frame.stamp, ego.pose, seen["memory"].astype(np.float16), valid))
        objects, elements, ahead, order = self._in_words(out)
        return SceneTokens(
            stamp=frame.stamp,
            tokens=out["tokens"][0].astype(np.float16),
            queries=out["queries"][0][order].astype(np.float16),
            objects=objects,
            map=elements,
            aux=out["aux_tokens"][0].astype(np.float16),
            ego=ego,
            k=rig.k_tokens,
            t_base_camera=rig.t_base_camera,
            camera_stamps=np.asarray(frame.stamps, dtype=np.int64),
            t_anchor_camera_time=motion,
            camera_valid=valid,
            novelty=self._statistics.novelty(seen["pooled"][valid]),
            encoder_hash=self.encoder_hash,
            model_id=self.model_id,
            ahead=ahead,
        )

    def quantise(self, pictures: Iterable[NDArray[np.uint8]]) -> Path:
        """Calibrate the int8 image half on pictures (H, W, 3) uint8 RGB of any size; kept in the cache.

        Raises:
            InputError: for no pictures.
        """
        config = self.model_config
        sized = (to_network_size(p, config.image_width, config.image_height) for p in pictures)
        return quantise(self._encoder, sized, Path(self.config.cache_directory))

    def pooled_features(self, frame: CameraFrame) -> NDArray[np.float32]:
        """(valid cameras, c) what the novelty measure looks at, for `vadv2_perception.novelty.calibrate`."""
        rig, valid = self._rig_of(frame), np.asarray(frame.valid, dtype=bool)
        self.prepare(len(valid))
        config = self._encoder.model.config
        images = network_images(frame, config.image_width, config.image_height)
        seen = self._networks[len(valid)][0]({"images": images, "rays": rig.rays})
        return np.array(seen["pooled"][valid], dtype=np.float32)

    def _rig_of(self, frame: CameraFrame) -> RigArrays:
        if self._rig is None or not same_rig(self._rig.rig, frame.rig):
            if self._rig is not None:
                self._memory.clear()  # Another rig's tokens look elsewhere.
            self._rig = rig_arrays(frame.rig, self._encoder.model)
        return self._rig

    def _in_words(self, out: dict[str, NDArray[Any]]) -> tuple[SceneObjects, SceneMap, SceneAhead, NDArray[np.int64]]:
        """Objects and map above the threshold, the way ahead, the queries in order: each kind by falling confidence."""
        answers = {name: out[name][0] for name in ANSWER_NAMES}
        objects, object_order = objects_in_words(answers)
        elements, map_order = map_in_words(answers)
        n, m = len(object_order), len(map_order)
        order = np.concatenate([object_order, n + map_order, [n + m]])
        threshold = self.config.confidence_threshold
        kept = objects_above(objects, threshold), elements_above(elements, threshold)
        return *kept, ahead_in_words(answers), order

    @staticmethod
    def _check_ego(ego: EgoState) -> None:
        numbers = (
            ego.pose.x,
            ego.pose.y,
            ego.pose.yaw,
            *ego.velocity,
            *ego.acceleration,
            ego.yaw_rate,
            ego.steering_angle or 0.0,
        )
        if not np.isfinite(numbers).all():
            raise InputError("not finite", "ego state", f"finite pose, velocity and {', '.join(AUX_QUANTITIES)}")


def objects_above(objects: SceneObjects, threshold: float) -> SceneObjects:
    """The objects at least so confident; they are sorted, so these are the first ones."""
    count = int((objects.confidence >= threshold).sum())
    return SceneObjects(*(getattr(objects, name)[:count] for name in SceneObjects.__slots__))


def elements_above(elements: SceneMap, threshold: float) -> SceneMap:
    """The map elements at least so confident."""
    count = int((elements.confidence >= threshold).sum())
    return SceneMap(*(getattr(elements, name)[:count] for name in SceneMap.__slots__))
