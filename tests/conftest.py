"""What every layer of tests shares: generated examples that are the same on every machine."""

from hypothesis import settings

# The gate must say the same of the same commit. To search further: pytest --hypothesis-profile=default
settings.register_profile("gate", derandomize=True)
settings.load_profile("gate")
