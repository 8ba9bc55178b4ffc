"""Sort pictures by what a verified model sees in them: an application with a model in it, and no torch.

python examples/embed/app.py BUNDLE PICTURE [PICTURE ...]
"""

import argparse
import sys

from deploy import OnnxwayError, Predictor


def main() -> int:
    """Classify the pictures on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Say what pictures show, with the three most probable labels.")
    parser.add_argument("bundle", help="the folder that `pipeline package` wrote")
    parser.add_argument("pictures", nargs="+", help="PNG, JPEG, WebP, GIF, BMP or TIFF files")
    parser.add_argument("--provider", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    try:
        with Predictor.load(options.bundle, provider=options.provider) as predictor:
            results = predictor.predict_many(options.pictures)
    except OnnxwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for picture, result in zip(options.pictures, results, strict=True):
        print(picture)
        for score in result.top(3):
            print(f"  {score.probability:7.2%}  {score.label}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
