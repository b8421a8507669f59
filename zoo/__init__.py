"""The zoo: models that are built, loaded with their trained weights, and described by name."""

from matrinox.zoo.architecture import Architecture as Architecture
from matrinox.zoo.card import Card as Card
from matrinox.zoo.card import read_card as read_card
from matrinox.zoo.catalogue import CATALOGUE as CATALOGUE
from matrinox.zoo.catalogue import FAMILIES as FAMILIES
from matrinox.zoo.catalogue import entry as entry
from matrinox.zoo.cnn import CNN as CNN
from matrinox.zoo.cnn import CNNConfig as CNNConfig
from matrinox.zoo.data import BuiltIn as BuiltIn
from matrinox.zoo.data import Characters as Characters
from matrinox.zoo.data import EntryData as EntryData
from matrinox.zoo.data import Parts as Parts
from matrinox.zoo.mlp import MLP as MLP
from matrinox.zoo.mlp import MLPConfig as MLPConfig
from matrinox.zoo.models import card as card
from matrinox.zoo.models import create as create
from matrinox.zoo.models import list_models as list_models
from matrinox.zoo.models import load as load
from matrinox.zoo.models import model_file as model_file
from matrinox.zoo.models import save as save
from matrinox.zoo.rnn import RNN as RNN
from matrinox.zoo.rnn import RNNConfig as RNNConfig
from matrinox.zoo.row import Entry as Entry
from matrinox.zoo.runs import Reproduced as Reproduced
from matrinox.zoo.runs import publish as publish
from matrinox.zoo.runs import reproduce as reproduce
