"""Which of two words is more frequent? An LSTM on sequences of many lengths: ``python sequences_plain.py``."""

import random

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader

WORDS = 6


def make_sequences(count, seed):
    """Return pairs of a sequence of 5 to 20 words and whether its word 1 is more frequent than its word 2."""
    draw = random.Random(seed)
    texts = [draw.choices(range(1, WORDS), k=draw.randint(5, 20)) for _ in range(count)]
    return [(torch.tensor(text), int(text.count(1) > text.count(2))) for text in texts]


def collate(pairs):
    """Return sequences padded with 0 to the longest [B, T], their lengths [B] and their labels [B]."""
    texts, labels = zip(*pairs, strict=True)
    return pad_sequence(texts, batch_first=True), torch.tensor([len(t) for t in texts]), torch.tensor(labels)


class Reader(nn.Module):
    """Embeds words, reads them with an LSTM, and judges by its last state."""

    def __init__(self, width, dropout):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, width, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 2))

    def forward(self, texts, lengths):
        """Return logits [B, 2] of padded texts [B, T]."""
        packed = pack_padded_sequence(self.embedding(texts), lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.lstm(packed)[1][0][-1])


def train(trial):
    """Train the reader with gradients clipped."""
    params = trial.params
    device = trial.device
    model = Reader(params["width"], params["dropout"]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=params["learning_rate"])
    training = DataLoader(make_sequences(240, 1), batch_size=24, shuffle=True, collate_fn=collate)
    validation = DataLoader(make_sequences(120, 2), batch_size=120, collate_fn=collate)
    trial.keep(model=model, optimizer=optimizer)
    for _epoch in trial.epochs():
        model.train()
        for texts, lengths, labels in training:
            loss = cross_entropy(model(texts.to(device), lengths), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        model.eval()
        texts, lengths, labels = next(iter(validation))
        with torch.no_grad():
            val_loss = cross_entropy(model(texts.to(device), lengths), labels.to(device))
        trial.report(val_loss=val_loss)
