"""What the tests of reports share."""

import pytest


@pytest.fixture(autouse=True)
def charts() -> None:
    """Drawn, as users see them."""
