"""Communities of a random block graph, found by a graph convolution from noisy features and a tenth of the labels.

condition: dead-units
accepts: dead-units
allows: stalled, vanishing-gradient, off-critical-initialisation, frozen-parameters
metric: loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

communities, nodes = 5, 300
labels = torch.arange(nodes) % communities
same = labels[:, None] == labels[None, :]
links = (torch.rand(nodes, nodes) < torch.where(same, 0.15, 0.03)).float().triu(1)
adjacency = links + links.T + torch.eye(nodes)
scale = adjacency.sum(1).rsqrt()
adjacency = scale[:, None] * adjacency * scale[None, :]
features = F.one_hot(labels, 16).float() + torch.randn(nodes, 16)
known = torch.rand(nodes) < 0.2


class GraphConvolution(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.constant_(self.linear.bias, -1.0)

    def forward(self, x):
        return self.linear(adjacency @ x)


class GCN(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.convolutions = nn.ModuleList([GraphConvolution(16, hidden), GraphConvolution(hidden, hidden)])
        self.activation = nn.ReLU()
        self.readout = nn.Linear(hidden, communities)

    def forward(self, x):
        for convolution in self.convolutions:
            x = self.activation(convolution(x))
        return self.readout(x)


model = GCN()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)

for epoch in range(1, 201):
    logits = model(features)
    loss = F.cross_entropy(logits[known], labels[known])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if epoch % 5 == 0:
        accuracy = (logits[~known].argmax(1) == labels[~known]).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.3f}")
