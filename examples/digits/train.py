"""Trains a small neural network on scikit-learn's handwritten digits: `python train.py --hidden 32 --epochs 20`."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=32, help="neurons in the hidden layer")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training images")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    digits = load_digits()
    images, test_images, labels, test_labels = train_test_split(
        digits.data / 16, digits.target, test_size=0.25, random_state=options.seed, stratify=digits.target
    )
    print(f"{len(images)} images to learn from, {len(test_images)} to be tested on", flush=True)

    model = MLPClassifier((options.hidden,), batch_size=32, learning_rate_init=0.01, random_state=options.seed)
    began = time.perf_counter()
    accuracy = 0.0
    for epoch in range(1, options.epochs + 1):
        model.partial_fit(images, labels, classes=range(10))
        if epoch % 5 == 0 or epoch == options.epochs:
            accuracy = model.score(test_images, test_labels)
            print(f"epoch {epoch:2}/{options.epochs}  loss {model.loss_:.3f}  accuracy {accuracy:.3f}", flush=True)

    out = Path("out")
    (out / "model").mkdir(parents=True, exist_ok=True)
    joblib.dump(model, out / "model" / "digits.joblib")
    metrics = {
        "accuracy": accuracy,
        "loss": model.loss_,
        "hidden": options.hidden,
        "epochs": options.epochs,
        "seconds": round(time.perf_counter() - began, 3),
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(f"accuracy {accuracy:.3f}, saved in {out}/", flush=True)


if __name__ == "__main__":
    main()
