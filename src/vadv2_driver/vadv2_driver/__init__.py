"""The four stages of VADv2 as one object without ROS."""

from vadv2_driver.configuration import DriverConfig
from vadv2_driver.driver import Driver
from vadv2_driver.output import DriverOutput, outputs_sha256, system_model_id

__all__ = ["Driver", "DriverConfig", "DriverOutput", "outputs_sha256", "system_model_id"]
