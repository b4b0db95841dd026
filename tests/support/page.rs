//! Fenced blocks of a page of the documentation.

use std::iter;

/// A fenced block: the line it starts on, what follows the fence, its text.
pub struct Block {
    /// The line of the fence, from 1.
    pub line: usize,
    /// What follows the fence.
    pub language: String,
    /// What is in the block.
    pub text: String,
}

/// The blocks of a page, in order.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let inside = iter::from_fn(|| lines.next())
                .map(|(_, line)| line)
                .take_while(|line| !line.starts_with("```"));
            let text = inside.collect::<Vec<_>>().join("\n");
            found.push(Block {
                line: number + 1,
                language: language.trim().into(),
                text,
            });
        }
    }
    found
}
