"""What `.ci/run` counts the time of its parts in: about as much Python and as many small
convolutions as in the tests."""

import json

import torch
from torch import nn

torch.set_num_threads(1)
net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 3))
optimiser = torch.optim.Adam(net.parameters())
for _ in range(150):
    optimiser.zero_grad()
    net(torch.randn(8, 3, 32, 32)).square().mean().backward()
    optimiser.step()
table = {str(i): [i, {"a": i / 3, "b": f"text {i}"}] for i in range(1000)}
for _ in range(100):
    table = json.loads(json.dumps(table))
    assert sum(len(text) for text in sorted(str(row) for row in table.values())) > 0
