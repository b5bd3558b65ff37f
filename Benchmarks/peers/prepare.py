"""Models of one shape for everybody, with random weights, made once in build/peers."""
import json
import subprocess
import sys
from pathlib import Path

import numpy

from peer import HEADS, HIDDEN, LAYERS, LEFT, RIGHT, ROWS, SIDE, errors_only

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BIN = ROOT / ".build" / "release"
POSITIONS = 1024
# What has the 256-pixel VQGAN and hardly any transformer: layers, hidden, heads, left text, image side, right text, kernels, specials.
SMALL = (1, 64, 1, LEFT, 32, RIGHT, 7, 9, 384, 384)


def run(*command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def checkpoint(folder, shape="350M"):
    if not (folder / "pytorch_model.bin").exists():
        print(f"writing a random checkpoint in {folder}", file=sys.stderr)
        code = f"import synthetic; synthetic.PRESETS.update(small={SMALL}); synthetic.main()"
        subprocess.run(
            [sys.executable, "-c", code, "--preset", shape, "--output", str(folder)], check=True, cwd=ROOT / "Benchmarks")


def pack(folder, vqgan, output, kind, shape):
    # Again whenever the converter is newer: it may write another layout.
    quantizer = BIN / "rudolph-quant"
    if not output.exists() or output.stat().st_mtime < quantizer.stat().st_mtime:
        run(quantizer, *shape, "--transformer", folder / "pytorch_model.bin", "--vqgan", vqgan,
            "--tokenizer", folder / "bpe.model", "--type", kind, "--no-calibration", "-o", output)


def small_config(path):
    layers, hidden, heads, left, side, right, kernel, last, text, image = SMALL
    path.write_text(json.dumps({
        "name": "256px",
        "model_params": dict(
            num_layers=layers, hidden_size=hidden, num_attention_heads=heads, l_text_seq_length=left, image_tokens_per_dim=side,
            r_text_seq_length=right, kernel_size=kernel, last_kernel_size=last, cogview_sandwich_layernorm=True, cogview_pb_relax=True,
            text_special_tokens=text, image_special_tokens=image, vocab_size=16384 + left, image_vocab_size=8192),
        "special_tokens": {name: 16384 + index for index, name in enumerate(
            ["<LT_UNK>", "<RT_UNK>", "<LT_T2I>", "<LT_I2T>", "<LT_T2T>", "<RT_I2T>"])},
        "bpe": dict(vocab_size=16384, pad_id=0, unk_id=1, bos_id=2, eos_id=3),
        "vqgan": dict(
            ddconfig=dict(double_z=False, z_channels=256, resolution=256, in_channels=3, out_ch=3, ch=128, ch_mult=[1, 1, 2, 4],
                          num_res_blocks=2, attn_resolutions=[32], dropout=0.0), n_embed=8192, embed_dim=256),
    }))


def gpt2_weights():
    """(module, shape) of GPT-2 medium's matrices with RUDOLPH's rows; what else it has are vectors."""
    yield "wte", (ROWS, HIDDEN)
    yield "wpe", (POSITIONS, HIDDEN)
    yield "head", (ROWS, HIDDEN)
    for layer in range(LAYERS):
        for name, rows, columns in [("qkv", 3, 1), ("out", 1, 1), ("up", 4, 1), ("down", 1, 4)]:
            yield f"{layer}.{name}", (rows * HIDDEN, columns * HIDDEN)


def gpt2():
    random = numpy.random.default_rng(0)
    return {name: 0.02 * random.standard_normal(shape, numpy.float32) for name, shape in gpt2_weights()}


def gguf_models(folder, weights):
    """Q4_0 and Q8_0 as llama.cpp's own quantizer makes them of a half precision file; no vocabulary beside its size."""
    import ctypes
    import gguf
    import llama_cpp

    errors_only(llama_cpp)
    half = folder / "gpt2-f16.gguf"
    writer = gguf.GGUFWriter(half, "gpt2")
    writer.add_block_count(LAYERS)
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(4 * HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(ROWS)

    def norm(name):
        writer.add_tensor(f"{name}.weight", numpy.ones(HIDDEN, numpy.float32))
        writer.add_tensor(f"{name}.bias", numpy.zeros(HIDDEN, numpy.float32))

    writer.add_tensor("token_embd.weight", weights["wte"].astype(numpy.float16))
    writer.add_tensor("position_embd.weight", weights["wpe"])
    writer.add_tensor("output.weight", weights["head"].astype(numpy.float16))
    norm("output_norm")
    for layer in range(LAYERS):
        norm(f"blk.{layer}.attn_norm")
        norm(f"blk.{layer}.ffn_norm")
        for ours, theirs in [("qkv", "attn_qkv"), ("out", "attn_output"), ("up", "ffn_up"), ("down", "ffn_down")]:
            weight = weights[f"{layer}.{ours}"]
            writer.add_tensor(f"blk.{layer}.{theirs}.weight", weight.astype(numpy.float16))
            writer.add_tensor(f"blk.{layer}.{theirs}.bias", numpy.zeros(len(weight), numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for name, kind in [("Q4_0", llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0), ("Q8_0", llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0)]:
        parameters = llama_cpp.llama_model_quantize_default_params()
        parameters.ftype = kind
        output = folder / f"gpt2-{name}.gguf"
        if llama_cpp.llama_model_quantize(str(half).encode(), str(output).encode(), ctypes.byref(parameters)) != 0:
            raise SystemExit(f"{output}: llama.cpp did not quantize it")
    half.unlink()


def ctranslate2_model(folder, weights):
    from ctranslate2.specs import common_spec, transformer_spec

    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        LAYERS, HEADS, pre_norm=True, activation=common_spec.Activation.GELUTanh)
    decoder = spec.decoder

    def linear(target, weight):
        target.weight, target.bias = weight, numpy.zeros(len(weight), numpy.float32)

    def norm(target):
        target.gamma, target.beta = numpy.ones(HIDDEN, numpy.float32), numpy.zeros(HIDDEN, numpy.float32)

    decoder.scale_embeddings = False
    decoder.embeddings.weight = weights["wte"]
    decoder.position_encodings.encodings = weights["wpe"]
    linear(decoder.projection, weights["head"])
    norm(decoder.layer_norm)
    for index, layer in enumerate(decoder.layer):
        norm(layer.self_attention.layer_norm)
        norm(layer.ffn.layer_norm)
        for target, name in [(layer.self_attention.linear[0], "qkv"), (layer.self_attention.linear[1], "out"),
                             (layer.ffn.linear_0, "up"), (layer.ffn.linear_1, "down")]:
            linear(target, weights[f"{index}.{name}"])
    spec.register_vocabulary([f"t{index}" for index in range(ROWS)])
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = "t0", "t1", "t2"
    spec.validate()
    spec.optimize("int8")
    folder.mkdir()
    spec.save(str(folder))


def pictures(folder):
    """Four of each size: plain, wavy, blocky, noisy. As arrays, and as files for the command line."""
    from PIL import Image

    for side in (128, 256):
        random = numpy.random.default_rng(side)
        y, x = numpy.mgrid[0:side, 0:side][..., None] / side
        waves = 128 + 120 * numpy.sin(x * numpy.array([9, 17, 31]) + y * numpy.array([21, 5, 13]))
        blocks = random.integers(0, 256, (side // 8, side // 8, 3)).repeat(8, 0).repeat(8, 1)
        for name, values in [("plain", 255 * x + 0 * y + [0, 0, 0]), ("waves", waves), ("blocks", blocks),
                             ("noise", waves + random.normal(0, 40, (side, side, 3)))]:
            pixels = numpy.clip(values, 0, 255).astype(numpy.uint8)
            numpy.save(folder / f"picture-{side}-{name}.npy", pixels)
            Image.fromarray(pixels).save(folder / f"picture-{side}-{name}.png")


def prepare(work, models):
    """Makes in `work` what is missing. Our own models of 350M come from `models` if it is another folder."""
    work.mkdir(parents=True, exist_ok=True)
    checkpoint(models / "350M")
    if models == work:
        for kind in ("int4", "int8"):
            pack(work / "350M", work / "350M" / "vqgan.ckpt", work / f"350M-{kind}.gguf", kind, ["--preset", "350M"])
    checkpoint(work / "256px", "small")
    small_config(work / "256px" / "config.json")
    # The same VQGAN as that of 350M.
    pack(work / "256px", models / "350M" / "vqgan.ckpt", work / "256px.gguf", "int8", ["--config", work / "256px" / "config.json"])
    if not (work / "decode-256.onnx").exists():
        print("exporting the VQGAN to ONNX", file=sys.stderr)
        run(sys.executable, "-W", "ignore", HERE / "upstream.py", models / "350M", "export", work)
    if not (work / "gpt2-Q8_0.gguf").exists() or not (work / "ctranslate2" / "model.bin").exists():
        weights = gpt2()
        if not (work / "gpt2-Q8_0.gguf").exists():
            gguf_models(work, weights)
        if not (work / "ctranslate2").exists():
            ctranslate2_model(work / "ctranslate2", weights)
    if not (work / "picture-256-noise.png").exists():
        pictures(work)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
