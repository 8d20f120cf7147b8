"""Models of the package transformers, by configurations of one layer; none is downloaded."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .zoo import Case, normal, whole

__all__ = ["LANGUAGE"]

_SMALL = {
    "vocab_size": 32,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_labels": 3,
}
_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_WORDS = whole(30, 4, 6) + 2
_MASK = (torch.arange(6) < torch.tensor([6, 4, 5, 3])[:, None]).long()
_TEXTS = (_WORDS, _MASK, whole(3, 4))


def library() -> Any:
    return pytest.importorskip("transformers", reason="pip install grid-platform[test]")


def classify(model: Any, words: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    return model(input_ids=words, attention_mask=mask, labels=labels).loss  # type: ignore[no-any-return]


def next_word(model: Any, words: Tensor, mask: Tensor) -> Tensor:
    return model(input_ids=words, attention_mask=mask, labels=words).loss  # type: ignore[no-any-return]


def translate(model: Any, words: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    return model(input_ids=words, attention_mask=mask, labels=labels).loss  # type: ignore[no-any-return]


def pictures(model: Any, images: Tensor, labels: Tensor) -> Tensor:
    return model(pixel_values=images, labels=labels).loss  # type: ignore[no-any-return]


class Listener(nn.Module):
    """Whisper's encoder, a mean over time, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        t = library()
        config = t.WhisperConfig(
            vocab_size=32, num_mel_bins=4, d_model=8, encoder_layers=1, encoder_attention_heads=2,
            encoder_ffn_dim=16, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=16,
            max_source_positions=6, max_target_positions=8, dropout=0.0,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        )  # fmt: skip
        self.encoder = t.models.whisper.modeling_whisper.WhisperEncoder(config)
        self.head = nn.Linear(8, 3)

    def forward(self, sound: Tensor) -> Tensor:
        return self.head(self.encoder(sound).last_hidden_state.mean(1))


def heard(model: nn.Module, sound: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(model(sound), labels)


class Adapted(nn.Module):
    """LoRA: a frozen linear layer, and the product of two thin matrices beside it (Hu et al., 2021)."""

    def __init__(self, base: nn.Linear, rank: int = 2) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, base.in_features) / math.sqrt(base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.down.T @ self.up.T


def lora(model: nn.Module) -> nn.Module:
    """Adapters at queries and values; all else is frozen but the classifier."""
    model.requires_grad_(False)
    for part in list(model.modules()):
        for name in ("query", "value"):
            if isinstance(getattr(part, name, None), nn.Linear):
                setattr(part, name, Adapted(getattr(part, name)))
    model.classifier.requires_grad_(True)
    return model


def bert() -> Any:
    t = library()
    return t.BertForSequenceClassification(t.BertConfig(**_SMALL, **_NO_DROPOUT, max_position_embeddings=8))


def distilbert() -> Any:
    t = library()
    return t.DistilBertForSequenceClassification(
        t.DistilBertConfig(
            vocab_size=32, dim=8, n_layers=1, n_heads=2, hidden_dim=16, dropout=0.0, attention_dropout=0.0,
            seq_classif_dropout=0.0, max_position_embeddings=8, num_labels=3,
        )
    )  # fmt: skip


def roberta() -> Any:
    t = library()
    return t.RobertaForSequenceClassification(
        t.RobertaConfig(**_SMALL, **_NO_DROPOUT, max_position_embeddings=10)
    )


def gpt2() -> Any:
    t = library()
    return t.GPT2LMHeadModel(
        t.GPT2Config(
            vocab_size=32, n_embd=8, n_layer=1, n_head=2, n_positions=8, use_cache=False,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=1,
        )
    )  # fmt: skip


def llama() -> Any:
    t = library()
    small = {key: value for key, value in _SMALL.items() if key != "num_labels"}
    return t.LlamaForCausalLM(
        t.LlamaConfig(**small, num_key_value_heads=1, max_position_embeddings=8, use_cache=False)
    )


def t5() -> Any:
    t = library()
    return t.T5ForConditionalGeneration(
        t.T5Config(
            vocab_size=32, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, dropout_rate=0.0,
            decoder_start_token_id=0, pad_token_id=0, use_cache=False,
        )
    )  # fmt: skip


def vit() -> Any:
    t = library()
    small = {key: value for key, value in _SMALL.items() if key != "vocab_size"}
    return t.ViTForImageClassification(t.ViTConfig(**small, **_NO_DROPOUT, image_size=8, patch_size=4))


LANGUAGE = {
    "BERT": Case(bert, _TEXTS, classify),
    "DistilBERT": Case(distilbert, _TEXTS, classify),
    "RoBERTa": Case(roberta, _TEXTS, classify),
    "GPT-2": Case(gpt2, _TEXTS[:2], next_word),
    "Llama": Case(llama, _TEXTS[:2], next_word),
    "T5": Case(t5, (_WORDS, _MASK, _WORDS[:, :4].contiguous()), translate),
    "ViT": Case(vit, (normal(4, 3, 8, 8), whole(3, 4)), pictures),
    "Whisper's encoder": Case(Listener, (normal(4, 4, 12), whole(3, 4)), heard),
    "BERT, LoRA": Case(lambda: lora(bert()), _TEXTS, classify),
}
