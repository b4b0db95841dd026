#!/usr/bin/env python3
"""Clustering against others: CLUSTER_EXAMPLE [ROWS SPEAKERS ...]; numbers of rows and speakers in pairs.

CLUSTER_EXAMPLE is the built example of crates/voice (cargo build --release -p voice --example cluster). fastcluster
and scikit-learn run where their matrix of pairs fits (up to 20,000 rows).
"""
import resource
import subprocess
import sys
import tempfile
import time

import fastcluster
import numpy as np
import scipy.cluster.hierarchy
import sklearn.cluster
import sklearn.metrics
import synthetic

THRESHOLD = 0.4
LARGEST = 20_000


def ours(program, x):
    with tempfile.NamedTemporaryFile(suffix=".f32") as file:
        x.tofile(file.name)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run([program, file.name, str(x.shape[1])], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"    {run.stderr.strip()}, {cpu:.1f} s of processor time")
    return np.array(run.stdout.split(), int)


def fastclusters(x):
    tree = fastcluster.linkage(x, method="average", metric="cosine")
    return scipy.cluster.hierarchy.fcluster(tree, 1 - THRESHOLD, "distance")


def scikit_learns(x):
    method = sklearn.cluster.AgglomerativeClustering(
        n_clusters=None, distance_threshold=1 - THRESHOLD, metric="cosine", linkage="average"
    )
    return method.fit_predict(x)


def timed(method, x):
    start = time.time()
    labels = method(x)
    return time.time() - start, labels


def main(program, *sizes):
    sizes = [int(s) for s in sizes] or [5_000, 200, 20_000, 800, 50_000, 2_000]
    for rows, speakers in zip(sizes[::2], sizes[1::2]):
        print(f"{rows} rows of {speakers} speakers")
        x, who = synthetic.voiceprints(rows, speakers)
        methods = {"ai_audio": lambda x: ours(program, x)}
        if rows <= LARGEST:
            methods |= {"fastcluster": fastclusters, "scikit-learn": scikit_learns}
        base = None
        for name, method in methods.items():
            seconds, labels = timed(method, x)
            base = base or (seconds, labels)
            agreement = sklearn.metrics.adjusted_rand_score(base[1], labels)
            found = sklearn.metrics.adjusted_rand_score(who, labels)
            print(f"  {name}: {seconds:.2f} s ({seconds / base[0]:.1f} x), ARI {found:.4f}, with ours {agreement:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
