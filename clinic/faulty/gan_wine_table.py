"""Made-up wines: a GAN of four chemical measurements and colour; both rates fall in steps as training goes on.

condition: mode-collapse
accepts: mode-collapse, scheduler-misuse
allows: adversarial-rotation, scheduler-misuse, learning-rate-too-low, stalled, vanishing-gradient, divergence
metric: distance min
"""

import argparse

import torch
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler
from torch import nn

COLUMNS = [0, 6, 9, 12]
LATENT = 8


def block(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, outputs), nn.LeakyReLU(0.2))


def energy_distance(a, b):
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


class WineGAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(block(LATENT, 64), block(64, 64), nn.Linear(64, 4))
        self.discriminator = nn.Sequential(block(4, 64), block(64, 64), nn.Linear(64, 1))

    def sample(self, count):
        return 3.5 * torch.tanh(self.generator(torch.randn(count, LATENT)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    wines = torch.tensor(StandardScaler().fit_transform(load_wine().data[:, COLUMNS]), dtype=torch.float32)
    model = WineGAN()
    g_optimizer = torch.optim.Adam(model.generator.parameters(), lr=5e-4, betas=(0.5, 0.99))
    d_optimizer = torch.optim.Adam(model.discriminator.parameters(), lr=1e-3, betas=(0.5, 0.99))
    g_scheduler = torch.optim.lr_scheduler.MultiStepLR(g_optimizer, milestones=[900], gamma=0.5)
    d_scheduler = torch.optim.lr_scheduler.MultiStepLR(d_optimizer, milestones=[300, 350, 400], gamma=0.1)

    for step in range(1, 901):
        real = wines[torch.randint(len(wines), (64,))] + 0.05 * torch.randn(64, 4)
        fake = model.sample(64)
        real_score, fake_score = model.discriminator(real), model.discriminator(fake.detach())
        d_loss = torch.relu(1 - real_score).mean() + torch.relu(1 + fake_score).mean()
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()

        g_loss = -model.discriminator(fake).mean()
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        g_scheduler.step()
        d_scheduler.step()

        if step % 20 == 0:
            with torch.no_grad():
                distance = energy_distance(model.sample(400), wines).item()
            print(f"step {step}  d {d_loss.item():.3f}  g {g_loss.item():.3f}  distance {distance:.4f}")


main()
