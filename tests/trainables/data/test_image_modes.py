"""What becomes of every kind of image that Pillow decodes: modes, transparency, depths, turns, formats."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.support.image_folders import error_of, fill, notices_of, spec_of
from trainables.data import load_splits
from trainables.data.image_modes import background_colour, plain_image
from trainables.data.pixels import Unread, decode_images

SIDE = 6
RED, WHITE = (255, 0, 0), (255, 255, 255)
LEFT = np.zeros((SIDE, SIDE), bool)
LEFT[:, : SIDE // 2] = True
"""The half that is opaque in the images below."""


def with_alpha(mode):
    """Return an image of ``mode`` that is black all over: what it shows is in its alpha alone."""
    alpha = Image.fromarray(np.where(LEFT, 255, 0).astype(np.uint8))
    if mode in ("RGBA", "RGBa", "LA", "La"):
        image = Image.new("RGB" if mode.startswith("R") else "L", alpha.size)
        image.putalpha(alpha)
        return image.convert(mode)
    if mode == "PA":
        image = Image.new("P", alpha.size)
        image.putalpha(alpha)
        assert image.mode == "PA"
        return image
    values = np.where(LEFT, 0, 1).astype(np.uint8)  # a colour, here 1, stands for none
    if mode == "P":
        image = Image.fromarray(values, "P")
        image.putpalette([0, 0, 0, 0, 0, 0])
    else:
        image = {
            "1": lambda: Image.fromarray(values * 255).convert("1"),
            "L": lambda: Image.fromarray(values),
            "RGB": lambda: Image.fromarray(np.stack([values] * 3, axis=-1)),
            "I;16": lambda: Image.fromarray(values.astype(np.uint16)),
        }[mode]()
    image.info["transparency"] = {"RGB": (1, 1, 1), "1": 255}.get(mode, 1)
    return image


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "LA", "La", "PA", "P", "1", "L", "RGB", "I;16"])
@pytest.mark.parametrize("background", [WHITE, RED])
def test_what_is_transparent_shows_the_background(mode, background):
    plain = plain_image(with_alpha(mode), background, {})
    expected = np.where(LEFT[..., None], np.zeros(3), background)
    assert plain.transparent
    assert np.array_equal(np.asarray(plain.image.convert("RGB")), expected)
    grey = mode in ("LA", "La", "1", "L", "I;16") and background == WHITE
    assert plain.image.mode == ("L" if grey else "RGB")


def test_what_is_half_transparent_is_mixed_with_the_background():
    plain = plain_image(Image.new("RGBA", (2, 2), (0, 100, 200, 51)), (255, 255, 255), {})
    assert plain.image.getpixel((0, 0)) == (204, 224, 244)  # a fifth of the colour


def png_16_bits(values):
    """Return a PNG of 16 bits a value, which Pillow cannot write  # values [H, W, channels]."""
    height, width, channels = values.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
    )
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("channels", [2, 4])
def test_an_alpha_channel_of_16_bits_counts(tmp_path, channels):
    values = np.zeros((SIDE, SIDE, channels), np.uint16)
    values[LEFT, -1] = 0xFFFF
    (tmp_path / "a.png").write_bytes(png_16_bits(values))
    (pixels,) = decode_images([tmp_path / "a.png"], SIDE).pixels
    assert np.array_equal(pixels, np.broadcast_to(np.where(LEFT, 0, 255), pixels.shape))


PHOTO = (200, 60, 20)
FORMATS = [
    ("CMYK", "jpg"),
    ("CMYK", "tif"),
    ("YCbCr", "jpg"),
    ("YCbCr", "tif"),
    ("LAB", "tif"),
    ("P", "gif"),
    ("P", "png"),
]


@pytest.mark.parametrize(("mode", "ending"), FORMATS)
def test_colours_are_right_in_every_colour_space(tmp_path, mode, ending):
    image = Image.new("RGB", (16, 16), PHOTO)
    if mode == "LAB":
        from PIL import ImageCms

        spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, *spaces, outputMode="LAB")
    else:
        image = image.convert(mode)
    image.save(tmp_path / f"a.{ending}")
    (pixels,) = decode_images([tmp_path / f"a.{ending}"], 4).pixels
    assert np.abs(pixels.astype(int) - np.reshape(PHOTO, (3, 1, 1))).max() <= 4  # JPEG and the palette round


DEEP = [
    ("I;16", "png", np.uint16, 4095),
    ("I;16", "tif", np.uint16, 65535),
    ("I;16B", "tif", ">u2", 1000),
    ("I", "tif", np.int32, 2**20),
    ("F", "tif", np.float32, 1.0),
]


@pytest.mark.parametrize(("mode", "ending", "kind", "most"), DEEP)
def test_values_of_more_than_8_bits_are_scaled_by_the_range_of_train(tmp_path, mode, ending, kind, most):
    rng = np.random.default_rng(0)
    shares, folder = {}, tmp_path / "deep"
    for part, each in (("train", 6), ("val", 4), ("test", 4)):
        for name in "ab":
            (folder / part / name).mkdir(parents=True)
            for i in range(each):
                share = rng.random((8, 8))
                share[0, :2] = (0, 1) if part == "train" else (0, 1.5)  # what train has not seen is cut off
                shares[part, name, i] = share.clip(0, 1)
                values = (share * most / 1.5).astype(kind)
                Image.fromarray(values).save(folder / part / name / f"{i}.{ending}")
    splits = load_splits(spec_of(folder, pixels=True))
    for part, found in (("train", splits.train), ("val", splits.val)):
        expected = np.stack([share for (of, _, _), share in shares.items() if of == part])
        # a step of 8 bits, and of the values where they have fewer
        assert np.abs(found.x[:, 0] / 255 - expected).max() <= 1 / 255 + (1.5 / most if most > 1 else 0)
    notice = notices_of(folder, pixels=True)["scaled_images"]
    assert notice.count == 28
    assert "by their range in the training part, 0 to " in notice.text


def test_values_that_are_no_numbers_are_the_least_ones_and_said(tmp_path):
    folder = fill(tmp_path / "pets")
    for name, bad in (("blue", np.nan), ("red", np.inf), ("green", -3.4e38)):
        values = np.random.default_rng(0).random((8, 8)).astype(np.float32)
        values[3, 3] = bad
        Image.fromarray(values).save(folder / name / "holed.tif")
    found = notices_of(folder)["missing_pixels"]
    assert (found.count, found.warning) == (3, True)
    assert "3 pixels of 3 images ('blue/holed.tif', " in found.text
    assert np.isfinite(load_splits(spec_of(folder)).train.x).all()


def test_an_image_without_any_number_cannot_be_decoded(tmp_path):
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "a.tif")
    assert decode_images([tmp_path / "a.tif"], 4).found == (Unread.DAMAGED,)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_camera_noted(tmp_path, ending, orientation):
    upright = np.zeros((16, 16), np.uint8)
    upright[:8, :8], upright[:8, 8:], upright[8:, :8] = 250, 160, 80  # no two turns look alike
    undo = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}  # Pillow's transpositions
    image = Image.fromarray(upright)
    for step in undo[orientation]:
        image = image.transpose(Image.Transpose(step))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.convert("RGB").save(tmp_path / f"a.{ending}", exif=exif, quality=95)
    (pixels,) = decode_images([tmp_path / f"a.{ending}"], 16).pixels
    corners = pixels[1, ::15, ::15].astype(int)
    assert np.abs(corners - [[250, 160], [80, 0]]).max() <= 12  # JPEG rounds


def test_whatever_pillow_decodes_is_an_image_whatever_its_name(tmp_path):
    folder = fill(tmp_path / "pets", classes=("cat", "dog"), each=4)
    rng = np.random.default_rng(5)
    names = [
        "a.jfif",
        "b.gif",
        "c.TIF",
        "d.WebP",
        "e.JPG",
        "f",
        "g.txt",
        "h.jp2",
        "i.pcx",
        "j.tga",
        "k.avif",
        "l.png.bak",
    ]
    formats = ["JPEG", "GIF", "TIFF", "WEBP", "JPEG", "PNG", "PNG", "JPEG2000", "PCX", "TGA", "AVIF", "PNG"]
    for name, kind in zip(names, formats, strict=True):
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(folder / "cat" / name, format=kind)
    (folder / "dog" / "readme.txt").write_text("Width: 3\nname: value\n")
    (folder / "dog" / "paper.pdf").write_bytes(b"%PDF-1.4\n")
    splits = load_splits(spec_of(folder))
    assert len(splits.train) + len(splits.val) + splits.test_examples == 20
    left_out = notices_of(folder)["no_images"]
    assert left_out.names == ("dog/paper.pdf", "dog/readme.txt")
    assert left_out.text.startswith(
        "not read, no images that Pillow decodes: 2 files (.pdf 1, .txt 1): 'dog/paper.pdf'"
    )


def test_a_postscript_file_is_not_run(tmp_path, monkeypatch):
    folder = fill(tmp_path / "pets", classes=("cat", "dog"))
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    (folder / "cat" / "drawing.eps").write_bytes(program)
    assert notices_of(folder)["no_images"].names == ("cat/drawing.eps",)


@pytest.mark.parametrize("ending", ["gif", "tif", "webp", "png"])
def test_of_several_images_in_a_file_the_first_is_read(tmp_path, ending):
    folder = fill(tmp_path / "pets", classes=("cat", "dog"))
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ((10, 200, 30), (250, 0, 0)))
    first.putpixel((0, 0), (0, 0, 0))
    first.save(folder / "cat" / f"film.{ending}", save_all=True, append_images=[second])
    assert notices_of(folder)["first_frames"].names == (f"cat/film.{ending}",)
    (pixels,) = decode_images([folder / "cat" / f"film.{ending}"], 8).pixels
    assert np.abs(pixels[:, 4, 4].astype(int) - (10, 200, 30)).max() <= 12  # WebP rounds


def test_images_that_are_one_colour_all_over_are_named(tmp_path):
    folder = fill(tmp_path / "pets", classes=("cat", "dog"))
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / "cat" / "plain.png")
    found = notices_of(folder)["constant_images"]
    assert (found.names, found.warning) == (("cat/plain.png",), True)


def test_images_that_are_all_the_same_are_refused(tmp_path):
    for k, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(10 * k, 10 * k + 10):
            Image.new("RGBA", (8, 8), (255, 255, 255, i)).save(tmp_path / "pets" / name / f"{i}.png")
    assert error_of(tmp_path / "pets").endswith(
        ": all 20 images are the same, pixel by pixel, at 8 x 8; --background names the colour under transparent images"
    )
    assert len(load_splits(spec_of(tmp_path / "pets", background="black")).train) > 0


def test_the_background_is_said(tmp_path):
    folder = fill(tmp_path / "pets")
    with_alpha("RGBA").save(folder / "red" / "hole.png")
    text = notices_of(folder, background="#102030")["transparent_images"].text
    assert text == "transparent, laid on #102030: 1 image ('red/hole.png'); --background names another colour"


@pytest.mark.parametrize("text", ["", "whyte", "#12345", "#ff000080", "rgb(1,2)", "transparent"])
def test_what_names_no_opaque_colour_is_refused(text):
    with pytest.raises(ValueError, match="."):
        background_colour(text)


@pytest.mark.parametrize(
    ("width", "size", "warned"), [(300, 8, True), (300, 32, True), (100, 32, False), (300, 64, False)]
)
def test_photos_do_not_become_tiny_unsaid(tmp_path, width, size, warned):
    folder = tmp_path / "photos"
    for seed, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for i in range(5):
            noise = np.random.default_rng((seed, i)).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((width, width + i)).save(folder / name / f"{i}.jpg")
    found = notices_of(folder, image_size=size)
    assert ("shrunk_images" in found) == warned
    if warned:
        assert (
            f"{width} x {width + 2} pixels (median) become {size} x {size}; --image-size" in found["shrunk_images"].text
        )
