"""One-file models: a safetensors file whose header rebuilds the model; `save`, `load`, `read_header`."""

from matrinox.io.adapters import load_adapters as load_adapters
from matrinox.io.adapters import save_adapters as save_adapters
from matrinox.io.errors import ModelFileError as ModelFileError
from matrinox.io.files import load as load
from matrinox.io.files import read_header as read_header
from matrinox.io.files import save as save
from matrinox.io.fingerprint import fingerprint as fingerprint
from matrinox.io.header import Header as Header
from matrinox.io.leaves import Leaf as Leaf
