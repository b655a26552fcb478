"""TIFF images: a folder with one image a pattern in the order of their numbers, or one file of several images."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ptycho_torch.data.recording import PatternStack, Recording
from ptycho_torch.errors import ScanFileError
from ptycho_torch.formats.format import Format, RecordingReader, starts_with
from ptycho_torch.formats.kinds import TIFF_SIGNATURES
from ptycho_torch.formats.named import open_image, read_image

_ENDINGS = (".tif", ".tiff")
_MOST_FRAMES = 1_000_000


class ImageFiles:
    """Images of one size in files, read where they are indexed."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        first = read_image(paths[0])
        if first.ndim != 2:
            raise ScanFileError(f"{paths[0]}: is an image in colour; patterns must have one value for each pixel")
        self.shape, self.dtype = (len(paths), *first.shape), first.dtype

    def __getitem__(self, index: slice) -> NDArray[Any]:
        """Read consecutive images.

        Raises:
            ScanFileError: one is damaged or of another size or type.
        """
        images = []
        for path in self._paths[index]:
            image = read_image(path)
            if image.shape != self.shape[1:] or image.dtype != self.dtype:
                raise ScanFileError(
                    f"{path}: the image has shape {image.shape} and type {image.dtype}, the first one "
                    f"{self.shape[1:]} and {self.dtype}"
                )
            images.append(image)
        return np.stack(images) if images else np.empty((0, *self.shape[1:]), self.dtype)


class ImagePages:
    """The images of one file, read where they are indexed."""

    def __init__(self, image: Image.Image) -> None:
        self._image, self._pages = image, int(getattr(image, "n_frames", 1))
        if self._pages > _MOST_FRAMES:
            raise ValueError(f"it contains {self._pages} images; the limit is {_MOST_FRAMES}")
        first = self._read(0)
        self.shape, self.dtype = (self._pages, *first.shape), first.dtype

    def __getitem__(self, index: slice) -> NDArray[Any]:
        """Read consecutive images; ValueError if one is of another size."""
        return np.stack([self._read(number) for number in range(self._pages)[index]])

    def _read(self, number: int) -> NDArray[Any]:
        self._image.seek(number)
        return np.asarray(self._image)


@contextlib.contextmanager
def open_folder(path: Path) -> Iterator[Recording]:
    """Open a folder of images.

    Raises:
        ScanFileError: an image is damaged, or has several channels.
    """
    yield Recording(name=path.resolve().name, patterns=PatternStack(ImageFiles(list_images(path))), units="counts")


@contextlib.contextmanager
def open_pages(path: Path) -> Iterator[Recording]:
    """Open a file of several images.

    Raises:
        ScanFileError: it is damaged, or contains one image only.
    """
    with open_image(path) as image:
        pages = ImagePages(image)
        if pages.shape[0] == 1:
            raise ScanFileError(
                f"{path}: is a TIFF image of one pattern; name the folder of all patterns, or a file of several images"
            )
        yield Recording(name=path.name, patterns=PatternStack(pages), units="counts")


def list_images(folder: Path) -> list[Path]:
    """List the images of a folder in the order of the numbers in their names."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS and path.is_file()]
    return sorted(paths, key=lambda path: [int(part) if part.isdigit() else part for part in _split(path.name)])


def _split(name: str) -> list[str]:
    """Split a name so that text and numbers alternate."""
    return re.split(r"(\d+)", name)


FOLDER_FORMAT = Format(
    name="folders of TIFF images",
    # a single one is a preview, or contains several
    recognises=lambda path: path.is_dir() and len(list_images(path)) > 1,
    files=list_images,
    read=RecordingReader(open_folder),
)
FILE_FORMAT = Format(
    name="TIFF files of several images",
    recognises=lambda path: starts_with(path, *TIFF_SIGNATURES),
    files=lambda path: [path],
    read=RecordingReader(open_pages),
    endings=_ENDINGS,
)
