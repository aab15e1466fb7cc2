"""Telling the planner another reasoning than its reasoner's."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from vadv2_core.errors import InputError
from vadv2_core.reasoning import ReasoningEmbedding
from vadv2_eval.closed_loop.run import ClosedLoopPlan, evaluate, fingerprint
from vadv2_eval.closed_loop.told import HOLD, ShuffledTeller
from vadv2_eval.jobs import ResultStore


class Tokens:
    """As much of scene tokens as a shuffled reasoning looks at."""

    stamp = 7


class Reasoner:
    """As much of one as says what an embedding comes to."""

    def opinion(self, vector, stamp):
        """The embedding, and standing whenever the first number is even."""
        decision = np.eye(5, dtype=np.float32)[4 if vector[0] % 2 == 0 else 1]
        return ReasoningEmbedding(stamp, vector, "m", decision)


def bank(folder: Path) -> Path:
    """Three scenes in each of two towns; the first number says which town."""
    for town, value in (("town_e", 5.0), ("town_f", 6.0)):
        (folder / "run" / town).mkdir(parents=True)
        said = np.full((3, 4), value, np.float32)
        said[:, 1] = np.arange(3)
        save_file({"said": said, "true": said}, folder / "run" / town / "free_1.safetensors")
    return folder


def told(teller: ShuffledTeller, frames: int) -> np.ndarray:
    """Embeddings of so many frames."""
    return np.stack([teller.tell(None, Tokens()).embedding for _ in range(frames)])


def test_a_shuffled_reasoning_is_another_towns_and_holds_a_while(tmp_path):
    teller = ShuffledTeller(bank(tmp_path), Reasoner(), "town_e", 3)
    rows = told(teller, 20 * HOLD)
    assert (rows[:, 0] == 6.0).all(), "never of the town that is driven"
    assert teller.tell(None, Tokens()).decision.argmax() == 4, "what the other scene's embedding comes to"
    blocks = rows[:, 1].reshape(20, HOLD)
    assert (blocks == blocks[:, :1]).all() and len(set(blocks[:, 0])) == 3
    again = ShuffledTeller(tmp_path, Reasoner(), "town_e", 3)
    np.testing.assert_array_equal(told(again, 20 * HOLD), rows)


def test_embeddings_of_two_models_are_not_mixed(tmp_path):
    bank(tmp_path)
    (tmp_path / "other" / "town_f").mkdir(parents=True)
    save_file({"said": np.zeros((1, 4), np.float32)}, tmp_path / "other" / "town_f" / "free_1.safetensors")
    with pytest.raises(InputError, match="several models"):
        ShuffledTeller(tmp_path, Reasoner(), "town_e", 3)


def test_what_is_told_is_checked_and_marks_the_drives(tmp_path):
    plan = ClosedLoopPlan(("constant_velocity",), "test", 1, reasoning="loud")
    with pytest.raises(InputError, match=r"'loud' is unknown.*on, off, shuffled, true"):
        evaluate(plan, ResultStore(tmp_path / "s.jsonl"), workers=1)
    plan = ClosedLoopPlan(("model",), "test", 1, reasoning="shuffled")
    with pytest.raises(InputError, match="shuffled without --scenes"):
        evaluate(plan, ResultStore(tmp_path / "s.jsonl"), workers=1)
    marks = {fingerprint(ClosedLoopPlan(("model",), "test", 1, reasoning=r)) for r in ("on", "off", "shuffled", "true")}
    assert len(marks) == 4, "drives told otherwise are other drives in a store"
