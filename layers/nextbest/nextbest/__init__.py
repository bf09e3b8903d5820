"""Next-best-action recommendations: the library that all functions share."""

__version__ = "0.2.0"
