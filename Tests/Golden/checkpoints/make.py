#!/usr/bin/env python3
"""Writes the small checkpoints that Tests/ConvertersTests read: every element type, strided and shared tensors, wrappers, and what
trainers keep beside the weights. Needs torch and safetensors; the files were made with torch 2.13."""
import argparse
import collections
import pathlib

import torch

folder = pathlib.Path(__file__).parent
base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8 - 1
types = {
    "half": torch.float16, "brain": torch.bfloat16, "float": torch.float32, "double": torch.float64, "byte": torch.uint8,
    "char": torch.int8, "short": torch.int16, "int": torch.int32, "long": torch.int64, "bool": torch.bool,
}
state = collections.OrderedDict()
for name, dtype in types.items():
    whole = torch.arange(6).reshape(2, 3)
    state[name] = whole.to(dtype) if dtype in (torch.uint8, torch.bool) else (whole - 2).to(dtype)
state["transposed"] = base.t()
state["slice"] = base[1:3, 1:6:2]
state["expanded"] = base[0, :2].reshape(2, 1).expand(2, 3)
state["scalar"] = torch.tensor(2.5)
state["empty"] = torch.zeros(0, 3)
state["parameter"] = torch.nn.Parameter(torch.tensor([0.5, -0.25]))
state["cube"] = torch.arange(24, dtype=torch.float16).reshape(2, 3, 4).permute(0, 2, 1)
torch.save(state, folder / "zip.pt")
torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)

wrapped = {
    "epoch": 3, "global_step": 12345678901234567890, "pytorch-lightning_version": "1.6.0",
    "state_dict": collections.OrderedDict(("model.module." + name, tensor) for name, tensor in state.items()),
    "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.95)}]}],
    "hyper_parameters": argparse.Namespace(lr=1e-4), "rng": torch.get_rng_state()[:16], "device": torch.device("cpu"),
    "dtype": torch.float16, "shape": torch.Size([2, 3]), "names": {"a", "b"},
}
torch.save(wrapped, folder / "wrapped.pt")

try:
    from safetensors.torch import save_file
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, folder / "tensors.safetensors", {"format": "pt"})
except ImportError:
    print("safetensors is not installed: tensors.safetensors is as it was")
