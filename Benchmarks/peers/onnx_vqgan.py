"""The VQGAN, fp32, in onnxruntime: python onnx_vqgan.py FOLDER, with the graphs that prepare.py exports from upstream's classes."""
import sys
from pathlib import Path

import numpy
import onnxruntime

from peer import THREADS, serve, timed


def load():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    # Threads that wait for the next call would take the processor from the next peer.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    sessions = {
        f"{what}-{pixels}": onnxruntime.InferenceSession(
            Path(sys.argv[1], f"{what}-{pixels}.onnx"), options, providers=["CPUExecutionProvider"])
        for what in ("encode", "decode") for pixels in (128, 256)
    }

    def run(name, value):
        session = sessions[name]
        return session.run(None, {session.get_inputs()[0].name: value})[0]

    def measure():
        seconds = {}
        for pixels in (128, 256):
            picture = numpy.random.default_rng(0).random((1, 3, pixels, pixels), numpy.float32)
            seconds[f"encode-{pixels}"], tokens = timed(lambda: run(f"encode-{pixels}", picture))
            seconds[f"decode-{pixels}"], _ = timed(lambda: run(f"decode-{pixels}", tokens))
        return {name: [value] for name, value in seconds.items()}

    def quality():
        """Tokens and decoded pictures of the sample pictures, for ours to be compared with."""
        result = {}
        for path in sorted(Path(sys.argv[1]).glob("picture-*.npy")):
            picture = numpy.load(path)
            tokens = run(f"encode-{len(picture)}", picture.astype(numpy.float32).transpose(2, 0, 1)[None] / 255)
            numpy.save(path.with_name("decoded-" + path.name), run(f"decode-{len(picture)}", tokens)[0])
            result[path.stem] = tokens.tolist()
        return result

    return {"measure": measure, "quality": quality}


serve(load)
