"""The reference in PyTorch (fp32) at full size: time and memory of captioning one picture, to set beside ours.

    build/parity-venv/bin/python Benchmarks/peers/upstream.py FOLDER

FOLDER holds pytorch_model.bin and vqgan.ckpt, as Benchmarks/synthetic.py writes them for 350M. `make parity` makes the environment.
Prints one JSON object: seconds for the image tokens, for the prompt with the picture, for each further token, and peak memory.
"""
import json
import resource
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Tests" / "Parity"))
from upstream import GumbelVQ, ruDolphModel  # noqa: E402

TOKENS = 30
LEFT, SIDE, RIGHT = 64, 16, 64

torch.set_num_threads(2)
torch.set_grad_enabled(False)
folder = Path(sys.argv[1])


def load(name):
    state = torch.load(folder / name, weights_only=True)
    return state.get("state_dict", state)


def floats(state):
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


model = ruDolphModel(
    device="cpu", num_layers=24, hidden_size=1024, num_attention_heads=16, embedding_dropout_prob=0, output_dropout_prob=0,
    attention_dropout_prob=0, l_text_seq_length=LEFT, image_tokens_per_dim=SIDE, r_text_seq_length=RIGHT, kernel_size=7,
    last_kernel_size=9, vocab_size=16384 + LEFT, image_vocab_size=8192, text_special_tokens=384, image_special_tokens=384)
model.load_state_dict(floats(load("pytorch_model.bin")))
model.eval()
vqgan = GumbelVQ(
    ddconfig=dict(double_z=False, z_channels=256, resolution=256, in_channels=3, out_ch=3, ch=128, ch_mult=[1, 1, 2, 4],
                  num_res_blocks=2, attn_resolutions=[32], dropout=0.0),
    n_embed=8192, embed_dim=256)
vqgan.load_state_dict(floats(load("vqgan.ckpt")), strict=False)
vqgan.eval()


def timed(run):
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


picture = torch.rand(1, 3, 8 * SIDE, 8 * SIDE)
vqgan.encode(2 * picture - 1, disable_gumbel_softmax=True)
encode, encoded = timed(lambda: vqgan.encode(2 * picture - 1, disable_gumbel_softmax=True))
tokens = encoded[2][2].reshape(1, -1)
left = torch.zeros(1, LEFT, dtype=torch.long)
left[0, :3] = torch.tensor([2, 16387, 3])
ids = torch.cat([left, tokens, torch.tensor([[2, 16389]])], 1)
mask = torch.tril(torch.ones(1, 1, LEFT + SIDE * SIDE + RIGHT, LEFT + SIDE * SIDE + RIGHT))
read, (logits, cache) = timed(lambda: model(ids, mask, use_cache=True, cache=None))


def generate():
    global ids, logits, cache
    for _ in range(TOKENS):
        ids = torch.cat([ids, logits[:, -1, :16384].argmax(-1, keepdim=True)], 1)
        logits, cache = model(ids, mask, use_cache=True, cache=cache)


generated, _ = timed(generate)
print(json.dumps({
    "encode_s": round(encode, 3), "read_s": round(read, 3), "token_s": round(generated / TOKENS, 4),
    "caption_30_tokens_s": round(encode + read + generated, 2),
    "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
}))
