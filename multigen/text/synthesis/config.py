"""Settings common to all methods of text synthesis."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from multigen.config import Settings

__all__ = ["Network", "PolicyGradientConfig", "TextSynthesisConfig"]

Network = Literal["lstm", "transformer", "relational", "pretrained"]


@dataclass(frozen=True)
class TextSynthesisConfig(Settings):
    """Settings of the data, the generator, maximum likelihood, the adversarial stage and the
    evaluation."""

    data: str = "fables"
    """fables, fables:N (so many), dialogues, oracle, an oracle's .npz, a text file, a table (.csv,
    .tsv, .jsonl), a folder of them, or hf:NAME. Rows of a .jsonl with `messages` are conversations,
    whose answers alone are learnt."""
    test: str = ""
    """Test texts, used for the final evaluation only; empty: a twentieth of the data."""
    unit: Literal["auto", "line", "file", "paragraph"] = "auto"
    """What is one text. Files too long for one are divided into windows of `length` tokens."""
    column: str = ""
    """Column of a table that holds the texts; empty: text, or the only one."""
    encoding: str = ""
    """Encoding of files that are not UTF-8 and have no mark (BOM), such as cp1252."""
    keep_lines: bool = False
    """Keep the line breaks of paragraphs, as is done for poems in any case."""
    conditional: bool = False
    """Learn the classes of texts, so that one can be requested: that of the folder they are in, or
    of `label_column`."""
    label_column: str = ""
    """Column of a table that holds the classes, for `conditional`."""
    tokenizer: str = ""
    """bpe, characters or words (which does not keep spaces and line breaks), made from the training
    texts; or a transformers tokenizer by name or folder. Empty: bpe, of fables words, or that of
    the pretrained model."""
    vocabulary_size: int = 0
    """Tokens at most, the rarest are left out; 0: all words or characters, 4,000 of bpe."""
    length: int = 52
    """Tokens of a text at most, its end included; longer ones are cut. An oracle's all have it."""
    oracle_texts: int = 10_000
    """Sequences drawn from an oracle to train on, and as many to test on."""
    skip_bad: bool = False
    """Skip lines or files that cannot be read, and say which and why."""
    batch: int = 64
    """Texts per step, over all processes."""
    samples: int = 1_000
    """Number of samples to evaluate."""
    lm_steps: int = 1_000
    """Training steps of the language models that score samples, where neither an oracle nor a
    grammar can."""
    prompt: int = 0
    """Tokens of test texts that are given to be continued, and compared with how these go on; 0:
    not measured."""

    network: Network = "lstm"
    """G: an LSTM, a transformer of GPT-2's shape, a relational memory, or a trained causal model
    (`pretrained`)."""
    pretrained: str = ""
    """A causal model of the transformers library by name or folder, a model folder of multigen, or
    smollm2-135m-instruct (`multigen import`); its tokenizer is taken where `tokenizer` names
    none."""
    lora_rank: int = 0
    """Rank of the adapters that fine-tune the pretrained model, whose own weights stay as they are
    (Hu et al. 2022, LoRA, arXiv:2106.09685); 0: none, all its weights are trained."""
    embedding: int = 64
    """Dimensions of the token embedding of an LSTM or of a relational memory."""
    width: int = 256
    """Units of the LSTM, or dimensions of the transformer, or of each slot of the memory."""
    layers: int = 1
    """Layers of the LSTM or of the transformer."""
    heads: int = 4
    """Attention heads of the transformer or of the relational memory."""
    slots: int = 1
    """Slots of the relational memory."""

    mle_steps: int = 3_000
    """Steps of maximum likelihood."""
    mle_lr: tuple[float, float] = (3e-3, 3e-4)
    """First and last learning rate of maximum likelihood, a cosine schedule; a transformer's warms
    up."""
    patience: int = 0
    """Validations without a better likelihood after which maximum likelihood ends; 0: all its steps
    are made."""
    begin_from: Literal["best", "last"] = "best"
    """Which model of maximum likelihood, by the validation texts, the stages after it start
    from."""
    clip_norm: float = 5.0
    """Maximum norm of G's gradient; 0: no limit."""

    discriminator_steps: int = 300
    """Steps of D before the adversarial stage."""
    steps: int = 100
    """Adversarial steps."""
    critic_steps: int = 5
    """Discriminator updates per adversarial step."""
    lr: float = 1e-3
    """Learning rate of G in the adversarial stage and the controls."""
    discriminator_lr: float = 1e-3
    """Learning rate of D."""
    discriminator_embedding: int = 64
    """Dimensions of D's token embedding."""
    kl: float = 0.0
    """Weight of KL(G || the model of maximum likelihood), nats per token."""

    ranges: ClassVar[dict[str, float | tuple[float, float]]] = {
        **{"length": (2, 1 << 15), "batch": 1, "samples": 10, "lm_steps": 1, "prompt": 0, "oracle_texts": 10},
        **{"vocabulary_size": 0, "embedding": 1, "width": 1, "layers": (1, 1_000), "heads": 1, "slots": 1},
        **{
            "lora_rank": (0, 1_024),
            "discriminator_embedding": 1,
            "mle_steps": 1,
            "patience": 0,
            "discriminator_steps": 0,
        },
        **{"steps": 0, "critic_steps": 0},
        **{"mle_lr": 0, "lr": 0, "discriminator_lr": 0, "clip_norm": 0, "kl": 0},
    }
    """Setting -> minimum, or (minimum, maximum); a method adds its own."""


@dataclass(frozen=True)
class PolicyGradientConfig(TextSynthesisConfig):
    """Settings of methods whose G learns by policy gradient."""

    control_steps: int = 100
    """Steps of each control, a constant and a random reward; 0: no controls."""
    negatives: int = 2_000
    """Texts of G that D learns from at a time."""
    refill: int = 100
    """Updates of D after which G writes new texts for it."""
    baseline: Literal["none", "mean", "critic"] = "none"
    """What is subtracted from values: nothing, the mean of the other texts of the batch, or the
    output of a learned critic."""
    scale_rewards: bool = False
    """Subtract the mean of values over the batch, and divide by their deviation (Shao et al. 2024,
    GRPO, arXiv:2402.03300)."""

    ranges = TextSynthesisConfig.ranges | {"control_steps": 0, "negatives": 1, "refill": 1}

    @property
    def couples(self) -> bool:
        """Whether the policy's loss compares the texts of a batch, so that a batch cannot be
        divided."""
        return self.baseline == "mean" or self.scale_rewards
