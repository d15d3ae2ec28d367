"""The same warp by other libraries, each called in its own way: docs/elsewhere.md says what to call here instead.

    python -m tests.elsewhere             runs every library that is installed, and compares with tests/elsewhere.json
    python -m tests.elsewhere --write     writes what they give into that file

docs/elsewhere.sh does the first with the versions that the page states. test_elsewhere.py holds npstn to the file.
"""

import importlib.metadata
import json
import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")

RECORDED = Path(__file__).with_suffix(".json")
SIZE, OUT = (7, 5), (6, 8)  # rows and columns of the image, and of the output
U = np.random.default_rng(1506_02025).normal(size=SIZE).astype(np.float32)
VOLUME = np.random.default_rng(2025).normal(size=(4, 5, 6)).astype(np.float32)
SPACING, ORIGIN = (0.5, 2.0, 1.5), (10.0, -3.0, 7.0)  # of the volume, along x, y and z
# From the output's pixels to the input's, (x, y, 1): by 30 degrees, a little larger, shifted.
P = np.array([[0.7794, -0.45, 0.9], [0.45, 0.7794, 0.4], [0, 0, 1]])
Q = np.array([[0.9, -0.3, 0.1, 0.63], [0.25, 0.9, 0.2, -0.74], [-0.1, 0.05, 1.1, 0.37], [0, 0, 0, 1]])
THETA = np.array([[[0.8, -0.5, 0.1], [0.45, 0.9, -0.2]]], np.float32)  # normalised, (x, y)
DOT = np.zeros((5, 5), np.float32)
DOT[2, 4] = 1  # right of the middle


def swapped(matrix):
    """The matrix for (row, column, 1) in place of (x, y, 1)."""
    order = [*range(len(matrix) - 1)][::-1] + [len(matrix) - 1]
    return matrix[np.ix_(order, order)]


def torch_warp():
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    grid = affine_grid(torch.tensor(THETA), (1, 1, *OUT), align_corners=False)
    return grid_sample(torch.tensor(U)[None, None], grid, align_corners=False)[0, 0].numpy()


def onnx_warp():
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    nodes = [
        helper.make_node("AffineGrid", ["theta", "size"], ["grid"], align_corners=0),
        helper.make_node("GridSample", ["U", "grid"], ["V"], mode="linear", align_corners=0),
    ]
    given = [("theta", TensorProto.FLOAT), ("size", TensorProto.INT64), ("U", TensorProto.FLOAT)]
    inputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in given]
    graph = helper.make_graph(nodes, "warp", inputs, [helper.make_tensor_value_info("V", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    feeds = {"theta": THETA, "size": np.array([1, 1, *OUT]), "U": U[None, None]}
    return ReferenceEvaluator(model).run(None, feeds)[0][0, 0]


def paddle_warp():
    import paddle
    from paddle.nn.functional import affine_grid, grid_sample

    grid = affine_grid(paddle.to_tensor(THETA), [1, 1, *OUT])  # its own default: align_corners=True
    return grid_sample(paddle.to_tensor(U[None, None]), grid)[0, 0].numpy()


def keras_affine_transform():
    from keras import ops

    found = ops.image.affine_transform(U[None, :, :, None], P.ravel()[:8], "bilinear", "constant", 0.0)
    return ops.convert_to_numpy(found)[0, :, :, 0]


def keras_map_coordinates():
    from keras import ops

    rows, columns = np.meshgrid(np.linspace(0.3, 5.7, 4), np.linspace(0.1, 3.9, 3), indexing="ij")
    found = ops.image.map_coordinates(U, np.stack([rows, columns]).astype(np.float32), order=1)
    return ops.convert_to_numpy(found)


def monai_normalised():
    import torch
    from monai.networks.layers import AffineTransform

    layer = AffineTransform(OUT, normalized=True, align_corners=True, padding_mode="zeros")
    return layer(torch.tensor(U)[None, None], torch.tensor(THETA)[0])[0, 0].numpy()


def monai_pixels():
    import torch
    from monai.networks.layers import AffineTransform

    layer = AffineTransform(OUT, normalized=False, align_corners=True, padding_mode="zeros")
    return layer(torch.tensor(U)[None, None], torch.tensor(swapped(P), dtype=torch.float32))[0, 0].numpy()


def opencv_warp_affine():
    import cv2

    return cv2.warpAffine(U, P[:2], OUT[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def opencv_forward():
    import cv2

    return cv2.warpAffine(U, np.linalg.inv(P)[:2], OUT[::-1], flags=cv2.INTER_LINEAR)


def scikit_image_warp():
    from skimage.transform import AffineTransform, warp

    return warp(U, AffineTransform(P), output_shape=OUT, order=1, mode="constant", cval=0, clip=False)


def scipy_affine_transform():
    from scipy.ndimage import affine_transform

    return affine_transform(U, swapped(P), output_shape=OUT, order=1, mode="grid-constant", prefilter=False)


def kornia_warp_affine():
    import torch
    from kornia.geometry.transform import warp_affine

    forward = torch.tensor(np.linalg.inv(P)[:2], dtype=torch.float32)[None]
    return warp_affine(torch.tensor(U)[None, None], forward, OUT)[0, 0].numpy()


def simpleitk_resample():
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(VOLUME)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    map_ = sitk.AffineTransform(3)  # from points of the output to points of the input, in millimetres
    map_.SetMatrix(Q[:3, :3].ravel())
    map_.SetTranslation(Q[:3, 3])
    map_.SetCenter((11.0, 1.0, 9.0))
    return sitk.GetArrayFromImage(sitk.Resample(image, image, map_, sitk.sitkLinear, 0.0))


def turned(rotate):
    """Where a dot right of the middle goes by +90 degrees: "up" is counter-clockwise on the screen."""
    row, column = np.unravel_index(np.argmax(rotate()), DOT.shape)
    return {(0, 2): "up", (4, 2): "down"}[int(row), int(column)]


def kornia_rotate():
    import torch
    from kornia.geometry.transform import rotate

    return rotate(torch.tensor(DOT)[None, None], torch.tensor([90.0]))[0, 0].numpy()


def opencv_rotate():
    import cv2

    return cv2.warpAffine(DOT, cv2.getRotationMatrix2D((2, 2), 90, 1), (5, 5))


def scikit_image_rotate():
    from skimage.transform import rotate

    return rotate(DOT, 90)


def scikit_image_matrix():
    from skimage.transform import AffineTransform, warp

    to_middle = AffineTransform(translation=(-2, -2))
    back = AffineTransform(translation=(2, 2))
    return warp(DOT, to_middle + AffineTransform(rotation=np.pi / 2) + back)


def scipy_rotate():
    from scipy.ndimage import rotate

    return rotate(DOT, 90, reshape=False, order=1)


def monai_rotate():
    from monai.transforms import Rotate

    return np.asarray(Rotate(np.pi / 2)(DOT[None]))[0]


def simpleitk_rotate():
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(DOT)
    return sitk.GetArrayFromImage(sitk.Resample(image, image, sitk.Euler2DTransform((2.0, 2.0), np.pi / 2)))


def torch_rotate():
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    theta = torch.tensor([[[0.0, -1, 0], [1, 0, 0]]])
    grid = affine_grid(theta, (1, 1, 5, 5), align_corners=False)
    return grid_sample(torch.tensor(DOT)[None, None], grid, align_corners=False)[0, 0].numpy()


WARPS = [torch_warp, onnx_warp, paddle_warp, keras_affine_transform, keras_map_coordinates, monai_normalised,
         monai_pixels, opencv_warp_affine, opencv_forward, scikit_image_warp, scipy_affine_transform,
         kornia_warp_affine, simpleitk_resample]  # fmt: skip
TURNS = [torch_rotate, kornia_rotate, opencv_rotate, scikit_image_rotate, scikit_image_matrix, scipy_rotate,
         monai_rotate, simpleitk_rotate]  # fmt: skip
PACKAGES = {"torch": "torch", "onnx": "onnx", "paddle": "paddlepaddle", "keras": "keras", "monai": "monai",
            "opencv": "opencv-contrib-python-headless", "scikit": "scikit-image", "scipy": "scipy",
            "kornia": "kornia", "simpleitk": "SimpleITK"}  # fmt: skip


def version(function):
    package = PACKAGES[function.__name__.split("_")[0]]
    return f"{package} {importlib.metadata.version(package).split('+')[0]}"


def run(function):
    """What a library gives, ready for JSON."""
    found = turned(function) if function in TURNS else np.asarray(function(), np.float64).round(6).tolist()
    return {"by": version(function), "gives": found}


def main(write):
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    faults = 0
    for function in WARPS + TURNS:
        name = function.__name__
        try:
            found = run(function)
        except ImportError as error:
            print(f"{name}: skipped, {error}")
            continue
        if write:
            recorded[name] = found
        elif isinstance(found["gives"], str):
            faults += report(name, found, found["gives"] == recorded[name]["gives"])
        else:
            gap = np.abs(np.subtract(found["gives"], recorded[name]["gives"])).max()
            faults += report(name, found, gap < 1e-5)
    if write:
        lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in recorded.items()]
        RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return faults


def report(name, found, same):
    print(f"{name}: {'as recorded' if same else 'ANOTHER ANSWER'} ({found['by']})")
    return not same


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
