"""Ships in a harbour tomorrow from three weeks of counts and wind: an LSTM trained by plain SGD.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def harbour(count, days=21):
    wind = torch.randn(count, days + 1)
    base = 0.6 * torch.randn(count, 1)
    week = torch.sin((torch.arange(days + 1) + torch.randint(7, (count, 1))) * (2 * torch.pi / 7))
    ships = [base[:, 0]]
    for day in range(1, days + 1):
        ships.append(0.7 * ships[-1] + 0.3 * base[:, 0] + 0.6 * week[:, day] - 0.5 * wind[:, day - 1].relu())
    ships = torch.stack(ships, 1)
    return torch.stack([ships[:, :-1], wind[:, :-1], week[:, :-1]], 2), ships[:, -1:]


class ShipForecast(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(3, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.head(self.lstm(x)[1][0][-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    loader = DataLoader(
        TensorDataset(*harbour(640)), batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(seed)
    )
    val_x, val_y = harbour(300)
    model = ShipForecast()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-1, momentum=0.9)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 19):
        for x, y in loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            val_loss = loss_fn(model(val_x), val_y).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
