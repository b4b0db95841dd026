#!/usr/bin/env python3
"""Fits the calibration on voiceprints from prepare.py, and tries it on others:
VOICEPRINTS.npz OTHERS.npz CALIBRATION.toml RESULTS.json

The model is logistic: ln(P / (1 - P)) = (a + b u) s + c + d u + e n, with the score s, the shortness
u = ln(1 + 1/t1) + ln(1 + 1/t2) of the two recordings (t: seconds of speech) and the indicators n of narrow band on one
or both sides. `shortness` is 0 for long recordings and grows like -ln t for short ones, so that neither end runs away.
s is the cosine similarity, or the AS-norm of it. Same and different speakers weigh equally, whatever their number.
Everything reported comes from models that had not seen at least one of the two speakers.
"""
import json
import sys

import numpy as np

FOLDS = 6
LONGEST = 20.0  # seconds; more speech than this counts as this much
COHORT_SHARE = 4  # AS-norm looks at the nearest quarter of the cohort


class Trials:
    """Every pair of voiceprints from different clips; different speakers thinned."""

    def __init__(self, path, share=0.15):
        with np.load(path) as file:
            data = {name: file[name] for name in file}
        self.data = data
        x = data["voiceprint"]
        self.x = x / np.linalg.norm(x, axis=1, keepdims=True)
        i, j = np.triu_indices(len(x), 1)
        same = data["speaker"][i] == data["speaker"][j]
        chosen = (data["clip"][i] != data["clip"][j]) & (same | (np.random.default_rng(0).random(len(i)) < share))
        self.i, self.j, self.same = i[chosen], j[chosen], same[chosen]
        self.similarity = np.einsum("nd,nd->n", self.x[self.i], self.x[self.j])
        shortness = np.log1p(1 / np.minimum(data["speech"], LONGEST))
        self.shortness = shortness[self.i] + shortness[self.j]
        narrow = data["narrow"]
        self.both, self.one = narrow[self.i] & narrow[self.j], narrow[self.i] ^ narrow[self.j]
        speakers = sorted(set(data["speaker"]))
        fold = dict(zip(np.random.default_rng(0).permutation(speakers), np.arange(len(speakers)) % FOLDS))
        fold = np.array([fold[s] for s in data["speaker"]])
        self.fold = fold[self.i], fold[self.j]

    def where(self, **wanted):
        """Trials by properties of both sides; a pair of values means one for each side, either way round."""
        chosen = np.ones(len(self.i), bool)
        for key, value in wanted.items():
            left, right = self.data[key][self.i], self.data[key][self.j]
            a, b = value if isinstance(value, tuple) else (value, value)
            chosen &= (left == a) & (right == b) | (left == b) & (right == a)
        return chosen

    def normalised(self):
        """AS-norm against whole and 5 s clips of other speakers in the condition of one side, the library's."""
        cut, condition, speaker = self.data["cut"], self.data["condition"], self.data["speaker"]
        members = np.flatnonzero(np.isin(cut, (0, 5)))
        similarity = self.x @ self.x[members].T
        similarity[speaker[:, None] == speaker[members][None]] = np.nan
        score = np.zeros(len(self.i))
        for which in np.unique(condition):
            ranked = -np.sort(-similarity[:, condition[members] == which], axis=1)  # nan last
            near = np.arange(ranked.shape[1]) < np.isfinite(ranked).sum(axis=1, keepdims=True) // COHORT_SHARE
            near = np.where(near, ranked, np.nan)
            mean, spread = np.nanmean(near, axis=1), np.nanstd(near, axis=1)
            here = condition[self.j] == which
            for side in (self.i[here], self.j[here]):
                score[here] += (self.similarity[here] - mean[side]) / spread[side] / 2
        return score


def features(score, trials, band=True):
    columns = [score, score * trials.shortness, np.ones_like(score), trials.shortness]
    return np.stack(columns + ([trials.both, trials.one] if band else []), axis=1)


def balanced(same):
    return np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())


def fit(x, same):
    """Newton's method on the weighted likelihood, with a trace of ridge."""
    weights, model = balanced(same), np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ model))
        gradient = x.T @ (weights * (p - same)) + 1e-6 * model
        hessian = (x * (weights * p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(len(model))
        step = np.linalg.solve(hessian, gradient)
        model -= step
        if np.abs(step).max() < 1e-9:
            break
    return model


def cross_validated(x, trials):
    """Log-likelihood ratios from models that saw no trial with a speaker of the fold."""
    total, count = np.zeros(len(x)), np.zeros(len(x))
    for k in range(FOLDS):
        unseen = (trials.fold[0] == k) | (trials.fold[1] == k)
        total[unseen] += x[unseen] @ fit(x[~unseen], trials.same[~unseen])
        count[unseen] += 1
    return total / count


def cllr(llr, same):
    cost = np.logaddexp(0, np.where(same, -llr, llr)) / np.log(2)
    return (cost[same].mean() + cost[~same].mean()) / 2


def rates(score, same, threshold):
    """False accepts and false rejects."""
    return (score[~same] >= threshold).mean(), (score[same] < threshold).mean()


def eer(score, same):
    order = np.argsort(score)
    missed = np.cumsum(same[order]) / same.sum()
    accepted = 1 - np.cumsum(~same[order]) / (~same).sum()
    at = np.argmin(np.abs(missed - accepted))
    return (missed[at] + accepted[at]) / 2, score[order][at]


def report(name, chosen, trials, llr, blind, normalised):
    same, similarity = trials.same[chosen], trials.similarity[chosen]
    error, threshold = eer(similarity, same)
    at_one_percent = np.quantile(similarity[~same], 0.99)
    accepts, rejects = rates(llr[chosen], same, 0)
    return {
        "trials": name,
        "same": int(same.sum()),
        "different": int((~same).sum()),
        "eer": error,
        "eer_threshold": threshold,
        "cllr_similarity": cllr(similarity, same),
        "cllr_blind": cllr(blind[chosen], same),
        "cllr": cllr(llr[chosen], same),
        "cllr_normalised": cllr(normalised[chosen], same),
        "fa_at_half": accepts,
        "fr_at_half": rejects,
        "threshold_1_percent": at_one_percent,
        "fr_at_1_percent": rates(similarity, same, at_one_percent)[1],
    }


def trial_sets(trials):
    lengths = {"whole": 0, "3 s": 3, "1 s": 1}
    for name, cut in lengths.items():
        yield f"voices, clean, {name}", trials.where(set="voices", condition="clean", cut=cut)
    for name, cut in list(lengths.items())[1:]:
        yield f"voices, clean, whole to {name}", trials.where(set="voices", condition="clean", cut=(0, cut))
    for condition in ("telephone", "mobile", "messenger", "room", "noise10", "noise5"):
        yield f"voices, {condition}, all lengths", trials.where(set="voices", condition=condition)
        yield f"voices, clean to {condition}, all lengths", trials.where(set="voices", condition=("clean", condition))
    yield "meetings, clean, all lengths", trials.where(set="meetings", condition="clean")
    yield "all", np.ones(len(trials.i), bool)


def profiles(trials, model):
    """Mean of 1, 2, 3 whole clips against single clips not among them."""
    data, rng = trials.data, np.random.default_rng(0)
    whole = (data["set"] == "voices") & (data["condition"] == "clean") & (data["cut"] == 0)
    whole = np.flatnonzero(whole)
    by_speaker = {s: whole[data["speaker"][whole] == s] for s in set(data["speaker"][whole])}
    for cut in (0, 3, 1):
        tests = np.flatnonzero((data["set"] == "voices") & (data["condition"] == "clean") & (data["cut"] == cut))
        for size in (1, 2, 3):
            score, same = [], []
            for speaker, own in sorted(by_speaker.items()):
                for _ in range(10):
                    chosen = rng.choice(own, size, replace=False)
                    profile = trials.x[chosen].mean(axis=0)
                    others = tests[~np.isin(data["clip"][tests], data["clip"][chosen])]
                    score.extend(trials.x[others] @ (profile / np.linalg.norm(profile)))
                    same.extend(data["speaker"][others] == speaker)
            score, same = np.array(score), np.array(same)
            error, threshold = eer(score, same)
            at = np.quantile(score[~same], 0.99)
            yield {
                "clips": size, "test": "whole" if cut == 0 else f"{cut} s", "eer": error, "eer_threshold": threshold,
                "same_mean": score[same].mean(), "fr_at_1_percent": rates(score, same, at)[1],
            }


def others(path, model, blind, nmodel):
    """The fitted models on clips of speakers, languages and channels that had no part in the fit."""
    trials = Trials(path, share=1.0)
    x = features(trials.similarity, trials)
    llr, blind = x @ model, x[:, [0, 2]] @ blind
    normalised = features(trials.normalised(), trials, band=False) @ nmodel
    for name, cut in {"whole": 0, "3 s": 3, "1 s": 1}.items():
        yield report(f"package clips, {name}", trials.where(cut=cut), trials, llr, blind, normalised)


def write(path, trials, model, normalised):
    voices = trials.data["set"] == "voices"
    speakers = len(set(trials.data["speaker"])), len(set(trials.data["speaker"][voices]))
    names = ("score", "score_shortness", "intercept", "shortness", "both_narrow", "one_narrow")
    lines = [
        "# Made by models/training/calibrate.py; what it was fitted on is described in docs/internals/calibration.md.",
        "",
        "[[calibration]]",
        'model = "campplus_zh_en"',
        f'fitted_on = "{len(trials.data["clip"])} cuts of 1 s to whole clips by {speakers[0]} speakers '
        f"({speakers[1]} reading aloud in English and Mandarin, the rest in meetings), clean and as telephone (G.711), "
        'mobile (GSM), messenger (Opus), in rooms and with noise at 10 and 5 dB; {} trials"'.format(len(trials.i)),
    ]
    for table, values in (("similarity", model), ("normalised", normalised)):
        lines += ["", f"[calibration.{table}]"] + [f"{n} = {v:.4f}" for n, v in zip(names, values)]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def main(voiceprints, unheard, calibration, results):
    trials = Trials(voiceprints)
    normalised = trials.normalised()
    x, nx = features(trials.similarity, trials), features(normalised, trials, band=False)
    model, nmodel = fit(x, trials.same), fit(nx, trials.same)
    llr, nllr = cross_validated(x, trials), cross_validated(nx, trials)
    blind = cross_validated(x[:, [0, 2]], trials)
    write(calibration, trials, model, nmodel)
    sets = [report(name, chosen, trials, llr, blind, nllr) for name, chosen in trial_sets(trials)]
    sets += others(unheard, model, fit(x[:, [0, 2]], trials.same), nmodel)
    found = {"verification": sets, "profiles": list(profiles(trials, model))}
    with open(results, "w") as file:
        json.dump(found, file, indent=1, default=float)
    for row in sets + found["profiles"]:
        print(" ".join(f"{k}={v:.3f}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
