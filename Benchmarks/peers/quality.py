"""What quantizing the layers' matrices costs: our types beside ggml's (llama.cpp) and CTranslate2's, on the demo model.

    Benchmarks/peers/run.sh quality

The reference in PyTorch reads the 342 golden pictures with their captions, its matrices rounded and read back, everything else (activations,
embeddings, head) as it is in the checkpoint. Printed are, against the same with exact weights, the Kullback-Leibler divergence of what is expected
next and the share of positions whose most probable token stays the same. An importance matrix (`imatrix`), which weighs ggml's rounding, is
taken from these very pictures and captions, so it flatters ggml: ours is calibrated without any data.
"""
import ctypes
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import llama_cpp
import numpy
import torch
from gguf.quants import dequantize

root = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "Tests/Parity"))

from upstream import ruDolphModel  # noqa: E402

DEMO = root / "Models/demo/float"
CONVERTER = root / ".build/release/rudolph-quant"
MATRICES = ("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
GGML = ("Q8_0", "Q6_K", "Q5_K", "Q5_0", "Q4_1", "Q4_K", "IQ4_NL", "Q4_0", "Q3_K")
OURS = ("int8", "int8 --no-calibration", "int4", "int4 --no-calibration")


class Demo:
    """The reference with the demo checkpoint, and its sequences."""

    def __init__(self):
        configuration = json.loads((DEMO / "config.json").read_text())
        self.model = ruDolphModel("cpu", **configuration["model_params"])
        self.model.load_state_dict(torch.load(DEMO / "pytorch_model.bin", map_location="cpu", weights_only=True))
        self.model.float().eval()
        self.state = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.exact = {name: tensor for name, tensor in self.state.items() if self.is_rounded(name)}
        left, image, right = self.model.l_text_seq_length, self.model.image_seq_length, self.model.r_text_seq_length
        prompt = [2, configuration["special_tokens"]["<LT_I2T>"], 3]
        pictures = json.loads((root / "Tests/Golden/emoji.json").read_text())
        self.ids = torch.zeros(len(pictures), left + image + right, dtype=torch.long)
        self.is_text = torch.zeros(self.ids.shape, dtype=torch.bool)
        for row, picture in enumerate(pictures):
            sequence = prompt + [0] * (left - len(prompt)) + picture["tokens"] + picture["ids"]
            self.ids[row, :len(sequence)] = torch.tensor(sequence)
            self.is_text[row, left + image:len(sequence) - 1] = True
        self.image = slice(left - 1, left + image - 1)
        self.mask = torch.ones(1, 1, *[self.ids.shape[1]] * 2).tril()

    @staticmethod
    def is_rounded(name):
        return name.startswith("transformer.layers.") and name.endswith(".weight") and any(matrix in name for matrix in MATRICES)

    def expectations(self, weights):
        """Logarithms of the probabilities of the next token: of image tokens, of captions' tokens."""
        self.model.load_state_dict({**self.state, **weights})
        images, texts = [], []
        for ids, is_text in zip(self.ids.split(38), self.is_text.split(38)):
            logits = self.model(ids, self.mask.expand(len(ids), -1, -1, -1))[0]
            images.append(logits[:, self.image, self.model.vocab_size:].log_softmax(-1).flatten(0, 1))
            texts.append(logits[..., :self.model.vocab_size][is_text].log_softmax(-1))
        return torch.cat(images), torch.cat(texts)

    def importance(self):
        """Mean squares of the columns that each matrix multiplies."""
        squares = {}

        def watch(name):
            def hook(module, inputs):
                squares[name] = squares.get(name, 0) + inputs[0].flatten(0, -2).square().sum(0)
            return hook

        hooks = [module.register_forward_pre_hook(watch(f"{name}.weight"))
                 for name, module in self.model.named_modules() if f"{name}.weight" in self.exact]
        self.expectations(self.exact)
        for hook in hooks:
            hook.remove()
        return {name: (sums / self.ids.numel()).numpy() for name, sums in squares.items()}


def ggml_quantize():
    """ggml_quantize_chunk of the library that comes with llama-cpp-python."""
    library = ctypes.CDLL(str(next(Path(llama_cpp.__file__).parent.glob("lib/libggml-base.so"))))
    floats = ctypes.POINTER(ctypes.c_float)
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, floats, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [floats]

    def rounded(weights, type, importance):
        values = numpy.ascontiguousarray(weights.numpy())
        rows, columns = values.shape
        count, size = gguf.GGML_QUANT_SIZES[type]
        data = numpy.zeros((rows, columns // count * size), dtype=numpy.uint8)
        written = library.ggml_quantize_chunk(
            int(type), values.ctypes.data_as(floats), data.ctypes.data, 0, rows, columns,
            importance.ctypes.data_as(floats) if importance is not None else None)
        if written != data.size:
            raise SystemExit(f"{type.name}: {written} bytes, expected {data.size}")
        return torch.from_numpy(dequantize(data, type).copy())

    return rounded


def ctranslate2(weights):
    """int8 with one scale a row."""
    scale = 127 / weights.abs().amax(1, keepdim=True)
    return (weights * scale).round() / scale


def ours(type, folder):
    """The layers of a file that rudolph-quant wrote: the matrices and what was changed with their columns."""
    packed, plain = Path(folder) / "packed.gguf", Path(folder) / "plain.gguf"
    subprocess.run(
        [CONVERTER, "--config", DEMO / "config.json", "--transformer", DEMO / "pytorch_model.bin", "--vqgan", DEMO / "vqgan.ckpt",
         "--tokenizer", DEMO / "bpe.model", "--type", *type.split(), "-o", packed], check=True, stdout=sys.stderr)
    subprocess.run([CONVERTER, "export", packed, "--type", "f32", "-o", plain], check=True, stdout=sys.stderr)
    return {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in gguf.GGUFReader(plain).tensors
            if tensor.name.startswith("transformer.layers.")}


@torch.no_grad()
def main():
    demo = Demo()
    exact = demo.expectations(demo.exact)
    importance = demo.importance()
    quantize = ggml_quantize()
    print("| layers' matrices | bits per weight | image token: divergence, nats | same token | caption token: divergence, nats | same token |")
    print("|---|---:|---:|---:|---:|---:|")

    def measure(name, bits, weights):
        missing = demo.exact.keys() - weights.keys()
        if missing:
            raise SystemExit(f"{name}: {sorted(missing)}")
        cells = []
        for wanted, found in zip(exact, demo.expectations(weights)):
            divergence = (wanted.double().exp() * (wanted.double() - found.double())).sum(-1).mean()
            same = (wanted.argmax(-1) == found.argmax(-1)).double().mean()
            cells += [f"{divergence:.5f}", f"{100 * same:.2f} %"]
        print(f"| {name} | {bits:.2f} | {' | '.join(cells)} |", flush=True)

    for name in GGML:
        type = gguf.GGMLQuantizationType[name]
        count, size = gguf.GGML_QUANT_SIZES[type]
        for label, weigh in ((f"llama.cpp {name}", False), (f"llama.cpp {name}, imatrix", True)):
            if weigh and name == "Q8_0":
                continue
            measure(label, 8 * size / count, {key: quantize(weights, type, importance[key] if weigh else None)
                                              for key, weights in demo.exact.items()})
    measure("CTranslate2 int8", 8, {key: ctranslate2(weights) for key, weights in demo.exact.items()})
    with tempfile.TemporaryDirectory() as folder:
        for type in OURS:
            measure(f"ours, {type}", 8 if type.startswith("int8") else 4.25, ours(type, folder))


if __name__ == "__main__":
    main()
