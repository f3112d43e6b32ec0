"""The model of the tests of films."""

from pathlib import Path

import pytest

from multigen.image.restoration import srgan
from tests.cli.test_sample import model


@pytest.fixture(scope="session")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model enlarges twice: untrained, so nearly by interpolation."""
    config = srgan.SRGANConfig(generator="compact", blocks=1, width=4, scale=2)
    return model(tmp_path_factory.mktemp("films") / "run", config)
