"""PDMS (NAVSIM v1.1) and EPDMS (NAVSIM v2.2), batched over proposals; rules in docs/evaluation.md."""
