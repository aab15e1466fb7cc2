"""ROS 2 glue of VADv2: messages and dataclasses, QoS, parameters, the lifecycle worker node, diagnostics."""
