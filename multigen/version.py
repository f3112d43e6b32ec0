"""The version of the package; pyproject.toml says the same, and a test compares them."""

__all__ = ["__version__"]

__version__ = "0.2.0"
