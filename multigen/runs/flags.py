"""The flags of a method: its configuration fields and the options of a run, in groups, the most
used first."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_type_hints

import tyro

from multigen.config import Run, field_docs, is_pair
from multigen.console import printable
from multigen.runs.options import check_words, cli, number_spec

__all__ = ["read_flags"]

COMMON = (
    *("data", "size", "scale", "rate", "length", "conditional", "steps", "batch", "lr"),
    *("minutes", "out", "seed", "device", "resume"),
)
"""The most used flags, in order of display: the first ten that a method has."""
SHOWN_COMMON = 10
GROUPS = {
    "data": (
        *(
            "low",
            "target",
            "speakers",
            "parallel",
            "seconds",
            "vocoder",
            "task",
            "direction",
            "mels",
            "test",
            "test_target",
            "test_files",
            "test_size",
            "test_classes",
            "train_size",
            "validation_size",
            "splits",
            "labels",
            "classes",
            "clusters",
            "skip_bad",
        ),
        *(
            "channels",
            "frames",
            "mirror",
            "augment",
            "augment_share",
            "augment_target",
            "augment_speed",
            "image_width",
            "degradation",
            "clips",
            "test_frames",
            "speed",
            "h264",
            "corruption",
            "sigma",
            "quality",
            "grey",
            "stored",
            "sharpen",
        ),
        *("crop", "segment", "mask", "cut", "trim", "normalise", "gain", "bandwidth", "noise", "snr"),
        *("unit", "column", "label_column", "encoding", "keep_lines", "tokenizer", "vocabulary_size", "oracle_texts"),
    ),
    "networks": (
        *("generator", "network", "pretrained", "lora_rank", "latent", "width", "max_channels", "layers", "blocks"),
        *("expansion", "mapping_layers", "residual", "deviation", "style_mixing", "shortcut"),
        *(
            "growth",
            "unshuffle",
            "group",
            "patch",
            "embedding",
            "heads",
            "slots",
            "filters",
            "representations",
            "norm",
            "dropout",
            "maxout",
        ),
        *("upsample", "halvings", "recurrent", "positions", "post_filter", "hop", "n_fft", "bands"),
        *("representation", "coefficients", "tract"),
        *(
            "input_size",
            "discriminator_width",
            "discriminator_layers",
            "discriminator_norm",
            "discriminator_embedding",
            "frozen_features",
        ),
        *("waveform", "shuffle", "spectra", "spectral_width", "shift_frames", "spectrum_width"),
    ),
    "losses": (
        *("loss", "targets", "constraint", "clip", "penalty", "gamma", "lazy", "path_weight", "path_lazy"),
        *("pixel", "content", "pixel_weight", "content_weight", "adversarial_weight"),
        *("mel_weight", "magnitude_weight", "phase_weight", "spectrum_weight"),
        *("amplitude_weight", "complex_weight", "consistency_weight", "wave_weight"),
        *("l1_weight", "gradient_weight", "grid_weight", "shift", "hole_weight", "matching_weight"),
        *(
            "cycle_weight",
            "identity_weight",
            "identity_share",
            "second_weight",
            "history",
            "nce_weight",
            "identity",
            "flip",
            "temperature",
        ),
        *("ping_pong_weight", "reconstruction", "reconstruction_weight"),
        *("beta", "schedule", "schedule_steps"),
        *("baseline", "scale_rewards", "kl", "discount", "rollouts", "follow", "weight_decay"),
    ),
    "optimisation": (
        *("betas", "beta2", "discriminator_lr", "clip_norm", "critic_steps", "freeze", "ema", "half_life"),
        *("top_k", "top_k_decay"),
        *("pretrain_steps", "pretrain_lr", "constant_lr", "mle_steps", "mle_lr", "patience", "begin_from"),
        *("l1_steps", "discriminator_steps", "control_steps", "negatives", "refill"),
    ),
    "evaluation": (
        *(
            "samples",
            "features",
            "perceptual_weights",
            "squeezenet_weights",
            "keep_discriminator",
            "truncation_centres",
        ),
        *("lm_steps", "prompt"),
    ),
}
"""Settings by group. A user's own method's settings outside all groups are shown as `other`."""
NAMES = {"start": "from"}
"""Options whose flag differs from their name, since the flag is a keyword of Python."""


def read_flags(
    config: Any, run: Run, command: str, args: Sequence[str], presets: Sequence[str]
) -> tuple[Any, Run, int]:
    """Parses the arguments after `command`: the configuration, options and number of seeds, as
    changed by flags."""
    groups: dict[str, list[tuple[str, Any, Any]]] = {name: [] for name in ("common", *GROUPS, "other", "run")}
    fields = {**_flags(config), **_flags(run)}
    common = [name for name in COMMON if name in fields][:SHOWN_COMMON]
    for name, field in fields.items():
        group = "run" if name in vars(run) else next((g for g, names in GROUPS.items() if name in names), "other")
        groups["common" if name in common else group].append(field)
    groups["common"].sort(key=lambda field: common.index(field[0]))
    groups["run"] += [
        ("seeds", Annotated[int, tyro.conf.arg(help="Train with this many seeds, report mean and deviation.")], 1),
        ("config", Annotated[str, tyro.conf.arg(help="A configuration file (TOML), overridden by flags.")], ""),
    ]
    check_words(args, {NAMES.get(name, name).replace("_", "-") for name in fields})
    nested = []
    for group, members in groups.items():
        if members:
            kind = dataclasses.make_dataclass(group, members, frozen=True, eq=False, repr=False)
            nested.append((group, Annotated[kind, tyro.conf.arg(help="")], dataclasses.field(default=kind())))
    flags = cli(
        dataclasses.make_dataclass("Flags", nested, eq=False, repr=False),
        command,
        args,
        config=(tyro.conf.OmitArgPrefixes,),
        prog=f"{command} [{'|'.join(presets)}]",
        description=f"Presets: {', '.join(presets)}. Without one: default where --data is given, else laptop.",
    )
    values = {name: value for group in vars(flags).values() for name, value in vars(group).items()}
    config = dataclasses.replace(config, **{name: values[name] for name in vars(config)})
    return config, dataclasses.replace(run, **{name: values[name] for name in vars(run)}), values["seeds"]


def _flags(settings: Any) -> dict[str, tuple[str, Any, Any]]:
    """The fields of a dataclass as arguments of `make_dataclass`, with their documentation for
    `--help`."""
    hints, docs = get_type_hints(type(settings)), field_docs(type(settings))
    for name, hint in hints.items():
        if is_pair(name, hint):  # one number stands for both
            hints[name] = Annotated[hint, number_spec(get_args(hint)[0], 2)]
    return {
        name: (name, Annotated[hints[name], _arg(NAMES.get(name, name), docs.get(name, ""), value)], value)
        for name, value in vars(settings).items()
    }


def _arg(name: str | None, doc: str, value: Any) -> Any:
    """A flag for tyro, which prints defaults literally: one from a configuration file may contain
    anything."""
    default = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    hint = f"(default: {printable(default)})" if printable(default) != default else None
    return tyro.conf.arg(name=name, help=doc, help_behavior_hint=hint)
