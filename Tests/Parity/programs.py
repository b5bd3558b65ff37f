"""The programs under test."""
import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "parity"
_FOLDER = Path(os.environ.get("RUDOLPH_BIN", ROOT / ".build" / "release"))


# Commands that turn pictures into tokens or back, ask only without --text.
_PICTURES = {"answer", "ask", "caption", "classify", "decode", "draw", "encode", "rank"}


def run(program: str, *arguments, stdin: bytes | None = None) -> bytes:
    """What the program printed; a failure shows its command and its messages. Pictures go through floats, unless the arguments say otherwise."""
    if program == "rudolph" and arguments[0] in _PICTURES and not {"--image-arithmetic", "--text"} & set(arguments):
        arguments = (arguments[0], "--image-arithmetic", "winograd", *arguments[1:])
    command = [str(_FOLDER / program), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise SystemExit(f"FAIL  {' '.join(command)}: exit code {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout


def json_lines(output: bytes) -> list[dict]:
    # Only \n ends a line: str.splitlines would also split at U+2028, which JSON may hold as it is.
    return [json.loads(line) for line in output.split(b"\n") if line]


def convert(folder: Path, weight_type: str, preset: str | None = None) -> Path:
    """Packs the checkpoint in a folder that checkpoints.write filled."""
    model = WORK / f"{folder.name}-{weight_type}.gguf"
    shape = ["--preset", preset] if preset else ["--config", folder / "config.json"]
    run(
        "rudolph-quant", *shape, "--transformer", folder / "pytorch_model.bin", "--vqgan", folder / "vqgan.ckpt",
        "--tokenizer", folder / "bpe.model", "--type", weight_type, "-o", model)
    return model
