"""Base trainer of text synthesis: corpus, generator, maximum likelihood, evaluation.

A method derives from `TextSynthesisTrainer`, and states only what differs: its discriminator, and
the adversarial stage. `PolicyGradientTrainer` (policy.py) is the base of those with rewards.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from multigen.config import from_table
from multigen.engine import (
    Adam,
    Batch,
    Best,
    Callback,
    Copy,
    Cosine,
    EarlyStop,
    Optimiser,
    Stage,
    Step,
    TensorSource,
    Terms,
    Trainer,
    Update,
    WarmUp,
)
from multigen.engine.checkpoint import load_strict
from multigen.engine.evaluation import Evaluation
from multigen.errors import CheckpointError, ConfigError
from multigen.losses.policy_gradient import kl_divergence
from multigen.runs.card import Card
from multigen.storage.files import fingerprint, write_whole
from multigen.storage.model_folder import ModelFolder
from multigen.tasks.loading import load_network
from multigen.text.datasets import Corpus, TextInfo, check_prompt, open_corpus
from multigen.text.decoding import log_probs, sample, token_mask
from multigen.text.networks.adapters import Adapted
from multigen.text.networks.descriptions import describe
from multigen.text.networks.generators import LSTM, Generator, Transformer
from multigen.text.networks.pretrained import DESCRIPTION, load_described, load_pretrained
from multigen.text.networks.relational import RelationalMemory
from multigen.text.synthesis.answers import answers, evaluate_answers
from multigen.text.synthesis.config import TextSynthesisConfig
from multigen.text.synthesis.evaluation import AS_IT_COMES, evaluate_models
from multigen.text.synthesis.evaluator import VALIDATED, Evaluator
from multigen.text.synthesis.writer import Writer
from multigen.text.tokenizers import read_tokenizer
from multigen.text.vocabularies import given_tokenizer

__all__ = ["TextSynthesisTrainer"]

C = TypeVar("C", bound=TextSynthesisConfig)


class TextSynthesisTrainer(Trainer[C]):
    """Trains G to write texts: by maximum likelihood, then against D.

    A method states `discriminator`, `discriminator_update` and `adversarial_stage`, and what
    differs of `optimisers` and `stages`.
    """

    task = Writer.task
    sizes = ("length", "width")
    budget = ("mle_steps", "discriminator_steps", "steps")
    validations = 50.0  # an evaluation trains language models
    data_info: TextInfo = TextInfo()
    corpus: Corpus
    evaluator: Evaluator
    G: Generator
    D: nn.Module

    # ---------------------------------------------------------------------------------- what a method states

    def discriminator(self) -> nn.Module:
        """Builds an untrained D from `config` and `data_info`."""
        raise NotImplementedError

    def discriminator_update(self, repeat: int = 1) -> Update:
        """`repeat` steps of D."""
        raise NotImplementedError

    def adversarial_stage(self) -> Stage:
        """G and D against each other, from `starts`; its best G by `nll_validation`."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- data and networks

    def default_callbacks(self) -> Sequence[Callback]:
        return [Card()]

    def open_data(self) -> TensorSource:
        c = self.config
        if c.conditional and c.network == "pretrained":
            raise ConfigError(
                "conditional: a pretrained model has no tokens for classes; give --network lstm, transformer or relational"
            )
        if c.lora_rank and c.network != "pretrained":
            raise ConfigError(
                f"lora_rank {c.lora_rank}: network {c.network} has no trained weights; give --network pretrained"
            )
        if c.lora_rank and self.run.start:
            raise ConfigError(
                f"lora_rank {c.lora_rank}: adapters are new; name the model that they adapt: --pretrained {self.run.start}, "
                "without --from"
            )
        self.corpus = open_corpus(
            c.data,
            c.length,
            test=c.test,
            unit=c.unit,
            tokenizer=c.tokenizer or c.pretrained,
            vocabulary_size=c.vocabulary_size,
            oracle_texts=c.oracle_texts,
            skip_bad=c.skip_bad,
            encoding=c.encoding,
            column=c.column,
            keep_lines=c.keep_lines,
            conditional=c.conditional,
            label_column=c.label_column,
            given=given_tokenizer(c.tokenizer, self.run.start),
        )
        check_prompt(self.corpus, c.prompt, c.test or c.data)
        self.data_info, self.held_out = self.corpus.info, self.corpus.held_out
        if c.pretrained and Path(c.pretrained).expanduser().exists():
            self.files = {"pretrained": fingerprint(Path(c.pretrained).expanduser())}
        self.check_data()
        validated = c.samples if c.network == "pretrained" else VALIDATED  # which takes long to read them
        self.evaluator = Evaluator(self.corpus, c.samples, c.lm_steps, self.run.seed, validated)
        if self.corpus.given and not c.mle_steps:
            raise ConfigError(f"mle_steps 0: conversations of {c.data} are learnt by likelihood; give --mle-steps")
        return TensorSource(
            {"tokens": self.corpus.train} | ({"given": self.corpus.given[0]} if self.corpus.given else {})
        )

    def networks(self) -> dict[str, nn.Module]:
        self.nets = nets = dict[str, nn.Module](G=self.generator())
        if self.data_info.dialogue:
            return nets
        nets["D"] = self.discriminator()
        return nets

    def generator(self, described: Path | None = None) -> Generator:
        """An untrained G, or the pretrained one. `described`: the file of a model folder that
        describes a pretrained one, which then need not be available itself."""
        c, info = self.config, self.data_info
        if c.network == "lstm":
            return LSTM(info.tokens, c.embedding, c.width, c.layers, info.start)
        if c.network == "transformer":
            return Transformer.gpt2(info.tokens, c.width, c.layers, c.heads, c.length, info.start)
        if c.network == "relational":
            return RelationalMemory(info.tokens, c.embedding, c.width, c.heads, c.slots, info.start)
        if described is not None:
            return load_described(described, info.start, info.tokens)
        G = load_pretrained(c.pretrained, info.start, info.tokens, c.length)
        return Adapted(G, c.lora_rank) if c.lora_rank else G

    def exported(self, name: str) -> dict[str, Tensor]:
        """The weights as the model folder holds them: of adapters, those of the whole model."""
        weights = super().exported(name)
        if not isinstance(self.nets[name], Adapted):
            return weights
        G: Any = copy.deepcopy(self.nets[name])
        load_strict(G.state_dict(), weights, name)
        return G.merged()

    def optimisers(self) -> Mapping[str, Optimiser]:
        c = self.config
        recurrent = c.network in ("lstm", "relational")
        lr = Cosine(*c.mle_lr) if recurrent else WarmUp(0.03, Cosine(*c.mle_lr))
        return {"G": Adam(lr), "D": Adam(c.discriminator_lr)}

    # ---------------------------------------------------------------------------------- stages

    def stages(self) -> list[Stage]:
        """All stages; of conversations maximum likelihood alone."""
        c = self.config
        if self.data_info.dialogue:
            return [self.likelihood_stage()]
        return [
            self.likelihood_stage(),
            Stage("discriminator", c.discriminator_steps, [self.discriminator_update()], starts=self.starts()),
            self.adversarial_stage(),
        ]

    def likelihood_stage(self) -> Stage:
        """Maximum likelihood; its best model has the lowest nll of the validation texts."""
        c, best = self.config, Best("nll_validation")
        until = EarlyStop(best.metric, patience=c.patience, restore=False) if c.patience else None
        update = Update("likelihood", ["G"], self.likelihood_loss, clip_norm=c.clip_norm)
        return Stage("mle", c.mle_steps, [update], best=best, until=until)

    def starts(self) -> dict[str, tuple[str, str]]:
        """Initial weights of the stages after maximum likelihood: G from its `begin_from`."""
        return {"G": ("mle", self.config.begin_from)}

    def reference(self) -> dict[str, Copy]:
        """G as it is when a stage begins, for `divergence`."""
        return {"reference": Copy("G")} if self.config.kl else {}

    # ---------------------------------------------------------------------------------- losses

    def likelihood_loss(self, batch: Batch, step: Step) -> Terms:
        """-log p of each token; of conversations, of each token of the answer."""
        mask = token_mask(batch["tokens"], self.data_info.last, batch.get("given"))
        return {"nll": (-(log_probs(self.G, batch["tokens"]) * mask).sum(), mask.sum())}

    def divergence(self, logits: Tensor, tokens: Tensor) -> Terms:
        """The weighted KL(G || `reference`) by G's logits (B, T, V) of its texts (B, T), if so
        configured."""
        if not self.config.kl:
            return {}
        with torch.no_grad():
            reference = self.copies["reference"](tokens)
        divergence, count = kl_divergence(logits, reference, token_mask(tokens, self.data_info.last))
        return {"kl": (self.config.kl * divergence, count)}

    # ---------------------------------------------------------------------------------- texts of G

    def draw(self, G: Any, uniform: Tensor) -> Tensor:
        """Texts of G (N, T) from uniform numbers (N, T)."""
        return sample(G, uniform, self.data_info.last, self.data_info.pad)

    # ---------------------------------------------------------------------------------- evaluation

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        return {"nll_validation": self.evaluator.validation_nll(self._generator_of(nets))}

    def preview(self, nets: Mapping[str, nn.Module], folder: Path) -> None:
        """Eight samples, from the same random numbers each time; of conversations, eight
        answers."""
        if self.data_info.dialogue:
            part = slice(8)
            G, given = self._generator_of(nets), self.corpus.given[1][part]
            shown = answers(G, self.corpus, self.corpus.validation[part], given)
            write_whole(folder / f"step-{self.step:09d}.txt", "\n".join(shown) + "\n")
            return
        text = "\n\n".join(self.evaluator.texts(self._generator_of(nets), 8))
        write_whole(folder / f"step-{self.step:09d}.txt", text + "\n")

    def score(self) -> Evaluation:
        """All models of the run; see `evaluate_models`, and `evaluate_answers` for
        conversations."""
        if self.data_info.dialogue:
            return evaluate_answers(self.evaluator, self.trained_models(), self.folder)
        return evaluate_models(self.evaluator, self.trained_models(), self.folder, self.config.prompt)

    def trained_models(self) -> Iterator[tuple[list[str], Generator]]:
        """Names and G of all stages that train it: STAGE/best and STAGE/last, both names at once
        where it is one model; before them a pretrained model as it comes, where adapters leave it
        known. It is one network, with the weights of each in turn."""
        G = self._generator_of(self.nets)
        weights = {name: t.clone() for name, t in G.state_dict().items()}
        G.eval()
        if isinstance(G, Adapted):
            for name, tensor in G.state_dict().items():
                tensor.mul_(".lora_B." not in name)  # B is 0 before training
            yield [AS_IT_COMES], G
        for stage in [s for s in self.plan if any("G" in u.trains for u in s.updates)]:
            steps = {point: self.state.scalars.get(f"{point}_step/{stage.name}") for point in ("best", "last")}
            for step in dict.fromkeys(s for s in steps.values() if s is not None):
                names = [point for point, at in steps.items() if at == step]
                load_strict(G.state_dict(), self.saved("G", stage.name, names[0]), f"G, {names[0]} of {stage.name}")
                yield [f"{stage.name}/{point}" for point in names], G
        load_strict(G.state_dict(), weights, "G")
        G.train()

    @staticmethod
    def _generator_of(nets: Mapping[str, nn.Module]) -> Generator:
        G = nets["G"]
        assert isinstance(G, Generator)
        return G

    # ---------------------------------------------------------------------------------- use

    def texts(self) -> dict[str, str]:
        """The tokenizer, and the description of a pretrained model."""
        files = {}
        if self.corpus.tokenizer is not None:
            files["tokenizer.json"] = self.corpus.tokenizer.to_json()
        if self.config.network == "pretrained":
            G: Any = self.nets["G"]
            files[DESCRIPTION] = json.dumps(describe(G.model.config.to_dict()), indent=1) + "\n"
        return files

    @classmethod
    def load(cls, folder: ModelFolder) -> Writer:
        """The trained generator of a model folder, on its device.

        Raises CheckpointError where its parts do not fit together, ConfigError for settings that
        none was trained with.
        """
        where = f"{folder.path}, config.json"
        trainer = cls(from_table(cls.config_type(), folder.config, where))
        trainer.data_info = info = from_table(cls.data_info, folder.data, where)
        tokenizer = read_tokenizer(folder.path)
        fingerprint = tokenizer.fingerprint if tokenizer else ""
        if fingerprint != info.vocabulary:
            raise CheckpointError(
                f"{folder.path}: tokenizer {fingerprint or 'missing'}, expected {info.vocabulary or 'none'}, which the model was "
                "trained with; copy the whole model folder again"
            )
        if wrong := info.mismatch(tokenizer):
            raise CheckpointError(f"{where}: {wrong}; copy the whole model folder again")
        described = folder.path / DESCRIPTION if trainer.config.network == "pretrained" else None
        G = load_network(
            lambda: trainer.generator(described), folder.weights.get("G", {}), f"{folder.path}, G", folder.device
        )
        length = trainer.config.length
        return Writer(G, tokenizer, length, info.last, info.pad, info.classes, info.dialogue)
