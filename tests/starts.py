"""Ten natural models as PyTorch draws them, and some with a bad start: what ``surefoot inspect`` is tried on."""

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from surefoot.init import critical_


def ids(n, *shape):
    return torch.randint(n, shape, generator=torch.Generator().manual_seed(1))


def numbers(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def redraw(model, scale):
    """Weights of another size: variance times fan-in is ``scale``."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.weight.normal_(0, math.sqrt(scale / module.weight[0].numel()))
                if module.bias is not None:
                    module.bias.zero_()
    return model


def mlp(act, depth, width=64, inputs=32):
    sizes = [inputs] + [width] * depth
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), act())]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def relu_mlp():
    return mlp(nn.ReLU, 6), numbers(64, 32), ids(10, 64)


def tanh_mlp():
    return mlp(nn.Tanh, 6), numbers(64, 32), numbers(64, 10)


def cnn():
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 16, 10),
    )
    return model, numbers(16, 1, 8, 8), ids(10, 16)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


def resnet():
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *[Block(16) for _ in range(6)],
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    return model, numbers(16, 3, 12, 12), ids(10, 16)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(50, 32), nn.LSTM(32, 48, 2, batch_first=True), nn.Linear(48, 7)

    def forward(self, x):
        return self.head(self.lstm(self.embed(x))[0])


def lstm():
    return Tagger(), ids(50, 16, 24), ids(7, 16, 24)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(60, 48)
        self.body = nn.TransformerEncoder(nn.TransformerEncoderLayer(48, 4, 96, batch_first=True), 4)
        self.head = nn.Linear(48, 3)

    def forward(self, x):
        return self.head(self.body(self.embed(x)).mean(1))


def encoder():
    return Encoder(), ids(60, 16, 20), ids(3, 16)


class GPTBlock(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(b, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, d)
        x = x + self.proj(y)
        return x + self.down(F.gelu(self.up(self.ln2(x))))


class GPT(nn.Module):
    def __init__(self, d=48, layers=6, words=80, length=32):
        super().__init__()
        self.token, self.place = nn.Embedding(words, d), nn.Embedding(length, d)
        self.blocks = nn.ModuleList(GPTBlock(d) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, words, bias=False)

    def forward(self, x):
        h = self.token(x) + self.place(torch.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


def gpt():
    return GPT(), ids(80, 8, 32), ids(80, 8, 32)


class ViT(nn.Module):
    def __init__(self, d=48):
        super().__init__()
        self.patch = nn.Conv2d(3, d, 4, 4)
        self.place = nn.Parameter(0.02 * torch.randn(1, 16, d))
        layer = nn.TransformerEncoderLayer(d, 4, 96, activation="gelu", batch_first=True, norm_first=True)
        self.body, self.norm = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False), nn.LayerNorm(d)
        self.head = nn.Linear(d, 10)

    def forward(self, x):
        return self.head(self.norm(self.body(self.patch(x).flatten(2).transpose(1, 2) + self.place)).mean(1))


def vit():
    return ViT(), numbers(8, 3, 16, 16), ids(10, 8)


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(64, 8), nn.Linear(64, 8)
        self.decode = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, x):
        h = self.encode(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decode(z), mean, log_variance


def elbo(output, x):
    y, mean, log_variance = output
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
    return F.binary_cross_entropy_with_logits(y, x, reduction="none").sum(1).mean() + kl


def vae():
    x = numbers(32, 64).sigmoid()
    return VAE(), x, x, elbo


class GNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 4)])

    def forward(self, x, adjacency):
        for layer in self.layers[:-1]:
            x = F.relu(adjacency @ layer(x))
        return adjacency @ self.layers[-1](x)


def gnn():
    a = (torch.rand(40, 40, generator=torch.Generator().manual_seed(3)) < 0.1).float()
    a = ((a + a.T) > 0).float() + torch.eye(40)
    scale = a.sum(1).rsqrt()
    return GNN(), (numbers(40, 16), scale[:, None] * a * scale), ids(4, 40)


HEALTHY = (relu_mlp, tanh_mlp, cnn, resnet, lstm, encoder, gpt, vit, vae, gnn)


def deep_sigmoid():
    return mlp(nn.Sigmoid, 12), numbers(64, 32), ids(10, 64)


def deep_relu_small():
    return redraw(mlp(nn.ReLU, 20), 0.5), numbers(64, 32), ids(10, 64)


def deep_relu_large():
    return redraw(mlp(nn.ReLU, 20), 8.0), numbers(64, 32), ids(10, 64)


def saturated_tanh():
    return redraw(mlp(nn.Tanh, 4), 64.0), numbers(64, 32), ids(10, 64)


def dead_relu():
    model = mlp(nn.ReLU, 3)
    nn.init.constant_(model[2].bias, -10.0)
    return model, numbers(64, 32), ids(10, 64)


class Mixer(nn.Module):
    """Attention without skips: tokens become one."""

    def __init__(self, d=32, layers=8):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(layers))
        self.parts = nn.ModuleList(nn.MultiheadAttention(d, 1, batch_first=True) for _ in range(layers))
        self.head = nn.Linear(d, 5)

    def forward(self, x):
        for norm, part in zip(self.norms, self.parts, strict=True):
            x = norm(part(x, x, x, need_weights=False)[0])
        return self.head(x)


def mixer():
    return Mixer(), numbers(8, 24, 32), ids(5, 8, 24)


def critical_gelu():
    model = mlp(nn.GELU, 12, 256)
    critical_(model, "gelu", generator=torch.Generator().manual_seed(0))
    return model


ILL = {
    deep_sigmoid: {"vanishing-gradient"},
    deep_relu_small: {"off-critical-initialisation", "vanishing-gradient"},
    deep_relu_large: {"off-critical-initialisation", "exploding-gradient"},
    saturated_tanh: {"saturated-units"},
    dead_relu: {"dead-units"},
    mixer: {"rank-collapse"},
}


def tiny():
    return mlp(nn.Tanh, 3, 6, 5), numbers(20, 5), ids(10, 20)


def two_inputs():
    return GNN()


def no_layer():
    model = nn.Identity()
    model.scale = nn.Parameter(torch.ones(1))
    return model


def wrong_shape():
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(5, 2))


def frozen():
    return mlp(nn.ReLU, 2).requires_grad_(False), numbers(8, 32)


def wrong_inputs():
    return mlp(nn.ReLU, 2), numbers(8, 31)


def wrong_targets():
    return mlp(nn.ReLU, 2), numbers(8, 32), ids(10, 7)
