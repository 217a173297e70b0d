"""Which peptides bind to a receptor? A transformer encoder reads nine amino acids and predicts the affinity.

condition: overfitting
accepts: overfitting
metric: val_loss min
"""

import argparse

import torch
from torch import nn

ACIDS, LENGTH = 20, 9


class Assay:
    """Anchors at places 2 and 9 matter most, some pairs help each other, and the measurement is noisy."""

    def __init__(self):
        self.anchor = torch.randn(LENGTH, ACIDS) * torch.tensor([0.2, 1.0, 0.3, 0.2, 0.3, 0.3, 0.4, 0.2, 1.0])[:, None]
        self.pair = 0.5 * torch.randn(ACIDS, ACIDS)

    def run(self, count):
        peptides = torch.randint(ACIDS, (count, LENGTH))
        affinity = self.anchor[torch.arange(LENGTH), peptides].sum(1) + self.pair[peptides[:, 1], peptides[:, 8]]
        return peptides, (affinity + 0.6 * torch.randn(count)) / 1.8


class Binder(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.acid = nn.Embedding(ACIDS, width)
        self.place = nn.Parameter(0.5 * torch.randn(LENGTH, width))
        layer = nn.TransformerEncoderLayer(width, 4, 96, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 1)

    def forward(self, peptides):
        x = self.encoder(self.acid(peptides) + self.place)
        return self.head(x.mean(1)).squeeze(1)


class Trainer:
    def __init__(self, train, val):
        self.train, self.val = train, val
        self.model = Binder()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.01)
        self.loss_fn = nn.MSELoss()

    def fit(self, steps, every):
        total = 0.0
        for step in range(1, steps + 1):
            rows = torch.randint(len(self.train[0]), (64,))
            loss = self.loss_fn(self.model(self.train[0][rows]), self.train[1][rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item() / every
            if step % every == 0:
                print(f"step {step}  loss {total:.4f}  val_loss {self.validate():.4f}")
                total = 0.0

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        loss = self.loss_fn(self.model(self.val[0]), self.val[1]).item()
        self.model.train()
        return loss


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measured", type=int, default=700)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    assay = Assay()
    Trainer(assay.run(args.measured), assay.run(1000)).fit(steps=800, every=20)


if __name__ == "__main__":
    main()
