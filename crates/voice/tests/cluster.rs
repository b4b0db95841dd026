//! Grouping voiceprints: properties, and agreement with another implementation of average linkage (kodama).

use onnx::Cancel;
use proptest::prelude::*;
use voice::Error;
use voice::cluster::{Options, Rows, cluster};

fn group(rows: &[Option<Vec<f32>>], options: &Options) -> Vec<Option<u32>> {
    let mut all = Rows::new(rows.len(), u64::MAX);
    rows.iter().for_each(|r| all.push(r.as_deref()).unwrap());
    cluster(all, options, 2, &Cancel::new()).unwrap()
}

/// Numbers renamed by first appearance, as `cluster` gives them.
fn renumbered(groups: &[Option<u32>]) -> Vec<Option<u32>> {
    let mut seen = Vec::new();
    let mut number = |g: u32| {
        seen.iter().position(|&s| s == g).unwrap_or_else(|| {
            seen.push(g);
            seen.len() - 1
        }) as u32
            + 1
    };
    groups.iter().map(|g| g.map(&mut number)).collect()
}

/// Reproducible noise in [-1, 1).
fn noise(i: usize) -> f32 {
    let x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// `n` voiceprints of `speakers` speakers in turn, `d` dimensions.
fn voices(n: usize, speakers: usize, d: usize) -> Vec<Option<Vec<f32>>> {
    let speaker = |s: usize, i: usize| noise(s * d + i);
    (0..n)
        .map(|k| {
            Some(
                (0..d)
                    .map(|i| speaker(k % speakers, i) + 0.6 * noise((k + 1_000_003) * d + i))
                    .collect(),
            )
        })
        .collect()
}

/// Some rows around few directions, with NULLs, zero vectors and repeats.
fn rows() -> impl Strategy<Value = Vec<Option<Vec<f32>>>> {
    let near = (0usize..4, prop::collection::vec(-0.7f32..0.7, 6)).prop_map(|(axis, mut v)| {
        v[axis] += 1.0;
        Some(v)
    });
    let few =
        (-1i8..2, -1i8..2).prop_map(|(x, y)| Some([x, y, 0, 0, 0, 1].map(f32::from).to_vec()));
    let row = prop_oneof![6 => near, 2 => few, 1 => Just(None), 1 => Just(Some(vec![0.0; 6]))];
    prop::collection::vec(row, 0..60)
}

fn options() -> impl Strategy<Value = Options> {
    (
        -0.2f32..0.9,
        1usize..4,
        prop::option::weighted(0.4, 1usize..6),
    )
        .prop_map(|(threshold, min_size, clusters)| Options {
            threshold,
            min_size,
            clusters,
        })
}

/// The groups that kodama's average linkage makes, and how far its heights stay from the threshold.
fn reference(rows: &[Vec<f32>], threshold: f32) -> (Vec<Option<u32>>, f64) {
    let n = rows.len();
    let distance = |a: &[f32], b: &[f32]| 1.0 - voice::similarity::cosine(a, b).unwrap();
    let mut condensed: Vec<f64> = (0..n)
        .flat_map(|i| (i + 1..n).map(move |j| (i, j)))
        .map(|(i, j)| distance(&rows[i], &rows[j]))
        .collect();
    let tree = kodama::linkage(&mut condensed, n, kodama::Method::Average);
    let mut members: Vec<Vec<usize>> = (0..n).map(|i| vec![i]).collect();
    let mut group: Vec<u32> = (0..n as u32).collect();
    let mut gap = f64::INFINITY;
    for step in tree.steps() {
        let joined = [&members[step.cluster1][..], &members[step.cluster2]].concat();
        let over = step.dissimilarity - (1.0 - f64::from(threshold));
        gap = gap.min(over.abs());
        if over <= 0.0 {
            joined.iter().for_each(|&i| group[i] = joined[0] as u32);
        }
        members.push(joined);
    }
    (
        renumbered(&group.into_iter().map(Some).collect::<Vec<_>>()),
        gap,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_order_of_rows_does_not_matter(
        (rows, order) in rows().prop_flat_map(|r| { let n = r.len(); (Just(r), Just((0..n).collect::<Vec<_>>()).prop_shuffle()) }),
        options in options(),
    ) {
        let straight = group(&rows, &options);
        let shuffled: Vec<_> = order.iter().map(|&i| rows[i].clone()).collect();
        let expected: Vec<_> = order.iter().map(|&i| straight[i]).collect();
        prop_assert_eq!(group(&shuffled, &options), renumbered(&expected));
    }

    #[test]
    fn missing_rows_have_no_group_and_equal_rows_the_same(rows in rows(), options in options()) {
        let groups = group(&rows, &options);
        prop_assert_eq!(groups.len(), rows.len());
        for (i, row) in rows.iter().enumerate() {
            let missing = row.as_ref().is_none_or(|r| r.iter().all(|x| *x == 0.0));
            prop_assert!(!missing || groups[i].is_none());
            for j in 0..i {
                prop_assert!(*row != rows[j] || groups[i] == groups[j]);
            }
        }
    }

    #[test]
    fn numbers_start_at_one_without_gaps_and_groups_are_large_enough(rows in rows(), options in options()) {
        let groups = group(&rows, &options);
        prop_assert_eq!(&renumbered(&groups), &groups);
        for g in groups.iter().flatten() {
            prop_assert!(groups.iter().filter(|other| *other == &Some(*g)).count() >= options.min_size);
        }
    }

    #[test]
    fn a_known_number_of_groups_is_kept(rows in rows(), wanted in 1usize..6) {
        let mut distinct: Vec<Vec<f32>> = rows.iter().flatten().filter(|r| r.iter().any(|x| *x != 0.0)).cloned().collect();
        distinct.sort_by(|a, b| a.partial_cmp(b).unwrap());
        distinct.dedup();
        let groups = group(&rows, &Options { clusters: Some(wanted), ..Options::default() });
        prop_assert_eq!(groups.iter().flatten().max().map_or(0, |m| *m as usize), wanted.min(distinct.len()));
    }

    #[test]
    fn agrees_with_kodama(rows in rows(), threshold in 0.0f32..0.9) {
        let rows: Vec<Vec<f32>> = rows.into_iter().flatten().filter(|r| r[5] != 1.0 && r.iter().any(|x| *x != 0.0)).collect();
        prop_assume!(rows.len() > 1);
        let (expected, gap) = reference(&rows, threshold);
        prop_assume!(gap > 1e-5);
        let ours = group(&rows.into_iter().map(Some).collect::<Vec<_>>(), &Options { threshold, ..Options::default() });
        prop_assert_eq!(ours, expected);
    }
}

#[test]
fn large_groups_agree_with_kodama_too() {
    // More rows than a neighbour list holds, so that lists run dry and are searched anew.
    let rows = voices(900, 3, 24);
    let plain: Vec<Vec<f32>> = rows.iter().flatten().cloned().collect();
    for threshold in [0.1, 0.3, 0.5, 0.7, 0.75] {
        let ours = group(
            &rows,
            &Options {
                threshold,
                ..Options::default()
            },
        );
        let (expected, gap) = reference(&plain, threshold);
        assert!(gap > 1e-6, "choose another threshold");
        assert_eq!(ours, expected, "threshold {threshold}");
    }
}

#[test]
fn few_rows_and_rows_all_alike() {
    assert_eq!(group(&[], &Options::default()), []);
    assert_eq!(group(&[None], &Options::default()), [None]);
    assert_eq!(group(&[Some(vec![0.0; 3])], &Options::default()), [None]);
    assert_eq!(
        group(&[Some(vec![1.0, 2.0])], &Options::default()),
        [Some(1)]
    );
    assert_eq!(
        group(
            &[Some(vec![1.0, 2.0])],
            &Options {
                min_size: 2,
                ..Options::default()
            }
        ),
        [None]
    );
    assert_eq!(
        group(&vec![Some(vec![1.0, 2.0]); 5000], &Options::default()),
        vec![Some(1); 5000]
    );
}

#[test]
fn outliers_do_not_use_up_a_known_number_of_groups() {
    let mut rows = voices(40, 2, 16);
    rows.push(Some((0..16).map(|i| -noise(i)).collect()));
    let groups = group(
        &rows,
        &Options {
            clusters: Some(2),
            min_size: 3,
            ..Options::default()
        },
    );
    assert_eq!(
        groups[..40],
        (0..40).map(|i| Some(i % 2 + 1)).collect::<Vec<_>>()
    );
}

#[test]
fn more_rows_than_are_searched_exactly() {
    let rows = voices(voice::cluster::EXACT_ROWS + 4000, 800, 192);
    let groups = group(&rows, &Options::default());
    let wrong = (800..rows.len())
        .filter(|&i| groups[i] != groups[i % 800])
        .count();
    assert!(
        wrong * 200 < rows.len(),
        "{wrong} of {} rows are not with the first of their speaker",
        rows.len()
    );
    assert_eq!(groups[..800], (1..=800).map(Some).collect::<Vec<_>>());
}

#[test]
fn threads_do_not_change_the_result() {
    let build = || {
        let mut rows = Rows::new(0, u64::MAX);
        voices(1500, 60, 20)
            .iter()
            .for_each(|r| rows.push(r.as_deref()).unwrap());
        rows
    };
    let with = |threads| cluster(build(), &Options::default(), threads, &Cancel::new()).unwrap();
    assert_eq!(with(1), with(3));
}

#[test]
fn errors_say_what_is_wrong() {
    let run = |options: Options| {
        cluster(Rows::new(0, 0), &options, 1, &Cancel::new())
            .unwrap_err()
            .to_string()
    };
    assert!(
        run(Options {
            threshold: 1.5,
            ..Options::default()
        })
        .contains("from -1 to 1")
    );
    assert!(
        run(Options {
            threshold: f32::NAN,
            ..Options::default()
        })
        .contains("from -1 to 1")
    );
    assert!(
        run(Options {
            min_size: 0,
            ..Options::default()
        })
        .contains("min_size")
    );
    assert!(
        run(Options {
            clusters: Some(0),
            ..Options::default()
        })
        .contains("clusters")
    );
    let cancel = Cancel::new();
    cancel.cancel();
    let mut rows = Rows::new(0, u64::MAX);
    voices(9, 3, 4)
        .iter()
        .for_each(|r| rows.push(r.as_deref()).unwrap());
    assert!(matches!(
        cluster(rows, &Options::default(), 1, &cancel),
        Err(Error::Onnx(onnx::Error::Cancelled))
    ));
}
