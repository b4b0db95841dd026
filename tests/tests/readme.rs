//! The SQL in README.md and docs/ runs, and gives what the page shows. The conventions are in CONTRIBUTING.md.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sql_tests::{Database, blocks, clip, root};

/// A psql that plays block after block in one session.
struct Psql {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

const MARK: &str = "-- end of block --";

impl Psql {
    fn start(database: &Database) -> Self {
        let program = format!(
            "{}/psql",
            std::env::var("AI_AUDIO_PG_BIN").expect("AI_AUDIO_PG_BIN is set")
        );
        let mut process = Command::new("sh")
            .args([
                "-c",
                "exec \"$0\" -Xq \"$1\" 2>&1",
                &program,
                &database.url(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        Self {
            process,
            input,
            output,
        }
    }

    fn play(&mut self, sql: &str) -> String {
        writeln!(self.input, "{sql}\n\\echo '{MARK}'").expect("psql listens");
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("text");
            if read == 0 || line.trim_end() == MARK {
                return said;
            }
            said += &line;
        }
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether `actual` is `expected`, line by line, without trailing blanks; `...` in a line stands for anything, and a
/// line of it for any number of lines.
fn agrees(expected: &[&str], actual: &[&str]) -> bool {
    match (expected, actual) {
        ([], []) => true,
        ([first, rest @ ..], _) if first.trim() == "..." => {
            (0..=actual.len()).any(|skipped| agrees(rest, &actual[skipped..]))
        }
        ([first, rest @ ..], [line, others @ ..]) => {
            line_agrees(first.trim_end(), line.trim_end()) && agrees(rest, others)
        }
        _ => false,
    }
}

fn line_agrees(expected: &str, actual: &str) -> bool {
    // A heading is in the middle of a column that is as wide as its widest row.
    if expected.trim() == "QUERY PLAN" {
        return actual.trim() == "QUERY PLAN";
    }
    let mut parts = expected.split("...");
    let first = parts.next().unwrap_or_default();
    let Some(mut left) = actual.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(at) = left.find(part) else {
            return false;
        };
        left = &left[at + part.len()..];
        last = Some(part);
    }
    last.map_or(left.is_empty(), |part| actual.ends_with(part))
}

/// Plays a page's SQL and returns what does not come out as the page says.
fn play_page(path: &Path) -> Vec<String> {
    let page = fs::read_to_string(path).expect("a page");
    let sample = clip("index.json");
    let recordings = Path::new(&sample)
        .parent()
        .expect("a folder")
        .display()
        .to_string();
    let blocks = blocks(&page);
    let creates = blocks
        .iter()
        .any(|block| block.language == "sql" && block.text.contains("CREATE EXTENSION ai_audio"));
    let database = if creates {
        Database::empty()
    } else {
        Database::new()
    };
    let mut psql = Psql::start(&database);
    let mut wrong = Vec::new();
    for (index, block) in blocks
        .iter()
        .enumerate()
        .filter(|(_, block)| block.language == "sql")
    {
        let said = psql
            .play(&block.text.replace("/recordings", &recordings))
            .replace(&recordings, "/recordings");
        let said = plans_as_before_17(said);
        let shown = blocks
            .get(index + 1)
            .filter(|next| next.language == "text")
            .map(|next| next.text.as_str());
        let fails = |text: &str| text.lines().any(|line| line.starts_with("ERROR:"));
        let right = match shown {
            Some(shown) => agrees(&lines(shown), &lines(&said)),
            None => !fails(&said),
        };
        if !right || fails(&said) != shown.is_some_and(fails) {
            let place = format!("{}:{}", path.display(), block.line);
            wrong.push(format!(
                "{place}\n{}\nshows:\n{}\nbut gives:\n{said}",
                block.text,
                shown.unwrap_or("(success)")
            ));
        }
    }
    wrong
}

fn lines(text: &str) -> Vec<&str> {
    text.trim_end().lines().collect()
}

/// The pages show plans as Postgres 13 to 16 write them.
fn plans_as_before_17(said: String) -> String {
    if !said.contains("QUERY PLAN") {
        return said;
    }
    (1..=3).fold(said, |said, plan: usize| {
        said.replace(
            &format!("(InitPlan {plan}).col1"),
            &format!("${}", plan - 1),
        )
        .replace(
            &format!("InitPlan {plan}\n"),
            &format!("InitPlan {plan} (returns ${})\n", plan - 1),
        )
    })
}

fn pages_in(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            pages_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn readme_runs() {
    let wrong = play_page(&root().join("README.md"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// `AI_AUDIO_PAGE=cheat-sheet` plays the pages with this in their names only.
#[test]
fn documentation_runs() {
    let mut pages = Vec::new();
    pages_in(&root().join("docs"), &mut pages);
    let chosen = std::env::var("AI_AUDIO_PAGE").unwrap_or_default();
    pages.retain(|page| page.display().to_string().contains(&chosen));
    assert!(!pages.is_empty());
    let wrong: Vec<String> = pages.iter().flat_map(|page| play_page(page)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_comparison_is_not_blind() {
    assert!(
        line_agrees(" 1 | ... | x", " 1 | abc | x") && !line_agrees(" 1 | ... | x", " 1 | abc | y")
    );
    assert!(
        line_agrees("0.9...", "0.97") && !line_agrees("0.9...", "0.87") && !line_agrees("a", "ab")
    );
    assert!(
        agrees(&["a", "...", "d"], &["a", "b", "c", "d"])
            && !agrees(&["a", "...", "d"], &["a", "b"])
    );
    assert_eq!(blocks("x\n```sql\nSELECT 1;\n```\n")[0].text, "SELECT 1;");
}
