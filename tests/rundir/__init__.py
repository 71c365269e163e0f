"""The run directory: whatever a shared disk does, records are not lost, nor doubled, nor wrong."""

from hypothesis import HealthCheck, settings

quick = settings(
    max_examples=200,
    deadline=None,
    database=None,  # a test writes nothing outside its tmp_path
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
