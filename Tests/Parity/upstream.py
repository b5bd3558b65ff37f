"""The reference's classes, unchanged.

The packages' own __init__ files cannot be imported any more (they want names that are gone from huggingface_hub), so empty parent
packages stand in for them and the class modules are imported as they are.
"""
import sys
import sysconfig
import types
from pathlib import Path

site = Path(sysconfig.get_paths()["purelib"])
for name in ("rudalle", "rudalle.vae", "rudolph", "rudolph.model"):
    package = types.ModuleType(name)
    package.__path__ = [str(site.joinpath(*name.split(".")))]
    sys.modules.setdefault(name, package)

from rudalle.vae.model import GumbelVQ  # noqa: E402
from rudolph.model.model import ruDolphModel  # noqa: E402

__all__ = ["GumbelVQ", "ruDolphModel"]
