"""Current through a neuron's membrane as it depends on voltage, calcium and temperature: a network for the conductance.

condition: epsilon-dominated-update
accepts: epsilon-dominated-update
allows: stalled, learning-rate-too-low, low-precision-underflow, vanishing-gradient, frozen-parameters
metric: rel_error min
"""

import argparse

import torch
from torch import nn


def recordings(n, g):
    """Voltage in volts, calcium in mol/l, temperature in kelvin; the current comes in ampere."""
    volt = torch.rand(n, generator=g) * 0.16 - 0.10
    calcium = 10 ** (torch.rand(n, generator=g) * 3 - 7)
    kelvin = 285 + 25 * torch.rand(n, generator=g)
    bound = calcium / (calcium + 3e-6 * torch.exp(-volt / 0.04))
    siemens = 4e-9 * 2.2 ** ((kelvin - 295) / 10) * (0.1 + bound / (1 + torch.exp(-(volt + 0.03) / 0.012)))
    ampere = siemens * (volt + 0.085)
    ampere = ampere + 2e-12 * torch.randn(n, generator=g)
    return torch.stack([volt, calcium, kelvin], 1), ampere


class Membrane(nn.Module):
    def __init__(self, units=40, reversal=-0.085):
        super().__init__()
        self.reversal = reversal
        self.net = nn.Sequential(
            nn.Linear(3, units), nn.Tanh(), nn.Linear(units, units), nn.Tanh(), nn.Linear(units, 1)
        )

    def forward(self, state):
        volt, calcium, kelvin = state.unbind(1)
        scaled = torch.stack([(volt + 0.02) / 0.05, calcium.log10() + 5.5, (kelvin - 297.5) / 8], 1)
        nanosiemens = nn.functional.softplus(self.net(scaled).squeeze(1))
        return 1e-9 * nanosiemens * (volt - self.reversal)


class CurrentLoss(nn.Module):
    def forward(self, predicted, measured):
        return (predicted - measured).pow(2).mean()


def fit(seed, steps=1500, batch=128):
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    state, current = recordings(6000, g)
    val_state, val_current = recordings(1500, g)
    model, loss_fn = Membrane(), CurrentLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
    for step in range(1, steps + 1):
        rows = torch.randint(len(state), (batch,), generator=g)
        loss = loss_fn(model(state[rows]), current[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 75 == 0:
            with torch.no_grad():
                rel = (model(val_state) - val_current).norm() / val_current.norm()
            print(f"step {step}  loss {loss.item():.3e}  rel_error {rel.item():.4f}")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    fit(ap.parse_args().seed)
