"""Random checkpoints in the upstream formats."""
import contextlib
import json
import os
import random
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import youtokentome
from omegaconf import OmegaConf

from upstream import GumbelVQ, ruDolphModel


@dataclass(frozen=True)
class VQGAN:
    channels: int = 32
    multipliers: tuple[int, ...] = (1, 1, 2, 4)
    residual_blocks: int = 1
    embedding: int = 32  # and z_channels: upstream's GumbelVQ runs only when both are equal
    resolution: int = 64
    dwt: bool = False  # the decoder that ends in an inverse wavelet transform; upstream's dwt=True

    def parameters(self, codes: int) -> dict:
        """The arguments of GumbelVQ: attention at the last level."""
        last = self.resolution // 2 ** (len(self.multipliers) - 1)
        return dict(
            ddconfig=dict(
                double_z=False, z_channels=self.embedding, resolution=self.resolution, in_channels=3, out_ch=3, ch=self.channels,
                ch_mult=list(self.multipliers), num_res_blocks=self.residual_blocks, attn_resolutions=[last], dropout=0.0),
            n_embed=codes, embed_dim=self.embedding)


SBER_VQGAN = VQGAN(channels=128, residual_blocks=2, embedding=256, resolution=256)


@dataclass(frozen=True)
class Shape:
    name: str
    layers: int = 2
    hidden: int = 64
    heads: int = 4
    left: int = 8
    side: int = 4
    right: int = 8
    kernel: int = 3
    last_kernel: int = 5
    bpe: int = 300
    text_specials: int = 8
    codes: int = 128
    image_specials: int = 8
    vqgan: VQGAN = field(default=VQGAN())
    preset: str | None = None

    @property
    def length(self) -> int:
        return self.left + self.side**2 + self.right

    @property
    def text_rows(self) -> int:
        return self.bpe + self.left + self.text_specials

    @property
    def image_rows(self) -> int:
        return self.codes + self.image_specials

    def model_parameters(self) -> dict:
        """The arguments of ruDolphModel, the device aside."""
        return dict(
            num_layers=self.layers, hidden_size=self.hidden, num_attention_heads=self.heads, embedding_dropout_prob=0.0,
            output_dropout_prob=0.0, attention_dropout_prob=0.0, l_text_seq_length=self.left, image_tokens_per_dim=self.side,
            r_text_seq_length=self.right, kernel_size=self.kernel, last_kernel_size=self.last_kernel,
            cogview_sandwich_layernorm=True, cogview_pb_relax=True, text_special_tokens=self.text_specials,
            image_special_tokens=self.image_specials, vocab_size=self.bpe + self.left, image_vocab_size=self.codes)

    def task_tokens(self) -> dict[str, int]:
        names = ["<LT_UNK>", "<RT_UNK>", "<LT_T2I>", "<LT_I2T>", "<LT_T2T>", "<RT_I2T>"]
        return {name: self.bpe + index for index, name in enumerate(names[: self.text_specials])}


@dataclass
class Checkpoint:
    shape: Shape
    folder: Path
    transformer: ruDolphModel
    vqgan: GumbelVQ


@torch.no_grad()
def write(shape: Shape, folder: Path, seed: int) -> Checkpoint:
    """Makes random models, writes them as fp16 checkpoints and returns them in fp32 with the very values that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)

    transformer = ruDolphModel(device="cpu", **shape.model_parameters()).eval()
    _randomize_transformer(transformer, generator)
    _round_to_half(transformer)
    torch.save(_halves(transformer), folder / "pytorch_model.bin")

    with _silence():
        # An object whose members are attributes as well, as the wavelet decoder wants it.
        vqgan = GumbelVQ(**OmegaConf.create(shape.vqgan.parameters(shape.codes)), dwt=shape.vqgan.dwt).eval()
    _randomize_vqgan(vqgan, generator, 8 * shape.side)
    _round_to_half(vqgan)
    # The wavelet checkpoint is that of the class around the model.
    prefix = "model." if shape.vqgan.dwt else ""
    torch.save({"state_dict": {prefix + name: value for name, value in _halves(vqgan).items()}}, folder / "vqgan.ckpt")

    train_tokenizer(shape.bpe, folder / "bpe.model", seed)
    config = dict(
        name=shape.name, model_params=shape.model_parameters(), special_tokens=shape.task_tokens(),
        bpe=dict(vocab_size=shape.bpe, pad_id=0, unk_id=1, bos_id=2, eos_id=3), vqgan=shape.vqgan.parameters(shape.codes))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "shape.json").write_text(json.dumps(asdict(shape), indent=1))
    return Checkpoint(shape, folder, transformer, vqgan)


def _randomize_transformer(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Weights that make every part matter: attention far from uniform, norms and biases far from their defaults."""
    def normal(parameter, scale, mean=0.0):
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale + mean)

    for name, parameter in model.named_parameters():
        is_norm = "layernorm" in name or name.startswith("to_logits.0")
        if is_norm:
            normal(parameter, 0.2, mean=1.0 if name.endswith("weight") else 0.0)
        elif name.endswith("bias"):
            normal(parameter, 0.1)
        elif "embeddings" in name:
            normal(parameter, 0.3 if "pos" in name or "row" in name or "col" in name else 0.7)
        else:
            gain = 1.5 if "query_key_value" in name else 1.0
            normal(parameter, gain / parameter.shape[1] ** 0.5)


def _randomize_vqgan(model: GumbelVQ, generator: torch.Generator, side: int) -> None:
    """Keeps torch's initial weights, redrawn from the generator, spreads the logits of the codes so that ties are rare, and the pixels
    so that they fill their range and somewhat more."""
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator) + (1.0 if name.endswith("weight") else 0.0))
        else:
            scale = 0.02 if name.endswith("bias") else parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    logits = code_logits(model, torch.rand(1, 3, side, side, generator=generator))
    model.quantize.proj.weight.mul_(4.0 / logits.std())
    codes = torch.randint(model.quantize.n_embed, (1, side // 8, side // 8), generator=generator)
    pixels = model.decode(model.quantize.embed(codes).permute(0, 3, 1, 2))
    decoder = model.decoder.decoder if model.dwt else model.decoder
    decoder.conv_out.weight.mul_(0.6 / pixels.std())


def _round_to_half(model: torch.nn.Module) -> None:
    for parameter in model.parameters():
        parameter.copy_(parameter.half())


def _halves(model: torch.nn.Module) -> dict:
    return {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}


@torch.no_grad()
def code_logits(model: GumbelVQ, pixels: torch.Tensor) -> torch.Tensor:
    """[batch, 3, height, width] in 0 ... 1 to [batch, codes, height / 8, width / 8]."""
    return model.quantize.proj(model.quant_conv(model.encoder(2 * pixels - 1)))


@torch.no_grad()
def logits(model: ruDolphModel, ids: list[int]) -> torch.Tensor:
    """[positions, text rows + image rows] of one full sequence."""
    mask = torch.tril(torch.ones(1, 1, len(ids), len(ids)))
    return model(torch.tensor([ids]), mask, return_loss=False)[0][0]


def train_tokenizer(size: int, path: Path, seed: int) -> None:
    """A YTTM model of exactly `size` ids, learnt from random words of Russian and English syllables."""
    chance = random.Random(seed)
    russian = [consonant + vowel for consonant in "бвгджзклмнпрстфхцчшщ" for vowel in "аеёиоуыэюяйь"]
    english = [consonant + vowel for consonant in "bcdfghklmnprstvwz" for vowel in "aeiouy"]
    words = ["".join(chance.choices(russian, k=chance.randint(1, 5))) for _ in range(2000 + size)]
    words += ["".join(chance.choices(english, k=chance.randint(1, 4))) for _ in range(1000)]
    words += [str(chance.randrange(3000)) for _ in range(200)] + list(".,!?:;()-«»") + ["Москва", "ООН", "e-mail", "№5"]
    corpus = path.with_suffix(".corpus.txt")
    corpus.write_text("\n".join(" ".join(chance.choices(words, k=12)) for _ in range(1000 + size)))
    with _silence():
        trained = youtokentome.BPE.train(data=str(corpus), model=str(path), vocab_size=size, n_threads=1)
    corpus.unlink()
    if trained.vocab_size() != size:
        raise SystemExit(f"FAIL  {path}: {trained.vocab_size()} ids learnt, expected {size}")


@contextlib.contextmanager
def _silence():
    """Drops what upstream prints about its progress, from C++ and Python."""
    sys.stdout.flush()
    saved = [os.dup(1), os.dup(2)]
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        for descriptor, copy in zip([1, 2], saved):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(null)
