#!/usr/bin/env python3
"""Fits the calibration on voiceprints from prepare.py, and tries it on others:
VOICEPRINTS.npz OTHERS.npz CALIBRATION.toml RESULTS.json

The model is logistic: ln(P / (1 - P)) = (a + b u) s + c + d u + e n, with the score s, the shortness
u = ln(1 + 1/t1) + ln(1 + 1/t2) of the two recordings (t: seconds of speech) and the indicators n of narrow band on one
or both sides. `shortness` is 0 for long recordings and grows like -ln t for short ones, so that neither end runs away.
s is the cosine similarity, or the AS-norm of it. Same and different speakers weigh equally, whatever their number, and so do
the sets of recordings (readers, meetings, actors and so on): another one than these may come.

How much it may differ is seen by leaving each set out. All log-odds become smaller by as much (width), and are bounded where the pairs support no more (ELUB: Vergeer et al. 2016). For that, all trials of two clips of one
speaker count as one pair, and so do all trials of two speakers: cuts and channels of the same speech are no new evidence.

The table of conditions comes from models that had not seen at least one of the two speakers, the table of sets from models
that had not seen the set.
"""
import itertools
import json
import sys

import numpy as np

FOLDS = 6
LONGEST = 20.0  # seconds; more speech than this counts as this much
LIBRARY = ("voices", "meetings")  # sets with enough voices for a cohort: AS-norm is fitted on these
UNNAMED = ("hedgewars",)  # sets of which is not known whether two voices are two people
COHORT_SHARE = 4  # AS-norm looks at the nearest quarter of the cohort


class Trials:
    """Every pair of voiceprints from different clips; different speakers thinned."""

    def __init__(self, path, share=0.05, sets=None):
        with np.load(path) as file:
            data = {name: file[name] for name in file}
        if sets:
            data = {name: column[np.isin(data["set"], sets)] for name, column in data.items()}
        self.data = data
        x = data["voiceprint"]
        self.x = x / np.linalg.norm(x, axis=1, keepdims=True)
        self.codes = {name: np.unique(data[name], return_inverse=True) for name in data if data[name].ndim == 1}
        clip, speaker, number = (self.codes[name][1] for name in ("clip", "speaker", "set"))
        i, j = np.triu_indices(len(x), 1)
        same = speaker[i] == speaker[j]
        unnamed = np.isin(data["set"], UNNAMED)
        known = (clip[i] != clip[j]) & (same | ~(unnamed[i] & unnamed[j]))
        chosen = known & (same | (np.random.default_rng(0).random(len(i)) < share))
        self.i, self.j, self.same = i[chosen], j[chosen], same[chosen]
        a, b = number[self.i], number[self.j]
        self.sets, self.of_sets = list(self.codes["set"][0]), (np.minimum(a, b), np.maximum(a, b))
        self.weights = self.balanced()
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
            values, codes = self.codes[key]
            left, right = codes[self.i], codes[self.j]
            a, b = (np.searchsorted(values, v) if v in values else -1 for v in (value if isinstance(value, tuple) else (value, value)))
            chosen &= (left == a) & (right == b) | (left == b) & (right == a)
        return chosen

    def balanced(self):
        """Same and different speakers weigh alike, and in them each set, and all pairs across sets together."""
        a, b = self.of_sets
        group, weights = np.where(a == b, a, len(self.sets)), np.zeros(len(a))
        for kind in (self.same, ~self.same):
            counts = np.bincount(group[kind], minlength=len(self.sets) + 1)
            weights[kind] = 0.5 / (counts > 0).sum() / counts[group[kind]]
        return weights

    def pairs(self):
        """A number for what is one pair as evidence: two clips of one speaker, or two speakers."""
        clip, speaker = self.codes["clip"][1], self.codes["speaker"][1]
        of = np.where(self.same, 0, clip.max() + 1)
        left, right = (np.where(self.same, clip[side], speaker[side]) for side in (self.i, self.j))
        key = (np.minimum(left, right) + of).astype(np.int64) * 10**6 + np.maximum(left, right)
        return np.unique(key, return_inverse=True)[1]

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


def fit(x, same, weights):
    """Newton's method on the weighted likelihood, with a trace of ridge."""
    model = np.zeros(x.shape[1])
    for kind in (same, ~same):
        weights = np.where(kind, 0.5 * weights / weights[kind].sum(), weights)
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
        total[unseen] += x[unseen] @ fit(x[~unseen], trials.same[~unseen], trials.weights[~unseen])
        count[unseen] += 1
    return total / count


def from_other_sets(x, trials):
    """Log-likelihood ratios from models that saw no trial with a recording of either set."""
    llr = np.zeros(len(x))
    a, b = trials.of_sets
    for pair in itertools.combinations_with_replacement(range(len(trials.sets)), 2):
        here = (a == pair[0]) & (b == pair[1])
        seen = ~np.isin(a, pair) & ~np.isin(b, pair)
        if here.any():
            llr[here] = x[here] @ fit(x[seen], trials.same[seen], trials.weights[seen])
    return llr


def offset(llr, same):
    """What must be added to log-likelihood ratios to make them true on average."""
    weights, found = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum()), 0.0
    for _ in range(30):
        p = 1 / (1 + np.exp(-llr - found))
        found -= (weights * (p - same)).sum() / ((weights * p * (1 - p)).sum() + 1e-9)
    return found


def width(llr, trials):
    """What to multiply log-odds by, for what a set that was not seen may need to have added: that is Student's t with the
    variance between the sets here. Logistic regression averaged over it is nearly the same with smaller log-odds (MacKay,
    "The evidence framework applied to classification networks", 1992)."""
    a, b = trials.of_sets
    named = [n for n, name in enumerate(trials.sets) if name not in UNNAMED]
    channels = [trials.where(condition=condition) for condition in ("clean", "telephone")]
    found = [offset(llr[here], trials.same[here]) for n in named for c in channels for here in [(a == n) & (b == n) & c]]
    freedom = len(named) - 1
    variance = np.var(found, ddof=1) * (1 + 1 / len(named)) * freedom / max(freedom - 2, 1)
    print("sets that were not seen would need", " ".join(f"{o:.2f}" for o in found))
    return 1 / np.sqrt(1 + np.pi * variance / 8)


def upper_bound(llr, same, weights):
    """Where decisions by these ratios are no better than none, one pair of different speakers being as wrong as can be. Natural
    logarithm; `weights` are shares of a pair."""
    order = np.argsort(llr)
    llr, same, weights = llr[order], same[order], weights[order]
    pairs = [weights[kind].sum() + 1 for kind in (same, ~same)]
    hits = np.cumsum((weights * same)[::-1])[::-1] / pairs[0]
    wrong = (np.cumsum((weights * ~same)[::-1])[::-1] + 1) / pairs[1]
    limit, start = np.log(np.maximum(hits, 1e-300) / wrong), np.maximum(np.r_[0, llr[:-1]], 0)
    failed = np.flatnonzero((llr > 0) & (limit < llr))
    return max(limit[failed[0]], start[failed[0]]) if len(failed) else max(llr[-1], 0)


def bounds(llr, trials):
    pairs = trials.pairs()
    share = 1 / np.bincount(pairs)[pairs]
    return -upper_bound(-llr, ~trials.same, share), upper_bound(llr, trials.same, share)


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


def report(name, chosen, trials, llr, blind):
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
        "strangers_above_99": (llr[chosen] > np.log(99))[~same].mean(),
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


def set_reports(trials, llr, blind):
    a, b = trials.of_sets
    for n, name in enumerate(trials.sets):
        here = (a == n) & (b == n)
        if name in UNNAMED:
            here = (a == n) | (b == n)
        yield report(f"left out: {name}", here, trials, llr, blind)


def others(path, model, blind):
    """The fitted models on clips of speakers, languages and channels that had no part in the fit."""
    trials = Trials(path, share=1.0)
    x = features(trials.similarity, trials)
    llr, blind = said(x, model), x[:, [0, 2]] @ blind
    for name, cut in {"whole": 0, "3 s": 3, "1 s": 1}.items():
        yield report(f"package clips, {name}", trials.where(cut=cut), trials, llr, blind)


def write(path, trials, model, normalised):
    of = {s: len(set(trials.data["speaker"][trials.data["set"] == s])) for s in trials.sets}
    names = ("score", "score_shortness", "intercept", "shortness", "both_narrow", "one_narrow")
    lines = [
        "# Made by models/training/calibrate.py; what it was fitted on is described in docs/internals/calibration.md.",
        "",
        "[[calibration]]",
        'model = "campplus_zh_en"',
        f'fitted_on = "{len(trials.data["clip"])} cuts of 1 s to whole clips by {sum(of.values())} voices ({of["voices"]} reading aloud '
        f'in English and Mandarin, {of["meetings"]} in meetings, {of["fillets"] + of["hedgewars"]} acting in games, {of["tuxpaint"]} '
        "explaining pictures to children), clean and as telephone (G.711), the readers also as mobile (GSM), messenger (Opus), in rooms and "
        f'with noise at 10 and 5 dB; {len(trials.i)} trials"',
    ]
    for table, (values, (low, high)) in (("similarity", model), ("normalised", normalised)):
        lines += ["", f"[calibration.{table}]"] + [f"{n} = {v:.4f}" for n, v in zip(names, values)]
        lines += [f"lowest = {low:.2f}", f"highest = {high:.2f}"]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def said(x, model):
    values, (low, high) = model
    return np.clip(x @ values, low, high)


def main(voiceprints, unheard, calibration, results):
    trials = Trials(voiceprints)
    x = features(trials.similarity, trials)
    unseen = from_other_sets(x, trials)
    factor = width(unseen, trials)
    low, high = bounds(factor * unseen, trials)
    model = factor * fit(x, trials.same, trials.weights), (low, high)
    llr, unseen = (np.clip(factor * of, low, high) for of in (cross_validated(x, trials), unseen))
    library = Trials(voiceprints, share=0.15, sets=LIBRARY)
    nx = features(library.normalised(), library, band=False)
    nllr = factor * cross_validated(nx, library)
    nmodel = factor * fit(nx, library.same, library.weights), bounds(nllr, library)
    nllr = np.clip(nllr, *nmodel[1])
    print(f"log-odds times {factor:.2f}, from {low:.2f} to {high:.2f}, normalised from {nmodel[1][0]:.2f} to {nmodel[1][1]:.2f}")
    blind = cross_validated(x[:, [0, 2]], trials)
    write(calibration, trials, model, nmodel)
    sets = [report(name, chosen, trials, llr, blind) for name, chosen in trial_sets(trials)]
    sets += [report(f"normalised, {name}", chosen, library, nllr, nllr) for name, chosen in trial_sets(library)]
    sets += set_reports(trials, unseen, blind)
    sets += others(unheard, model, fit(x[:, [0, 2]], trials.same, trials.weights))
    found = {"verification": sets, "profiles": list(profiles(trials, model))}
    with open(results, "w") as file:
        json.dump(found, file, indent=1, default=float)
    for row in sets + found["profiles"]:
        print(" ".join(f"{k}={v:.3f}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
