//! Transcripts of the development recordings, and error rates.

use std::path::{Path, PathBuf};

/// A recording whose words are known.
pub struct Transcript {
    pub path: PathBuf,
    pub text: String,
}

/// The recordings of a folder in a language, or `None`, said aloud, where there are none on this machine.
pub fn transcripts(folder: &str, language: &str) -> Option<Vec<Transcript>> {
    let Some(root) = std::env::var_os("AI_AUDIO_SPEECH") else {
        println!("skipped: AI_AUDIO_SPEECH is not set");
        return None;
    };
    let root = Path::new(&root);
    let manifest = std::fs::read_to_string(root.join("manifest.tsv")).expect("manifest.tsv");
    let rows = manifest
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let wanted =
        rows.filter(|r| Path::new(r[0]).parent() == Some(Path::new(folder)) && r[3] == language);
    Some(
        wanted
            .map(|r| Transcript {
                path: root.join(r[0]),
                text: r[5].to_string(),
            })
            .collect(),
    )
}

/// Words in lower case without punctuation, and the abbreviations of titles in full.
pub fn normalized(text: &str) -> String {
    let words = text.to_lowercase().replace(['-', '—'], " ");
    let bare = |w: &str| {
        w.chars()
            .filter(|c| c.is_alphanumeric())
            .collect::<String>()
    };
    let full = |w: String| match w.as_str() {
        "mr" => "mister".into(),
        "mrs" => "missus".into(),
        "dr" => "doctor".into(),
        _ => w,
    };
    words
        .split_whitespace()
        .map(bare)
        .filter(|w| !w.is_empty())
        .map(full)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Edits that turn the second text of each pair into the first, over the units of the first.
pub fn error_rate(pairs: &[(String, String)], units: impl Fn(&str) -> Vec<String>) -> f64 {
    let (mut edits, mut total) = (0, 0);
    for (wanted, given) in pairs {
        let (wanted, given) = (units(wanted), units(given));
        edits += distance(&wanted, &given);
        total += wanted.len();
    }
    edits as f64 / total.max(1) as f64
}

fn distance(a: &[String], b: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
