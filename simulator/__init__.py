"""A seeded population with known tastes, for the demo and for tests with ground truth. Needs numpy alone."""

from simulator.demo import demo_population
from simulator.population import Population

__all__ = ["Population", "demo_population"]
