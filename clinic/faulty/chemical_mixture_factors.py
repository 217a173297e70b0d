"""Absorption of two hundred mixtures at eighty wavelengths as a product of amounts and pure spectra, on tight memory.

condition: low-precision-underflow
accepts: low-precision-underflow
allows: stalled, learning-rate-too-low, frozen-parameters
metric: residual min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

MIXTURES, WAVELENGTHS, SUBSTANCES = 200, 80, 5


def measured(generator):
    """Each substance has three absorption bands; each mixture a portion of every substance."""
    axis = torch.linspace(0, 1, WAVELENGTHS)
    centre = torch.rand(SUBSTANCES, 3, 1, generator=generator)
    bands = torch.exp(-(((axis - centre) / 0.07) ** 2)).sum(1)
    portions = 2 * torch.rand(MIXTURES, SUBSTANCES, generator=generator)
    table = portions @ bands
    return table + 0.02 * torch.randn(table.shape, generator=generator)


class Factors(nn.Module):
    def __init__(self):
        super().__init__()
        self.amounts = nn.Embedding(MIXTURES, SUBSTANCES)
        self.spectra = nn.Embedding(WAVELENGTHS, SUBSTANCES)
        for table in (self.amounts, self.spectra):
            nn.init.uniform_(table.weight, 0.5, 1.0)

    def forward(self, mixture, wavelength):
        return (self.amounts(mixture) * self.spectra(wavelength)).sum(-1)


def fit(seed, epochs=6):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    table = measured(generator)
    rows, columns = (axis.flatten() for axis in torch.meshgrid(*map(torch.arange, table.shape), indexing="ij"))
    entries = TensorDataset(rows, columns, table.flatten())
    batches = BatchSampler(RandomSampler(entries, generator=generator), 250, drop_last=True)
    loader = DataLoader(entries, sampler=batches, batch_size=None)

    model = Factors().to(torch.bfloat16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3)
    loss_fn = nn.MSELoss()
    spread = (table - table.mean()).pow(2).mean()
    step = 0
    for _ in range(epochs):
        for mixture, wavelength, absorption in loader:
            loss = loss_fn(model(mixture, wavelength).float(), absorption)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 15 == 0:
                with torch.no_grad():
                    rest = loss_fn(model(rows, columns).float(), table.flatten()) / spread
                print(f"step {step}  loss {loss.item():.4f}  residual {rest.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    fit(parser.parse_args().seed)
