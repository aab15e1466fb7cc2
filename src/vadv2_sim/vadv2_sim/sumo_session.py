"""The one SUMO simulation of this process (libsumo can hold no more), started, stepped and closed in one place."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vadv2_core.errors import InputError

with contextlib.redirect_stdout(io.StringIO()):  # libsumo greets with a line about pyarrow, which nothing here uses
    import libsumo

STEP = 0.1
"""Simulated seconds a step."""
SUMO_GAVE_UP = "SUMO gave up"
"""How an error begins after which this process should hold no other simulation."""
_DEATHS = (libsumo.TraCIException, libsumo.FatalTraCIError)

_TYPES = """<additional>
  <vType id="car" vClass="passenger" length="4.4" width="1.8" height="1.5" minGap="2.0" {common}/>
  <vType id="van" vClass="passenger" length="5.2" width="2.0" height="2.1" minGap="2.0" accel="2.2" {common}/>
  <vType id="truck" vClass="truck" length="8.5" width="2.4" height="3.3" minGap="2.5" accel="1.3" {common}/>
  <vType id="bus" vClass="bus" length="11.0" width="2.5" height="3.1" minGap="2.5" accel="1.3" {common}/>
  <vType id="motorcycle" vClass="motorcycle" length="2.2" width="0.8" height="1.5" minGap="2.0" {common}/>
  <vType id="bicycle" vClass="bicycle" length="1.8" width="0.65" height="1.7" minGap="1.0" maxSpeed="5.5"
         latAlignment="right" lcStrategic="0.5" {common}/>
  <vType id="reckless" vClass="passenger" length="4.4" width="1.8" height="1.5" minGap="0.5" accel="4.0" decel="8"
         lcAssertive="5" lcSpeedGain="10" {common}/>
  <vType id="emergency" vClass="emergency" length="6.2" width="2.2" height="2.7" minGap="2.0" accel="3.0"
         speedFactor="1.4" jmDriveAfterRedTime="300" jmDriveAfterRedSpeed="6">
    <param key="has.bluelight.device" value="true"/>
  </vType>
  <vType id="ego" vClass="passenger" length="{length:g}" width="{width:g}" height="1.6" minGap="2.0"/>
  <vType id="walker" vClass="pedestrian" length="0.5" width="0.55" jmIgnoreFoeProb="1" jmIgnoreFoeSpeed="0.4"/>
</additional>
"""
# Who waits for one that stands (the ego, above all, that waits for him) goes after some seconds: no deadlocks. Walkers
# step out before a standing car at once.
_COMMON = 'lcMaxSpeedLatStanding="0.4" minGapLat="0.5" lcSigma="0" jmIgnoreFoeProb="0.02" jmIgnoreFoeSpeed="0.1"'


@contextlib.contextmanager
def sumo_errors(where: str) -> Iterator[None]:
    """Errors of libsumo as one line; they cannot be pickled, and no caller knows their type.

    Raises:
        InputError: beginning with `SUMO_GAVE_UP`.
    """
    try:
        yield
    except _DEATHS as error:
        raise InputError(f"{SUMO_GAVE_UP}: {error}", where, "another seed") from None


def start_sumo(net: Path, seed: int, ego_length: float, ego_width: float) -> Any:
    """Start a simulation of a net in this process and return the libsumo module; one that runs is closed first.

    Raises:
        InputError: if SUMO refuses the net.
    """
    close_sumo()
    with tempfile.TemporaryDirectory() as scratch:
        types = Path(scratch) / "types.add.xml"
        types.write_text(_TYPES.format(common=_COMMON, length=ego_length, width=ego_width))
        options = {
            "-n": net,
            "-a": types,
            "--step-length": STEP,
            "--seed": seed,
            "--lateral-resolution": 0.8,
            "--time-to-teleport": -1,
            "--collision.action": "none",
            "--default.speeddev": 0.08,
            "--pedestrian.striping.dawdling": 0.1,
            "--no-step-log": "true",
            "--no-warnings": "true",
            "--duration-log.disable": "true",
        }
        try:
            libsumo.start(["sumo", *(str(part) for option in options.items() for part in option)])
        except libsumo.TraCIException as error:
            raise InputError(f"SUMO refused it: {error}", str(net), "a net.xml that SUMO loads") from None
    return libsumo


def step_sumo() -> None:
    """Advance the simulation by `STEP`.

    Raises:
        InputError: if SUMO died.
    """
    try:
        libsumo.simulationStep()
    except _DEATHS as error:
        raise InputError(f"SUMO died: {error}", "traffic", "a running simulation") from None


def close_sumo() -> None:
    """Close the simulation of this process, if one runs."""
    if libsumo.isLoaded():
        libsumo.close()
