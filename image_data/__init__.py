"""Data sets of classified images, their preparation, and the input pipeline.

Imports nothing else of ours.
"""

from image_data.augmentations import AUGMENTATIONS
from image_data.bad_examples import BadExamples
from image_data.bad_examples import TooManyBadExamples
from image_data.cluttered_digits import ClutteredDigits
from image_data.datasets import ImageDataset
from image_data.decoding import DecodingRules
from image_data.digits import Digits
from image_data.image_folder import ImageFolder
from image_data.mixup import mixup
from image_data.opening import dataset_features
from image_data.opening import FOLDER_PREFIX
from image_data.opening import open_dataset
from image_data.pipeline import eval_batches
from image_data.pipeline import steps_per_epoch
from image_data.pipeline import train_batches
from image_data.preparation import EvaluationPreparation
from image_data.preparation import TrainingPreparation
from image_data.resizing import center_crop
from image_data.splits import SPLITS
from image_data.splitting import SplitShares

__all__ = [
    "AUGMENTATIONS",
    "BadExamples",
    "ClutteredDigits",
    "DecodingRules",
    "Digits",
    "EvaluationPreparation",
    "FOLDER_PREFIX",
    "ImageDataset",
    "ImageFolder",
    "SPLITS",
    "SplitShares",
    "TooManyBadExamples",
    "TrainingPreparation",
    "center_crop",
    "dataset_features",
    "eval_batches",
    "mixup",
    "open_dataset",
    "steps_per_epoch",
    "train_batches",
]
