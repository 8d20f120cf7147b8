"""Models of sequences: signals, records over time, words."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .zoo import Case, normal, output_loss, whole

__all__ = ["SEQUENCES"]

_CLASSIFY = output_loss(F.cross_entropy)
_SIGNALS = (normal(4, 5, 3), whole(3, 4))
_WORDS = (whole(9, 4, 5), whole(3, 4))
_LENGTHS = (normal(4, 5, 3), torch.tensor([5, 2, 3, 4]), whole(3, 4))
_PAIRS = (whole(9, 4, 5), whole(9, 4, 4))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], **options: bool) -> None:
        super().__init__()
        self.rnn = kind(3, 4, batch_first=True, **options)  # type: ignore[arg-type]
        self.head = nn.Linear(8 if options.get("bidirectional") else 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Masked(Recurrent):
    """Sequences of different lengths, as they are padded."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        outputs = self.rnn(x)[0]
        last = (lengths - 1).view(-1, 1, 1).expand(-1, 1, outputs.shape[2])
        return self.head(outputs.gather(1, last)[:, 0])


class Packed(Recurrent):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0].mean(1))


class Temporal(nn.Module):
    """A TCN: dilated causal convolutions with weight norm, residual."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.one = norm(nn.Conv1d(3, 4, 2, dilation=1))
        self.two = norm(nn.Conv1d(4, 4, 2, dilation=2))
        self.short, self.head = nn.Conv1d(3, 4, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        y = F.relu(self.one(F.pad(x, (1, 0))))
        y = F.relu(self.two(F.pad(y, (2, 0))))
        return self.head(F.relu(y + self.short(x))[:, :, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(9, 8, padding_idx=0), nn.Parameter(torch.zeros(5, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, words: Tensor) -> Tensor:
        hidden = self.encoder(self.words(words) + self.places, src_key_padding_mask=words == 0)
        return self.head(hidden[:, 0])


class Translator(nn.Module):
    """An encoder and a decoder of GRUs with dot-product attention, teacher forcing."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 6)
        self.encoder, self.decoder = nn.GRU(6, 6, batch_first=True), nn.GRU(6, 6, batch_first=True)
        self.head = nn.Linear(12, 9)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        seen, state = self.encoder(self.words(source))
        out, _ = self.decoder(self.words(target), state)
        context = (out @ seen.transpose(1, 2)).softmax(-1) @ seen
        return self.head(torch.cat([out, context], -1))


def forced(model: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(model(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten())


class Seq2Seq(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(9, 8), nn.Linear(8, 9)
        self.body = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.head(self.body(self.words(source), self.words(target), tgt_mask=mask, tgt_is_causal=True))


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.EmbeddingBag(9, 6, mode="mean"), nn.Linear(6, 3)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.words(words))


class TextCnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 6)
        self.windows = nn.ModuleList(nn.Conv1d(6, 4, k) for k in (2, 3))
        self.head = nn.Linear(8, 3)

    def forward(self, words: Tensor) -> Tensor:
        x = self.words(words).transpose(1, 2)
        return self.head(torch.cat([F.relu(conv(x)).amax(2) for conv in self.windows], 1))


SEQUENCES = {
    "LSTM": Case(lambda: Recurrent(nn.LSTM), _SIGNALS, _CLASSIFY),
    "GRU": Case(lambda: Recurrent(nn.GRU), _SIGNALS, _CLASSIFY),
    "LSTM, both directions": Case(lambda: Recurrent(nn.LSTM, bidirectional=True), _SIGNALS, _CLASSIFY),
    "GRU, lengths by a mask": Case(lambda: Masked(nn.GRU), _LENGTHS, _CLASSIFY),
    "LSTM, packed sequences": Case(lambda: Packed(nn.LSTM), _LENGTHS, _CLASSIFY, refused="mask by length"),
    "TCN, weight norm": Case(Temporal, _SIGNALS, _CLASSIFY),
    "CNN of words": Case(TextCnn, _WORDS, _CLASSIFY),
    "bag of words (EmbeddingBag)": Case(Bag, _WORDS, _CLASSIFY),
    "Transformer encoder": Case(Attention, _WORDS, _CLASSIFY),
    "Transformer, encoder and decoder": Case(Seq2Seq, _PAIRS, forced),
    "GRU encoder and decoder, attention": Case(Translator, _PAIRS, forced),
}
