"""A seeded population with known tastes, for the demo and for tests with ground truth. Needs numpy alone."""

from tools.simulator.demo import demo_population
from tools.simulator.population import Population
from tools.simulator.small import Checkerboard, checkerboard_population, small_population

__all__ = ["Checkerboard", "Population", "checkerboard_population", "demo_population", "small_population"]
