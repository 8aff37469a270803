"""How many examples property tests take: few and always the same, ten thousand in `make fuzz`."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("default", max_examples=50, derandomize=True, deadline=None, database=None)
settings.register_profile(
    "fuzz",
    max_examples=10_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
