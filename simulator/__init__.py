"""A seeded population with known tastes, for the demo and for tests with ground truth. Needs numpy alone."""

from simulator.demo import demo_population
from simulator.population import Population
from simulator.small import Checkerboard, checkerboard_population, small_population

__all__ = ["Checkerboard", "Population", "checkerboard_population", "demo_population", "small_population"]
