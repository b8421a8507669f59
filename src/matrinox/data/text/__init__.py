"""Text: tokenizers, windows of tokens for language models, and generation."""

from matrinox.data.text.bpe_tokenizer import BPETokenizer as BPETokenizer
from matrinox.data.text.byte_tokenizer import ByteTokenizer as ByteTokenizer
from matrinox.data.text.char_tokenizer import CharTokenizer as CharTokenizer
from matrinox.data.text.generate import generate as generate
from matrinox.data.text.load import load_tokenizer as load_tokenizer
from matrinox.data.text.split import split_text as split_text
from matrinox.data.text.tokenizer import Tokenizer as Tokenizer
from matrinox.data.text.windows import TokenWindows as TokenWindows
