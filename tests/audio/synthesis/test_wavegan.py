"""WaveGAN: networks, phase shuffle, losses against formulas, a run from recordings to samples."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import softplus

import multigen
from multigen.audio.synthesis import wavegan as method
from multigen.audio.synthesis.evaluator import logmel
from multigen.audio.synthesis.wavegan import Discriminator, Generator, WaveformCritic, WaveGANConfig, phase_shuffle
from multigen.errors import CheckpointError, ConfigError
from multigen.losses import penalties
from multigen.tasks.synthesis.extractors import Made
from tests import tiny
from tests.audio.toys import Draws, wavegan
from tests.cases import few
from tests.tiny import Stop

KINDS = ("a", "b", "c")

# ---------------------------------------------------------------------------------------------------- networks


SIZES = [(1024, 16, 3), (2048, 32, 3), (4096, 16, 4), (8192, 32, 4), (16_384, 16, 5), (32_768, 32, 5), (65_536, 16, 6)]
BEGINNINGS = [(4096, 64, 64, 3), (8192, 64, 128, 3), (4096, 1024, 1024, 1), (16_384, 4, 4, 6), (1024, 2, 4, 4)]


@pytest.mark.parametrize(
    ("length", "positions", "start", "layers"), [*((length, 16, *rest) for length, *rest in SIZES), *BEGINNINGS]
)
def test_networks_fit_each_other_at_every_length(length: int, positions: int, start: int, layers: int) -> None:
    c = WaveGANConfig(length=length, positions=positions, latent=4, width=2, spectra=(64,), spectral_width=1)
    assert (c.start, c.layers) == (start, layers)
    sound = Generator(c)(torch.randn(2, 4))
    assert sound.shape == (2, 1, length)
    assert Discriminator(c)(sound).shape == (2, 2)


@pytest.mark.parametrize("upsample", ["transposed", "nearest"])
def test_classes_make_a_difference_to_both_networks(upsample: Any) -> None:
    torch.manual_seed(0)
    c = WaveGANConfig(length=1024, latent=4, width=2, conditional=True, upsample=upsample, spectra=(64, 128))
    made, taken = Generator(c, len(KINDS)), Discriminator(c, len(KINDS))
    z, label, other = torch.randn(2, 4), torch.tensor([0, 2]), torch.tensor([1, 1])
    sound = made(z, label)
    assert sound.shape == (2, 1, 1024) and sound.abs().max() < 1
    assert taken(sound, label).shape == (2, 3)
    assert not torch.equal(made(z, other), sound)
    for before, after in zip(taken(sound, label).T, taken(sound, other).T, strict=True):  # to each critic
        assert not torch.allclose(before, after)


def test_the_paper_s_networks_layer_by_layer() -> None:
    with torch.device("meta"):
        made, taken = Generator(method.PRESETS["paper"]), Discriminator(method.PRESETS["paper"])
    dense, *up = [m for m in made.modules() if isinstance(m, nn.Linear | nn.ConvTranspose1d)]
    assert tuple(dense.weight.shape) == (256 * 64, 100)
    assert [(m.in_channels, m.out_channels) for m in up] == [(1024, 512), (512, 256), (256, 128), (128, 64), (64, 1)]  # pyright: ignore
    down = [m for m in taken.modules() if isinstance(m, nn.Conv1d)]
    assert [(m.in_channels, m.out_channels) for m in down] == [(1, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
    assert all((m.kernel_size, m.stride) == ((25,), (4,)) for m in [*up, *down])
    pairs = 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 1024  # of channels
    numbers = [sum(p.numel() for p in network.parameters()) for network in (made, taken)]
    assert numbers[0] == 25 * pairs + (1 + 64 + 128 + 256 + 512) + 101 * 16_384
    assert numbers[1] == 25 * pairs + (64 + 128 + 256 + 512 + 1024) + 16_384 + 1
    assert not [m for m in made.modules() if "BatchNorm" in type(m).__name__]


def test_nearest_up_sampling_repeats_and_convolves() -> None:
    layer = method._longer(1, 1, "nearest")
    x = torch.tensor([[[1.0, -2.0, 3.0]]])
    convolution = next(m for m in layer.modules() if isinstance(m, nn.Conv1d))
    with torch.no_grad():
        convolution.weight.zero_()[0, 0, 12] = 1.0
        convolution.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
    assert layer(x).flatten().tolist() == [1.0] * 4 + [-2.0] * 4 + [3.0] * 4


def test_the_last_filter_keeps_the_length_and_comes_after_all() -> None:
    c = WaveGANConfig(length=1024, latent=4, width=2, post_filter=512)
    made = Generator(c)
    z = torch.randn(2, 4)
    last = made.layers[-1]
    assert isinstance(last, nn.Conv1d) and last.weight.shape == (1, 1, 512)
    with torch.no_grad():
        last.weight.zero_()[0, 0, 255 + 3] = -0.5  # half as loud, upside down, three samples earlier
    plain, filtered = made.layers[:-2](z), made(z)
    assert filtered.shape == (2, 1, 1024)
    torch.testing.assert_close(filtered[..., :-3], -0.5 * plain[..., 3:])


def reflected(at: int, length: int) -> int:
    """Index of a sample beyond the borders, mirrored at the first and at the last sample."""
    if at < 0:
        return -at
    return at if at < length else 2 * (length - 1) - at


@pytest.mark.parametrize("n", [1, 2, 5])
def test_phase_shuffle_is_a_loop_over_samples_with_reflected_borders(n: int) -> None:
    x = torch.randn(100, 3, 11)
    torch.manual_seed(0)
    result = phase_shuffle(x, n)
    torch.manual_seed(0)
    by = torch.randint(-n, n + 1, (100, 1, 1)).flatten().tolist()
    assert {*by} == {*range(-n, n + 1)}  # each sample by its own number
    for i, shift in enumerate(by):
        for t in range(11):
            assert torch.equal(result[i, :, t], x[i, :, reflected(t - shift, 11)])


def test_phases_are_shuffled_in_training_only_and_not_of_the_waveform() -> None:
    assert torch.equal(phase_shuffle(x := torch.randn(2, 1, 8), 0), x)
    torch.manual_seed(0)
    c = WaveGANConfig(length=1024, width=2)
    critic, sound = WaveformCritic(c), torch.randn(2, 1, 1024)
    assert not torch.equal(critic(sound), critic(sound))
    assert torch.equal(critic.eval()(sound), critic(sound))
    still = WaveformCritic(replace(c, shuffle=0))
    still.load_state_dict(critic.state_dict())
    assert torch.equal(still(sound), critic(sound))


def test_a_spectrogram_critic_hears_a_sine_at_its_level() -> None:
    critic = method.SpectrogramCritic(WaveGANConfig(length=1024, spectra=(64,)), 64).eval()
    seen: list[Tensor] = []
    critic.convs.register_forward_hook(lambda module, before, after: seen.append(before[0]))
    time = torch.arange(1024) / 1024
    critic(torch.stack([(2 * math.pi * 128 * time).cos(), torch.zeros(1024)])[:, None])  # 8 of 64 bins; silence
    assert seen[0].shape == (2, 1, 32, 32)
    torch.testing.assert_close(seen[0][0, 0, 8, 2:-2], torch.full((28,), (math.log(64 / 8 + 1e-6) + 6) / 5))
    torch.testing.assert_close(seen[0][1], torch.full((1, 32, 32), (math.log(1e-6) + 6) / 5))


def test_windows_lie_elsewhere_at_each_look_in_training_only() -> None:
    torch.manual_seed(0)
    c = WaveGANConfig(length=1024, spectra=(64,))
    critic, click = method.SpectrogramCritic(c, 64), torch.zeros(200, 1, 1024)
    click[:, :, 512] = 1  # in the middle of one window, at the border of the next
    seen: list[Tensor] = []
    critic.convs.register_forward_hook(lambda module, before, after: seen.append(before[0]))
    critic(click)
    loudest = seen[0].mean((1, 2)).argmax(1)  # (200,) frames of 32 samples
    assert {*loudest.tolist()} == {15, 16}
    assert seen[0].mean(2).amax((1, 2)).unique().numel() > 10  # more or less in the middle
    assert torch.equal(critic.eval()(click), critic(click)) and seen[1].unique(dim=0).shape[0] == 1
    still = method.SpectrogramCritic(replace(c, shift_frames=False), 64)
    still.load_state_dict(critic.state_dict())
    assert torch.equal(still(click), critic(click))


# ---------------------------------------------------------------------------------------------------- settings


def test_presets_are_the_paper_s_and_ours() -> None:
    assert [*method.PRESETS] == ["tiny", "laptop", "default", "paper"]
    paper = method.PRESETS["paper"]
    assert (paper.loss, paper.critic_steps, paper.penalty, paper.lr, paper.betas, paper.batch) == (
        *("wasserstein", 5, 10.0, (1e-4, 1e-4), (0.5, 0.9)),
        64,
    )
    assert (paper.shuffle, paper.spectra, paper.waveform, paper.conditional) == (2, (), True, False)
    assert (paper.rate, paper.length, paper.width, paper.latent, paper.steps) == (16_000, 16_384, 64, 100, 200_000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 3000}, "length 3000: expected a power of two of at least 1024"),
        ({"length": 512}, "length 512: expected a power of two of at least 1024"),
        ({"positions": 48}, "positions 48: expected a power of two of at most a quarter of"),
        (
            {"length": 1024, "positions": 512},
            "positions 512: expected a power of two of at most a quarter of the length 1024",
        ),
        ({"positions": 0}, "positions 0"),
        ({"length": 1024, "rate": 48_000}, "length 1024: expected 1536 or more at 48000 Hz, since spectra .* 32 ms"),
        ({"rate": 3000}, "rate 3000: expected 4000 or more"),
        ({"waveform": False}, "waveform False and no spectra: D would have no critic"),
        (
            {"length": 1024, "spectra": (512,)},
            r"spectra \(512,\): expected multiples of 16, at most a quarter of .* 1024",
        ),
        ({"spectra": (100,)}, r"spectra \(100,\): expected multiples of 16"),
        ({"spectra": (0,)}, "spectra 0: expected 16 or more"),
        ({"shuffle": -1}, "shuffle -1: expected 0 or more"),
        ({"post_filter": -1}, "post_filter -1"),
        ({"spectral_width": 0}, "spectral_width 0: expected 1 or more"),
        ({"lazy": 0}, "lazy 0: expected 1 or more"),
        ({"width": 0}, "width 0"),
        ({"critic_steps": 0}, "critic_steps 0"),
        ({"gamma": -1.0}, "gamma -1.0"),
        ({"betas": (0.5, 1.0)}, r"betas 1\.0: expected 0 to 0\.999999"),
        ({"augment": "echo"}, "augment 'echo': 'echo' is unknown .* gain,shift,polarity,mix"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WaveGANConfig(**settings)


# ---------------------------------------------------------------------------------------------------- losses


def prepared(tmp_path: Path, data: Path, **settings: Any) -> tuple[Any, dict[str, Tensor], Any]:
    made = wavegan(tmp_path, data, shuffle=0, shift_frames=False, spectra=(64,), **settings)
    made.prepare()
    return made, {"sound": made.evaluator.splits.train.items[:4]}, Draws()


class Linear(nn.Module):
    """logits (B, 2): <w, x> and <v, x>; the gradient of their sum at any sound is w + v."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 1024, generator=torch.Generator().manual_seed(0)) / 20)

    def forward(self, sound: Tensor, label: Tensor | None = None) -> Tensor:
        return sound.flatten(1) @ self.weight.T


def test_the_paper_s_loss_is_wasserstein_s_with_a_penalty(tmp_path: Path, drum_folder: Path) -> None:
    made, batch, step = prepared(tmp_path, drum_folder, penalty=7.0)
    real, fake = batch["sound"], made.G(step.randn("z", 8)).detach()
    terms = made.discriminator_loss(batch, step)
    assert [*terms] == ["wasserstein", "penalty"]
    torch.testing.assert_close(terms["wasserstein"], made.D(fake).mean() - made.D(real).mean())
    penalty = penalties.wgan_gp(lambda x: made.D(x).mean(1), real, fake, step.rand("mix", 1, 1))
    torch.testing.assert_close(terms["penalty"], 7 * penalty)
    torch.testing.assert_close(
        made.generator_loss(batch, step)["wasserstein"], -made.D(made.G(step.randn("z", 8))).mean()
    )
    made.D = made.nets["D"] = Linear()
    gradient = made.D.weight.mean(0).norm()  # of the function that the loss is a mean of
    torch.testing.assert_close(made.discriminator_loss(batch, step)["penalty"], 7 * (gradient - 1) ** 2)


def test_pairs_are_compared_critic_by_critic_and_gradients_penalised_now_and_then(
    tmp_path: Path, drum_folder: Path
) -> None:
    made, batch, step = prepared(tmp_path, drum_folder, loss="relativistic_pairing", gamma=3.0, lazy=2)
    (stage,) = made.stages()
    assert [(u.name, u.every, u.lazy) for u in stage.updates] == [
        ("discriminator", 1, False),
        ("r1", 2, True),
        ("generator", 1, False),
    ]
    real, fake = batch["sound"], made.G(step.randn("z", 8)).detach()
    ahead = made.D(real) - made.D(fake)
    assert ahead.shape == (4, 2)
    assert made.discriminator_loss(batch, step).keys() == {"relativistic_pairing"}
    torch.testing.assert_close(made.discriminator_loss(batch, step)["relativistic_pairing"], softplus(-ahead).mean())
    torch.testing.assert_close(made.generator_loss(batch, step)["relativistic_pairing"], softplus(ahead).mean())
    terms = made.r1(batch, step)
    torch.testing.assert_close(terms["r1"], 3 * penalties.r1(made.D, real))
    torch.testing.assert_close(terms["r2"], 3 * penalties.r2(made.D, fake))
    made.D = made.nets["D"] = Linear()
    for term in made.r1(batch, step).values():
        torch.testing.assert_close(term, 3 / 2 * made.D.weight.sum(0).square().sum())


def test_the_third_loss_and_no_penalty(tmp_path: Path, drum_folder: Path) -> None:
    made, batch, step = prepared(tmp_path, drum_folder, loss="non_saturating")
    assert [u.name for u in made.stages()[0].updates] == ["discriminator", "generator"]
    real, fake = made.D(batch["sound"]), made.D(made.G(step.randn("z", 8)))
    terms = made.discriminator_loss(batch, step)
    torch.testing.assert_close(terms["non_saturating"], softplus(-real).mean() + softplus(fake).mean())
    torch.testing.assert_close(made.generator_loss(batch, step)["non_saturating"], softplus(-fake).mean())


def test_reals_and_fakes_are_altered_by_draws_of_their_own(tmp_path: Path, drum_folder: Path) -> None:
    made, batch, step = prepared(tmp_path, drum_folder, augment="gain,polarity")
    real, fake, label = made.pairs(batch, step)
    bare = made.bare_pairs(batch, step)
    factors = [(a / b).flatten(1).nanmedian(1).values for a, b in zip((real, fake), bare[:2], strict=True)]
    assert label is None and len(torch.cat(factors).unique()) == 8
    torch.testing.assert_close(real, batch["sound"] * factors[0][:, None, None])
    torch.testing.assert_close(fake, bare[1] * factors[1][:, None, None])


# ---------------------------------------------------------------------------------------------------- runs

SETTINGS: dict[str, Any] = {"augment": "gain,shift", "spectra": (64,), "post_filter": 8}


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    "game",
    [
        pytest.param({"critic_steps": 2}, id="wgan"),
        pytest.param({"loss": "relativistic_pairing", "gamma": 1.0, "lazy": 2}, id="pairing", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("resumes", few([False, True], False), ids=["whole", "stopped"])
def test_a_run_trains_reports_resumes_and_samples(
    game: dict[str, Any], resumes: bool, tmp_path: Path, drum_folder: Path
) -> None:
    made = wavegan(tmp_path, drum_folder, **SETTINGS, **game).fit()
    rows = made.evaluate().rows
    assert list(rows) == ["real", "noise", "untrained", "adversarial/last", "adversarial/best"]
    assert {"fd_logmel", "kd_logmel", "precision", "coverage", "variety", "memorisation"} <= rows["noise"].keys()
    assert {"d_overfit"} == rows["adversarial/last"].keys() - rows["untrained"].keys()
    assert all(math.isfinite(v) for row in rows.values() for v in row.values())
    run = tmp_path / "run"
    definitions = json.loads((run / "evaluation.json").read_text())["definitions"]
    assert {m for row in rows.values() for m in row} == definitions.keys()
    for name in ("samples.wav", "samples.png", "nearest.wav", "nearest.png"):
        assert (run / name).stat().st_size > 1000
    assert [*(run / "previews").glob("step-*.wav")] and [*(run / "previews").glob("step-*.png")]

    if not resumes:
        return
    stopped = wavegan(tmp_path / "other", drum_folder, **SETTINGS, **game)
    stopped.callbacks = [Stop(2)]  # pyright: ignore[reportAttributeAccessIssue]
    stopped.run = replace(stopped.run, save_every=2)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    again = wavegan(tmp_path / "other", drum_folder, **SETTINGS, **game)
    again.run = replace(again.run, save_every=2, resume=str(tmp_path / "other" / "run"))
    again.fit()
    weights = [load_file(place / "run" / "model" / "G.safetensors") for place in (tmp_path, tmp_path / "other")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert again.evaluate().rows == rows  # D's figures too: nothing is shuffled there


@pytest.mark.usefixtures("quick_classifier")
def test_a_conditional_model_gives_the_class_asked_for(tmp_path: Path, drum_folder: Path) -> None:
    made = wavegan(tmp_path, drum_folder, labels="", conditional=True, samples=20).fit()
    row = made.evaluate().rows["adversarial/last"]
    assert {"class_accuracy", "classes_learned", "confident", "classes", "fd_classifier", "fd_logmel"} <= row.keys()
    model = multigen.load(str(tmp_path / "run"))
    assert model.classes == ("kick", "snare") and model.rate == 8000
    kicks = model.sample(3, seed=5, label="kick")
    assert kicks.shape == (3, 1, 1024) and kicks.dtype == torch.float32 and kicks.abs().max() <= 1
    torch.testing.assert_close(model.sample(2, seed=5, label="kick"), kicks[:2])
    torch.testing.assert_close(model.sample(3, seed=5)[::2], kicks[::2])  # the classes in turn
    assert not torch.allclose(model.sample(3, seed=5, label=1), kicks)
    assert not torch.allclose(model.sample(3, seed=6, label="kick"), kicks)
    with pytest.raises(ConfigError, match="class 'tom' is unknown; choose from kick, snare"):
        model.sample(1, label="tom")
    about = tmp_path / "run" / "model" / "config.json"
    config = json.loads(about.read_text())
    config["config"]["width"] *= 2
    about.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="shape"):
        multigen.load(str(tmp_path / "run"))


def test_classes_need_labels(tmp_path: Path, drum_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"conditional: .* has no labels; .*--labels"):
        wavegan(tmp_path, drum_folder, conditional=True).prepare()


@pytest.mark.usefixtures("own_cache")
def test_baselines_are_noise_as_loud_as_the_recordings_and_the_untrained_generator(
    tmp_path: Path, drum_folder: Path
) -> None:
    made = wavegan(tmp_path, drum_folder)
    made.prepare()
    evaluated: list[Tensor] = []
    metrics_of = made.evaluator.metrics_of

    def seen(items: Made, labels: Tensor | None) -> dict[str, float]:
        evaluated.append(torch.cat([*items.parts(slice(0, items.count), 7)]))
        return metrics_of(items, labels)

    made.evaluator.metrics_of = seen  # pyright: ignore
    state = torch.get_rng_state()
    rows = made.baselines()
    assert torch.equal(torch.get_rng_state(), state) and made.baselines() == rows
    noise, untrained = evaluated[:2]
    real = made.evaluator.splits.test.items
    assert noise.shape == untrained.shape == (40, 1, 1024) and noise.abs().max() <= 1
    loudness = [x.square().mean().sqrt().item() for x in (noise, real)]
    assert loudness[0] == pytest.approx(loudness[1], rel=0.05)
    spectrum = torch.fft.rfft(noise).abs().square().mean((0, 1))  # (513,), white
    assert spectrum[:256].mean() / spectrum[256:].mean() == pytest.approx(1, abs=0.05)
    assert (
        rows["real"]["fd_logmel"] < rows["untrained"]["fd_logmel"]
        and rows["real"]["fd_logmel"] < rows["noise"]["fd_logmel"]
    )
    assert rows["untrained"]["variety"] < rows["real"]["variety"]


def test_a_collapse_is_watched_for_in_log_mel_spectra(tmp_path: Path, drum_folder: Path) -> None:
    made: Any = wavegan(tmp_path, drum_folder)
    made.prepare()
    (control,) = made.plan[0].controls
    made.state.step = made.state.index = 1000
    assert control.rule(0.0, {}).reason.startswith("diversity")
    real = made.evaluator.splits.train.items[:3]
    collapse_features = made.collapse_features(real)
    torch.testing.assert_close(collapse_features, logmel(real, 8000).view(3, 10, 4, 8).mean(2).flatten(1))


@pytest.mark.slow
def test_a_few_steps_of_the_laptop_preset_leave_the_untrained_generator_behind(tmp_path: Path) -> None:
    words = ["-m", "multigen.recipes.wavegan", "--steps", "500", "--samples", "200", "--validate-every", "1000"]
    words += ["--no-conditional", "--labels", "none", "--device", "cpu"]  # without the half minute of a classifier
    # Half as many steps hung on rounding: with 16 positions two fifths or four fifths of the untrained distance, by threads.
    done = tiny.python(*words, "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "run" / "evaluation.json").read_text())["rows"]
    plain = [name for name in rows if " at " not in name]  # without truncation
    assert plain == ["real", "noise", "untrained", "adversarial/last"]  # nothing is held out to choose a best by
    result = {row: figures["fd_logmel"] for row, figures in rows.items()}
    assert result["real"] < result["adversarial/last"] < 0.7 * result["untrained"] < result["noise"]


def test_mixing_refuses_micro_batches(tmp_path: Path, drum_folder: Path) -> None:
    plain, mixed = (wavegan(tmp_path / a, drum_folder, gamma=0.0, augment=a) for a in ("gain", "gain,mix"))
    for made, couples in ((plain, False), (mixed, True)):
        made.prepare()
        assert [update.couples for update in made.plan[0].updates] == [couples] * 2
