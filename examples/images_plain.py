"""Squares or discs? A CNN on images that are flipped and shifted at random: ``python images_plain.py``."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset


class Shapes(Dataset):
    """Noisy drawings of 16 x 16 pixels, made on the spot; where ``augment`` is true they change from epoch to epoch."""

    def __init__(self, size, seed, augment):
        draw = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(2, (size,), generator=draw)
        y, x = torch.meshgrid(torch.arange(16) - 7.5, torch.arange(16) - 7.5, indexing="ij")
        square, disc = torch.maximum(x.abs(), y.abs()) < 4.5, (x**2 + y**2).sqrt() < 5
        shapes = torch.stack([square, disc]).float()[self.labels]
        self.images = (shapes + 0.5 * torch.randn(size, 16, 16, generator=draw)).unsqueeze(1)
        self.augment = augment

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, number):
        image = self.images[number]
        if self.augment:
            image = image.flip(-1) if torch.rand(()) < 0.5 else image
            image = image.roll(tuple(torch.randint(-2, 3, (2,)).tolist()), (-2, -1))
        return image, self.labels[number]


def validate(model, loader, device):
    """Return the loss and the accuracy on a loader's images."""
    model.eval()
    with torch.no_grad():
        found = [(model(images.to(device)), labels.to(device)) for images, labels in loader]
    logits, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    return cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()


def train():
    """Train a CNN on the drawings."""
    params = {"learning_rate": 5e-3, "dropout": 0.0, "filters": 8}
    device = torch.device("cpu")
    torch.manual_seed(0)
    filters = params["filters"]
    model = nn.Sequential(
        *(nn.Conv2d(1, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(filters, filters, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        *(nn.Dropout(params["dropout"]), nn.Linear(4 * filters, 2)),
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=params["learning_rate"])
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    training = DataLoader(Shapes(256, 1, augment=True), batch_size=32, shuffle=True, num_workers=1)
    validation = DataLoader(Shapes(128, 2, augment=False), batch_size=64)
    for _epoch in range(4):
        model.train()
        for images, labels in training:
            loss = cross_entropy(model(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        val_loss, val_accuracy = validate(model, validation, device)
        print(f"val_loss={val_loss:.4f} val_accuracy={val_accuracy:.3f}")


if __name__ == "__main__":
    train()
