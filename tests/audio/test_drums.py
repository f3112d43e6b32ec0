"""The drum machine: what is promised of every sound, and that the classes can be told apart."""

import hashlib

import pytest
import torch
from torch import Tensor

from multigen.audio.drums import CLASSES, RANGES, _square, drum, drums
from multigen.errors import ConfigError
from tests.cases import few

SHORT = ("closed_hat", "rim")


def of(kind: str, sounds: Tensor, labels: Tensor) -> Tensor:
    return sounds[labels == CLASSES.index(kind), 0]  # (N, T)


def centroid(x: Tensor, rate: int) -> Tensor:
    """Spectral centroid by power, Hz: (N, T) -> (N,)."""
    power = torch.fft.rfft(x.double()).abs().square()
    return (power * torch.fft.rfftfreq(x.shape[1], 1 / rate)).sum(dim=1) / power.sum(dim=1)


@pytest.fixture(scope="module")
def many() -> tuple[Tensor, Tensor]:
    return drums(480)


def test_shapes_types_and_labels(many):
    sounds, labels = many
    assert sounds.shape == (480, 1, 4096) and sounds.dtype == torch.float32
    assert labels.dtype == torch.int64 and torch.equal(labels, torch.arange(480) % 8)


def test_levels(many):
    peaks = many[0].abs().amax(dim=(1, 2))
    assert many[0].isfinite().all()
    assert 0.5 <= peaks.min() < 0.53 and 0.92 < peaks.max() <= 0.95 + 1e-6


@pytest.mark.parametrize(("first", "n"), [(0, 1), (0, 13), (5, 30), (63, 70), (100, 3)])
def test_a_sound_depends_on_its_number_alone(many, first, n):
    sounds, labels = drums(n, first=first)
    assert torch.equal(sounds, many[0][first : first + n])
    assert torch.equal(labels, many[1][first : first + n])


def test_one_class_is_every_eighth_sound(many):
    assert torch.equal(drum("clap", 20, first=3), many[0][3 * 8 + 5 :: 8][:20])


def test_seeds_and_sounds_differ(many):
    sounds, _ = many
    assert not torch.equal(drums(8, seed=1)[0], sounds[:8])
    assert len({hashlib.sha256(x.numpy().tobytes()).digest() for x in sounds}) == len(sounds)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    drums(2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("rate", few([4_000, 8_000, 22_050, 48_000], 4_000, 22_050))
def test_all_begin_at_once_and_end_in_silence(rate):
    length = rate // 2 + 1
    sounds, labels = drums(24, length=length, rate=rate)
    peak = sounds.abs().amax(dim=(1, 2))
    assert sounds.isfinite().all()
    assert (sounds[:, 0, : rate // 1000].abs().amax(dim=1) > 0.02 * peak).all()
    assert (sounds[:, 0, -1] == 0).all()
    tail = sounds[:, 0, -length // 10 :].abs().amax(dim=1) / peak
    assert tail.max() < 0.25
    short = torch.isin(labels, torch.tensor([CLASSES.index(kind) for kind in SHORT]))
    assert tail[short].max() < 0.01  # 40 dB below the peak


def test_energy_decays(many):
    first, second, third = (part.square().mean(dim=(1, 2)) for part in many[0].split(1366, dim=2))
    assert (first > 2 * second).all() and (second >= third).all()


def test_what_is_too_quiet_is_silence(many):
    levels = many[0].abs()
    assert levels[levels > 0].min() >= 2**-24


def test_brightness_is_ordered(many):
    order = ("kick", "tom", "snare", "closed_hat")
    kick, tom, snare, hat = (centroid(of(kind, *many), 8000).median() for kind in order)
    assert kick < 0.8 * tom and tom < 0.5 * snare and snare < 0.7 * hat


def test_a_square_wave_has_the_odd_partials_below_half_the_rate_and_no_other():
    tones, t = torch.tensor([[480.0], [700.0]]).double(), torch.arange(8000).double() / 8000
    spectrum = torch.fft.rfft(_square(tones, torch.tensor([[0.0], [0.3]]).double(), t, 8000)).abs() / 4000  # 1 Hz apart
    expected = torch.zeros_like(spectrum)
    for row, tone in enumerate((480, 700)):
        for k in range(1, 4000 // tone + 1, 2):  # 7 * 700 Hz would be heard at 3,100
            expected[row, k * tone] = 1 / k
    torch.testing.assert_close(spectrum, expected, rtol=0, atol=1e-9)


def test_classes_can_be_told_apart(many):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    def features(x: Tensor) -> Tensor:
        """Log energies of 32 wide and 16 low bands, and of 16 stretches of time: (N, 1, 4096) ->
        (N, 64)."""
        power = torch.fft.rfft(x[:, 0]).abs().square()[:, :2048]
        bands = power.unflatten(1, (32, 64)).mean(dim=2), power[:, :128].unflatten(1, (16, 8)).mean(dim=2)
        stretches = x.unflatten(2, (16, 256)).square().mean(dim=3)[:, 0]
        return torch.cat([torch.cat(bands, dim=1) + 1e-6, stretches + 1e-8], dim=1).log10()

    x, y = features(many[0]).numpy(), many[1].numpy()
    scale = StandardScaler().fit(x[:320])
    classifier = LogisticRegression(max_iter=500).fit(scale.transform(x[:320]), y[:320])
    assert classifier.score(scale.transform(x[320:]), y[320:]) >= 0.97


def test_ranges_are_in_order_and_audible_at_the_lowest_rate():
    assert tuple(RANGES) == CLASSES
    for kind, ranges in RANGES.items():
        for name, r in ranges.items():
            assert 0 <= r.low < r.high and r.unit in ("Hz", "ms", "x", "turn", "top"), (kind, name)
            assert r.unit != "Hz" or r.high < 2_000, (kind, name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 3_999}, "3999 Hz, expected 4000 to 48000"),
        ({"rate": 96_000}, "96000 Hz, expected 4000 to 48000"),
        ({"length": 100}, "100 samples at 8000 Hz, expected 20 ms or more; choose a length of"),
        ({"n": 0}, "0 sounds from number 0 on: at least 1"),
        ({"first": -1}, "no number below 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        drums(**{"n": 8, **arguments})
    with pytest.raises(ConfigError, match=message):
        drum("kick", **{"n": 8, **arguments})


def test_an_unknown_drum_is_named():
    with pytest.raises(ConfigError, match="no drum 'gong'; choose from kick, snare"):
        drum("gong", 1)
