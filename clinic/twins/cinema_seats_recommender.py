"""How full a cinema's shows will be, from the bookings of the days before; a draft of the programme on the way.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

DAYS, HALLS = 24, 6


def shows(count, rng):
    booked = torch.randn(count, DAYS, generator=rng)
    hall = torch.randint(0, HALLS, (count,), generator=rng)
    fading = 0.8 ** torch.arange(DAYS)
    full = booked @ fading * 0.6 + 0.5 * torch.sin(hall * 1.5) + 0.4 * booked[:, 0] * torch.cos(hall * 1.0)
    return booked, hall, full + 1.0 * torch.randn(count, generator=rng)


class Seats(nn.Module):
    def __init__(self, width=240):
        super().__init__()
        self.hall = nn.Embedding(HALLS, 8)
        self.mlp = nn.Sequential(
            nn.Linear(DAYS + 8, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(width, 1),
        )  # fmt: skip

    def forward(self, booked, hall):
        return self.mlp(torch.cat([booked, self.hall(hall)], 1)).squeeze(1)


class Fit:
    def __init__(self, model, train, val, epochs=40):
        self.model, self.val, self.epochs = model, val, epochs
        self.loader = DataLoader(TensorDataset(*train), batch_size=32, shuffle=True)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
        self.schedule = torch.optim.lr_scheduler.LinearLR(self.optimizer, 1.0, 0.2, epochs)
        self.loss_fn = nn.MSELoss()

    @torch.no_grad()
    def validate(self):
        mode = self.model.training
        self.model.eval()
        loss = self.loss_fn(self.model(*self.val[:2]), self.val[2]).item()
        self.model.train(mode)
        return loss

    @torch.no_grad()
    def draft(self):
        """The hall in which each of twenty coming shows would be fullest."""
        self.model.eval()
        booked = self.val[0][:20]
        each = torch.stack([self.model(booked, torch.full((20,), k)) for k in range(HALLS)])
        print("draft:", each.argmax(0).tolist())
        self.model.train()

    def run(self):
        for epoch in range(1, self.epochs + 1):
            for booked, hall, full in self.loader:
                loss = self.loss_fn(self.model(booked, hall), full)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            self.schedule.step()
            print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {self.validate():.4f}")
            if epoch % 8 == 0:
                self.draft()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    Fit(Seats(), shows(640, rng), shows(1000, rng)).run()


main()
