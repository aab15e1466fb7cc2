"""What happens when it fails: faults injected into drives, one by one and in pairs."""
