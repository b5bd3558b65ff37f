"""The reference's tasks: ruDolphApi, unchanged, with stand-ins for the packages that it imports for little.

Its random draws go through torch.multinomial, which `most_probable` and `replaying` replace for a while.
"""
import contextlib
import json
import sys
import types
from pathlib import Path

import numpy
import torch
import youtokentome
from omegaconf import OmegaConf
from PIL import Image

import test_images
from upstream import GumbelVQ, ruDolphModel


class _RandomResizedCrop:
    """With scale and ratio (1, 1), as upstream has it; random offsets taken as 0."""

    def __init__(self, size, scale, ratio):
        assert scale == ratio == (1.0, 1.0)
        self.size = size

    def __call__(self, image):
        left, top, square = test_images.crop(image.width, image.height)
        return image.crop((left, top, left + square, top + square)).resize((self.size, self.size), Image.Resampling.BILINEAR)


class _Compose:
    def __init__(self, steps):
        self.steps = steps

    def __call__(self, image):
        for step in self.steps:
            image = step(image)
        return image


def _to_tensor():
    return lambda image: torch.from_numpy(numpy.array(image)).permute(2, 0, 1).float() / 255


def _top_k_top_p_filtering(logits, top_k=0, top_p=1.0):
    """As transformers had it: everything below the k-th value goes, then all behind the one whose cumulative probability exceeds p."""
    if top_k > 0:
        threshold = logits.topk(min(top_k, logits.shape[-1])).values[..., -1, None]
        logits = logits.masked_fill(logits < threshold, -torch.inf)
    if top_p < 1:
        values, order = logits.sort(descending=True, stable=True)
        removed = values.softmax(-1).cumsum(-1) > top_p
        removed[..., 1:] = removed[..., :-1].clone()
        removed[..., 0] = False
        logits = logits.masked_fill(removed.scatter(-1, order, removed), -torch.inf)
    return logits


def _stand_in(name: str, **members) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(members)
    return sys.modules.setdefault(name, module)


_transforms = _stand_in(
    "torchvision.transforms", Compose=_Compose, Lambda=lambda function: function, RandomResizedCrop=_RandomResizedCrop, ToTensor=_to_tensor)
_stand_in("torchvision", transforms=_transforms)
_stand_in("transformers", top_k_top_p_filtering=_top_k_top_p_filtering)
_stand_in("matplotlib", pyplot=_stand_in("matplotlib.pyplot"))
_stand_in("tqdm", auto=_stand_in("tqdm.auto", tqdm=iter))
_stand_in("huggingface_hub", hf_hub_url=None, cached_download=None)

from rudalle.image_prompts import ImagePrompts  # noqa: E402
from rudalle.tokenizer import YTTMTokenizerWrapper  # noqa: E402
from rudalle.vae.model import VQGanGumbelVAE  # noqa: E402
from rudolph.api import ruDolphApi  # noqa: E402

__all__ = ["ImagePrompts", "Reference", "drawing_by", "most_probable", "picture_decoder", "replaying"]


def picture_decoder(vqgan: GumbelVQ, parameters: dict) -> VQGanGumbelVAE:
    """The class that goes from tokens to pixels, around a model that is there already."""
    vae = VQGanGumbelVAE.__new__(VQGanGumbelVAE)
    torch.nn.Module.__init__(vae)
    vae.model = vqgan
    vae.num_tokens = parameters["n_embed"]
    return vae.eval()


class Reference(ruDolphApi):
    """ruDolphApi that remembers the ids and perplexities that it does not return."""

    def __init__(self, folder: Path, transformer: ruDolphModel, vqgan: GumbelVQ, config: dict):
        tokenizer = YTTMTokenizerWrapper(youtokentome.BPE(model=str(folder / "bpe.model"), n_threads=1))
        vae = picture_decoder(vqgan, config["vqgan"])
        super().__init__(transformer, tokenizer, vae, spc_tokens=config["special_tokens"], quite=True)
        self.decoded: list[list[int]] = []
        self.perplexities: list[numpy.ndarray] = []

    @classmethod
    @torch.no_grad()
    def load(cls, folder: Path) -> "Reference":
        """From a folder with an fp16 checkpoint, computed in fp32."""
        config = json.loads((folder / "config.json").read_text())
        transformer = ruDolphModel(device="cpu", **config["model_params"]).eval()
        transformer.load_state_dict(_floats(folder / "pytorch_model.bin"))
        with contextlib.redirect_stdout(None):
            vqgan = GumbelVQ(**OmegaConf.create(config["vqgan"])).eval()
        vqgan.load_state_dict(_floats(folder / "vqgan.ckpt")["state_dict"])
        return cls(folder, transformer, vqgan, config)

    def decode_text(self, encoded):
        self.decoded.append(encoded.tolist())
        return super().decode_text(encoded)

    def ce_to_ppl(self, ce):
        ppl = super().ce_to_ppl(ce)
        self.perplexities.append(ppl.numpy().copy())
        return ppl

    def image_tokens(self, picture: Image.Image) -> list[int]:
        return self.vae.get_codebook_indices(self.image_transform(picture)[None], disable_gumbel_softmax=True)[0].tolist()

    @contextlib.contextmanager
    def seeing(self, tokens: list[int]):
        """Whatever the picture, these are its tokens."""
        vae, self.vae = self.vae, types.SimpleNamespace(
            get_codebook_indices=lambda images, **_: torch.tensor([tokens]).repeat(len(images), 1))
        try:
            yield
        finally:
            self.vae = vae


def _floats(path: Path) -> dict:
    def convert(value):
        if isinstance(value, dict):
            return {key: convert(item) for key, item in value.items()}
        return value.float() if torch.is_tensor(value) and value.is_floating_point() else value

    return convert(torch.load(path, map_location="cpu"))


class Margins(list):
    """For each token drawn how much likelier it was than the next: the logarithm of the ratio."""


@contextlib.contextmanager
def drawing_by(replacement):
    """Stands in for torch.multinomial: probabilities and a count of 1 to ids [batch, 1]."""
    original, torch.multinomial = torch.multinomial, replacement
    try:
        yield
    finally:
        torch.multinomial = original


@contextlib.contextmanager
def most_probable(never: int | None = None):
    """Every draw takes the most probable token. `never`: an id that the reference's language model lets through though it is a task
    token; the one after it, which ends a text, stands for it."""
    margins = Margins()

    def draw(probabilities, count):
        best = probabilities.topk(2)
        margins.append((best.values[:, 0].log() - best.values[:, 1].log()).min().item())
        ids = best.indices[:, :1]
        return ids if never is None else torch.where(ids == never, never + 1, ids)

    with drawing_by(draw):
        yield margins


@contextlib.contextmanager
def replaying(sequences: list[list[int]], end: int):
    """The draws of candidate n are those of sequence n, then `end`. All candidates must be of one batch."""
    step = -1

    def draw(probabilities, count):
        nonlocal step
        step += 1
        return torch.tensor([[ids[step] if step < len(ids) else end] for ids in sequences])

    with drawing_by(draw):
        yield
