"""What happens because time passed: one short file per job, ``run(runtime, now) -> counts``."""
