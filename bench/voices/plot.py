#!/usr/bin/env python3
"""Plots for docs/thresholds.md and docs/internals/calibration.md: VOICEPRINTS.npz FOLDER"""
import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

sys.path.append(str(Path(__file__).parents[2] / "models/training"))
import calibrate

plt.rcParams.update({"svg.hashsalt": "ai_audio", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
LENGTHS = {"whole clips": 0, "3 s": 3, "1 s": 1}


def clean(trials, cut):
    return trials.where(set="voices", condition="clean", cut=cut)


def threshold_at(model, shortness):
    """The similarity at which the probability is one half, on wideband recordings."""
    slope, interaction, intercept, offset, *_ = model
    return -(intercept + offset * shortness) / (slope + interaction * shortness)


def save(figure, folder, name):
    figure.tight_layout()
    figure.savefig(Path(folder, name), metadata={"Date": None})


def distributions(trials, model, folder):
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), sharey=True)
    bins = np.linspace(-0.4, 1, 57)
    for axis, (name, cut) in zip(axes, LENGTHS.items()):
        chosen = clean(trials, cut)
        for same, label, colour in ((False, "different speakers", "#c44"), (True, "same speaker", "#27a")):
            scores = trials.similarity[chosen & (trials.same == same)]
            axis.hist(scores, bins, density=True, alpha=0.6, color=colour, label=label)
        threshold = np.median(threshold_at(model, trials.shortness[chosen]))
        axis.axvline(threshold, color="black", linestyle="--", linewidth=1)
        axis.set(title=name, xlabel="similarity", yticks=[])
    axes[0].legend(frameon=False, fontsize=7)
    save(figure, folder, "distributions.svg")


def det(trials, folder):
    probit = np.vectorize(__import__("statistics").NormalDist().inv_cdf)
    figure, axis = plt.subplots(figsize=(4.5, 4.2))
    lines = {f"clean, {name}": clean(trials, cut) for name, cut in LENGTHS.items()}
    for name in ("telephone", "noise5"):
        lines[name] = trials.where(set="voices", condition=name)
    for name, chosen in lines.items():
        scores, same = trials.similarity[chosen], trials.same[chosen]
        cuts = np.quantile(scores, np.linspace(0, 1, 2000))
        accepts = 1 - np.searchsorted(np.sort(scores[~same]), cuts) / (~same).sum()
        misses = np.searchsorted(np.sort(scores[same]), cuts) / same.sum()
        inside = (accepts > 0) & (accepts < 1) & (misses > 0) & (misses < 1)
        if inside.any():
            axis.plot(probit(accepts[inside]), probit(misses[inside]), label=name)
        else:
            axis.plot([], [], label=f"{name}: no errors")
    ticks = np.array([0.001, 0.01, 0.05, 0.2, 0.4])
    labels = [f"{100 * t:g} %" for t in ticks]
    axis.set(xticks=probit(ticks), yticks=probit(ticks), xlabel="false accepts", ylabel="false rejects")
    axis.set_xticklabels(labels), axis.set_yticklabels(labels)
    axis.set(xlim=(probit(0.0005), probit(0.5)), ylim=(probit(0.0005), probit(0.5)))
    axis.legend(frameon=False, fontsize=7)
    save(figure, folder, "det.svg")


def calibration(trials, llr, blind, folder):
    """Said against seen: of the pairs with this probability, how many are of one speaker."""
    figure, axis = plt.subplots(figsize=(4.5, 4.2))
    weights = trials.weights
    edges = np.linspace(0, 1, 11)
    for name, scores in (("similarity alone", blind), ("with durations and bandwidth", llr)):
        said = 1 / (1 + np.exp(-scores))
        which = np.clip(np.digitize(said, edges) - 1, 0, 9)
        seen = [np.average(trials.same[which == k], weights=weights[which == k]) for k in range(10)]
        mean = [np.average(said[which == k], weights=weights[which == k]) for k in range(10)]
        axis.plot(mean, seen, "o-", label=name)
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axis.set(xlabel="probability said", ylabel="share of same-speaker pairs")
    axis.legend(frameon=False, fontsize=8)
    save(figure, folder, "calibration.svg")


def thresholds(model, folder):
    figure, axis = plt.subplots(figsize=(4.5, 3.2))
    seconds = np.geomspace(0.5, 20, 100)
    for other, label in ((None, "both this long"), (10.0, "against 10 s")):
        u = np.log1p(1 / seconds) + np.log1p(1 / (seconds if other is None else other))
        axis.plot(seconds, threshold_at(model, u), label=label)
    ticks = [0.5, 1, 2, 5, 10, 20]
    axis.set(xscale="log", xticks=ticks, xlabel="seconds of speech", ylabel="threshold at probability 0.5")
    axis.set_xticklabels(ticks), axis.minorticks_off()
    axis.legend(frameon=False)
    save(figure, folder, "thresholds.svg")


def main(voiceprints, folder):
    trials = calibrate.Trials(voiceprints)
    x = calibrate.features(trials.similarity, trials)
    llr, blind = calibrate.cross_validated(x, trials), calibrate.cross_validated(x[:, [0, 2]], trials)
    model = calibrate.fit(x, trials.same, trials.weights)
    distributions(trials, model, folder)
    det(trials, folder)
    calibration(trials, llr, blind, folder)
    thresholds(model, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
