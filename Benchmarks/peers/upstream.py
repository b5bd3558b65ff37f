"""The reference in PyTorch at full size: python upstream.py FOLDER fp32|int8|export WORK

FOLDER holds pytorch_model.bin and vqgan.ckpt. int8 is torch's dynamic quantization of the linear layers; the VQGAN stays fp32.
Times are in the process: loading is left out. `export` writes the VQGAN's ONNX graphs into WORK.
"""
import sys
from pathlib import Path

import numpy
import torch

# Before this folder, where this file has the same name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Tests" / "Parity"))
from upstream import GumbelVQ, ruDolphModel  # noqa: E402
from peer import HEADS, HIDDEN, LAYERS, LEFT, PROMPT, RIGHT, SIDE, THREADS, TOKENS, serve, timed  # noqa: E402

folder, kind = Path(sys.argv[1]), sys.argv[2]
TEXT_ROWS = 16384 + LEFT + 384
torch.set_num_threads(THREADS)
torch.set_grad_enabled(False)


def fill(module, name, strict):
    state = torch.load(folder / name, weights_only=True)
    state = state.get("state_dict", state)
    # Parameters are copied one by one into those that are there, which makes them fp32.
    module.load_state_dict(state, strict=strict)
    return module.eval().requires_grad_(False)


def load_vqgan():
    return fill(GumbelVQ(
        ddconfig=dict(double_z=False, z_channels=256, resolution=256, in_channels=3, out_ch=3, ch=128, ch_mult=[1, 1, 2, 4],
                      num_res_blocks=2, attn_resolutions=[32], dropout=0.0),
        n_embed=8192, embed_dim=256), "vqgan.ckpt", strict=False)


def load_transformer():
    model = fill(ruDolphModel(
        device="cpu", num_layers=LAYERS, hidden_size=HIDDEN, num_attention_heads=HEADS, embedding_dropout_prob=0,
        output_dropout_prob=0, attention_dropout_prob=0, l_text_seq_length=LEFT, image_tokens_per_dim=SIDE, r_text_seq_length=RIGHT,
        kernel_size=7, last_kernel_size=9, vocab_size=16384 + LEFT, image_vocab_size=8192, text_special_tokens=384,
        image_special_tokens=384), "pytorch_model.bin", strict=True)
    if kind == "int8":
        torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
    return model


class Encoder(torch.nn.Module):
    """[1, 3, side, side] in 0 ... 1 to the tokens, in reading order."""

    def __init__(self, vqgan):
        super().__init__()
        self.vqgan = vqgan

    def forward(self, picture):
        vqgan = self.vqgan
        return vqgan.quantize.proj(vqgan.quant_conv(vqgan.encoder(2 * picture - 1))).flatten(2)[0].argmax(0)


class Decoder(torch.nn.Module):
    """Tokens to [1, 3, side, side] in 0 ... 1."""

    def __init__(self, vqgan, side):
        super().__init__()
        self.vqgan, self.side = vqgan, side

    def forward(self, tokens):
        latent = self.vqgan.quantize.embed(tokens.reshape(1, self.side, self.side)).permute(0, 3, 1, 2)
        return (self.vqgan.decode(latent).clamp(-1, 1) + 1) / 2


def export(output):
    vqgan = load_vqgan()
    for pixels in (128, 256):
        picture = torch.rand(1, 3, pixels, pixels)
        tokens = torch.zeros((pixels // 8) ** 2, dtype=torch.long)
        for name, module, example in [("encode", Encoder(vqgan), picture), ("decode", Decoder(vqgan, pixels // 8), tokens)]:
            torch.onnx.export(
                module.eval(), (example,), output / f"{name}-{pixels}.onnx", dynamo=True, external_data=False, verbose=False)


def load():
    model, vqgan = load_transformer(), load_vqgan()
    encode = Encoder(vqgan)
    decode = {pixels: Decoder(vqgan, pixels // 8) for pixels in (128, 256)}
    pictures = {pixels: torch.rand(1, 3, pixels, pixels) for pixels in (128, 256)}
    mask = torch.tril(torch.ones(1, 1, LEFT + SIDE * SIDE + RIGHT, LEFT + SIDE * SIDE + RIGHT))
    left = torch.zeros(1, LEFT, dtype=torch.long)
    left[0, :3] = torch.tensor([2, 16387, 3])

    def step(ids, cache, choose):
        logits, cache = model(ids, mask, use_cache=True, cache=cache)
        return torch.cat([ids, choose(logits[:, -1])], 1), cache

    def greedy(logits):
        return logits[:, :16384].argmax(-1, keepdim=True)

    def sample(logits):
        best = logits[:, TEXT_ROWS:TEXT_ROWS + 8192].topk(768)
        return best.indices.gather(1, torch.multinomial(best.values.softmax(-1), 1))

    def caption():
        """The parts of one caption, whose sum it is: the first token comes with the prompt."""
        seconds, tokens = timed(lambda: encode(pictures[128]))
        ids = torch.cat([left, tokens[None], torch.tensor([[2, 16389]])], 1)
        prefill, (ids, cache) = timed(lambda: step(ids, None, greedy))
        deep = []
        for _ in range(TOKENS - 1):
            token, (ids, cache) = timed(lambda: step(ids, cache, greedy))
            deep.append(token)
        return {"encode-128": [seconds], "prompt": [prefill], "deep": deep, "caption": [seconds + prefill + sum(deep)]}

    def measure():
        seconds = caption()
        if kind == "fp32":
            seconds["encode-256"] = [timed(lambda: encode(pictures[256]))[0]]
            for pixels, decoder in decode.items():
                tokens = torch.randint(8192, ((pixels // 8) ** 2,))
                seconds[f"decode-{pixels}"] = [timed(lambda: decoder(tokens))[0]]
        return seconds

    def draw():
        def run():
            ids, cache = left, None
            for _ in range(SIDE * SIDE):
                ids, cache = step(ids, cache, sample)
            return decode[128](ids[0, LEFT:])
        return {"draw": [timed(run)[0]]}

    def draw_quick():
        """Three tokens at three depths of the picture, times what a picture has of them."""
        seconds = []
        for depth in (0, 120, 240):
            ids = torch.cat([left, torch.randint(8192, (1, depth))], 1)
            ids, cache = step(ids, None, sample)
            for _ in range(3):
                token, (ids, cache) = timed(lambda: step(ids, cache, sample))
                seconds.append(token)
        decoding, _ = timed(lambda: decode[128](torch.randint(8192, (SIDE * SIDE,))))
        return {"draw": [SIDE * SIDE * sum(seconds) / len(seconds) + decoding]}

    def tokens():
        """Of the sample pictures in the folder of the third argument."""
        return {
            path.stem: encode(torch.from_numpy(numpy.load(path)).permute(2, 0, 1)[None] / 255).tolist()
            for path in sorted(Path(sys.argv[3]).glob("picture-*.npy"))}

    return {"measure": measure, "caption": caption, "draw": draw, "draw-quick": draw_quick, "tokens": tokens}


if kind == "export":
    export(Path(sys.argv[3]))
else:
    serve(load)
