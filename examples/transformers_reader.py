"""Is there more of one word than of another? A BERT on the spot: ``python transformers_reader_plain.py``."""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from search.integrations.transformers import LanewiseCallback

WORDS = 12
QUIET = {"disable_tqdm": True, "report_to": "none", "logging_strategy": "no", "dataloader_pin_memory": False}


def make_texts(size, seed):
    """Return texts of 16 words, each labelled by whether word 3 is in it more often than word 4."""
    draw = torch.Generator().manual_seed(seed)
    texts = torch.randint(3, WORDS, (size, 16), generator=draw)
    labels = ((texts == 3).sum(1) > (texts == 4).sum(1)).long()
    return [{"input_ids": text, "labels": label} for text, label in zip(texts, labels, strict=True)]


def make_model(width, dropout):
    """Return a BERT of one layer with fresh weights."""
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * width,
        hidden_dropout_prob=dropout,
        max_position_embeddings=16,
    )
    return BertForSequenceClassification(config)


def train(trial):
    """Train the reader."""
    params = trial.params
    callback = LanewiseCallback(trial)
    arguments = TrainingArguments(
        trial.folder,
        num_train_epochs=trial.max_epochs,
        seed=trial.seed % 2**32,
        learning_rate=params["learning_rate"],
        per_device_train_batch_size=32,
        eval_strategy="epoch",
        save_strategy="no",
        **QUIET,
    )
    data = {"train_dataset": make_texts(320, 1), "eval_dataset": make_texts(160, 2)}
    model = make_model(params["width"], params["dropout"])
    Trainer(model, arguments, callbacks=[callback], **data).train(callback.resume_from_checkpoint)
