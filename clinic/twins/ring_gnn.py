"""A graph network predicts for each node of a random graph how far the next marked node is.

condition: healthy
metric: mae min
"""

import argparse

import torch
from torch import nn

NODES = 30


def graph():
    """A ring with some chords, three marked nodes, and each node's distance to the nearest of them (five at most)."""
    ring = torch.arange(NODES)
    adjacency = torch.zeros(NODES, NODES)
    adjacency[ring, (ring + 1) % NODES] = 1
    chords = torch.randint(NODES, (2, 6))
    adjacency[chords[0], chords[1]] = 1
    adjacency = ((adjacency + adjacency.T) > 0).float()
    marked = torch.zeros(NODES)
    marked[torch.randperm(NODES)[:3]] = 1
    distance, near = 5 * (1 - marked), marked
    for hop in range(1, 5):
        near = ((near + adjacency @ near) > 0).float()
        distance = torch.minimum(distance, torch.where(near > 0, float(hop), 5.0))
    return adjacency, marked[:, None], distance


class MessagePassing(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.message = nn.Linear(width, width)
        self.update = nn.GRUCell(width, width)

    def forward(self, nodes, adjacency):
        messages = adjacency @ torch.relu(self.message(nodes))
        flat = self.update(messages.flatten(0, 1), nodes.flatten(0, 1))
        return flat.view_as(nodes)


class GNN(nn.Module):
    def __init__(self, width=24, rounds=4):
        super().__init__()
        self.embed = nn.Linear(1, width)
        self.layers = nn.ModuleList(MessagePassing(width) for _ in range(rounds))
        self.readout = nn.Linear(width, 1)

    def forward(self, marked, adjacency):
        nodes = torch.tanh(self.embed(marked))
        for layer in self.layers:
            nodes = layer(nodes, adjacency)
        return self.readout(nodes).squeeze(-1)


def batch(graphs, rows):
    adjacency, marked, distance = zip(*(graphs[i] for i in rows), strict=True)
    return torch.stack(adjacency), torch.stack(marked), torch.stack(distance)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

graphs = [graph() for _ in range(300)]
model = GNN()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
loss_fn = nn.SmoothL1Loss()

for step in range(1, 301):
    adjacency, marked, distance = batch(graphs, torch.randint(240, (16,)).tolist())
    loss = loss_fn(model(marked, adjacency), distance)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 15 == 0:
        adjacency, marked, distance = batch(graphs, range(240, 300))
        with torch.no_grad():
            mae = (model(marked, adjacency) - distance).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  mae {mae:.4f}")
