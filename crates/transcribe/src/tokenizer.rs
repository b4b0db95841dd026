//! Text tokens: byte-level BPE (or BPE with byte fallback), read from Hugging Face's `tokenizer.json` or Moonshine's
//! `tokenizer.bin`; SentencePiece's pieces, read from FunASR's `tokens.json` or sherpa-onnx's `tokens.txt`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use onnx::Error;
use serde::Deserialize;

/// Largest vocabulary file that is read.
const MAX_BYTES: u64 = 64 << 20;

/// Turns token ids into bytes of text and prompts into token ids.
///
/// Decoding needs the vocabulary only; the BPE encoder is built at the first prompt, because it takes longer than
/// transcribing a short clip.
pub struct Tokenizer {
    /// The text of each id; special tokens have none.
    pieces: Vec<Box<[u8]>>,
    special: HashMap<String, u32>,
    path: PathBuf,
    encoder: OnceLock<tokenizers::Tokenizer>,
}

/// What is read of a `tokenizer.json`; merges and the rest are skipped.
#[derive(Deserialize)]
struct Vocabulary {
    added_tokens: Vec<AddedToken>,
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
    /// SentencePiece style: `▁` is a space and `<0x41>` a byte. Otherwise GPT-2's byte alphabet.
    #[serde(default)]
    byte_fallback: bool,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or a `tokenizer.bin`, by the name.
    ///
    /// # Errors
    /// [`Error::Model`] if it is missing or is not a tokenizer of these kinds.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let content = read(path)?;
        let opened = if path.extension().is_some_and(|e| e == "bin") {
            from_bin(path, &content)
        } else {
            from_json(path, &content)
        };
        opened.map_err(|reason| Error::Model {
            path: path.into(),
            reason,
        })
    }

    /// Reads a list of tokens: a JSON array in order of the ids, or a text with a token a line, and behind it, if the lines
    /// are not in order of the ids, its id. Tokens in angle brackets, bytes apart, are special.
    ///
    /// # Errors
    /// [`Error::Model`] if it is missing or no such list.
    pub fn open_list(path: &Path) -> Result<Self, Error> {
        let content = read(path)?;
        let is_json = path.extension().is_some_and(|e| e == "json");
        from_list(path, &content, is_json).map_err(|reason| Error::Model {
            path: path.into(),
            reason,
        })
    }

    /// Tokens in the vocabulary.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether any token ends so.
    pub fn has_ending(&self, ending: &str) -> bool {
        (self.pieces.iter()).any(|p| p.len() > ending.len() && p.ends_with(ending.as_bytes()))
    }

    /// The id of a special token, for example `<|endoftext|>`.
    pub fn special(&self, name: &str) -> Option<u32> {
        self.special.get(name).copied()
    }

    /// The bytes that a token stands for: none for special and unknown tokens, part of a character for some.
    pub fn bytes(&self, id: u32) -> &[u8] {
        self.pieces.get(id as usize).map_or(&[], |piece| piece)
    }

    /// The text of a sequence, with U+FFFD where it is not UTF-8.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The ids of plain text; what looks like a special token in it is text too.
    ///
    /// # Errors
    /// [`Error::Model`] if the tokenizer file has no BPE encoder, as a `tokenizer.bin` has not.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let wrong = |e: tokenizers::Error| Error::Model {
            path: self.path.clone(),
            reason: e.to_string(),
        };
        if self.encoder.get().is_none() {
            let mut encoder =
                tokenizers::Tokenizer::from_bytes(read(&self.path)?).map_err(wrong)?;
            encoder.set_encode_special_tokens(true);
            let _ = self.encoder.set(encoder);
        }
        let Some(encoder) = self.encoder.get() else {
            return Ok(Vec::new());
        };
        Ok(encoder
            .encode_fast(text, false)
            .map_err(wrong)?
            .get_ids()
            .to_vec())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let wrong = |reason: String| Error::Model {
        path: path.into(),
        reason,
    };
    onnx::regular(path)?;
    let length = fs::metadata(path).map_err(|e| wrong(e.to_string()))?.len();
    if length > MAX_BYTES {
        return Err(wrong(format!(
            "{length} bytes are too many for a vocabulary"
        )));
    }
    fs::read(path).map_err(|e| wrong(e.to_string()))
}

fn from_json(path: &Path, content: &[u8]) -> Result<Tokenizer, String> {
    let vocabulary: Vocabulary = serde_json::from_slice(content).map_err(|e| e.to_string())?;
    let alphabet = byte_alphabet();
    let mut pieces = Vec::new();
    for (token, id) in &vocabulary.model.vocab {
        let text = match vocabulary.model.byte_fallback {
            true => sentencepiece_bytes(token),
            false => token.chars().flat_map(|c| to_bytes(c, &alphabet)).collect(),
        };
        place(&mut pieces, *id, text)?;
    }
    let mut special = HashMap::new();
    for token in vocabulary.added_tokens {
        let text = if token.special {
            Vec::new()
        } else {
            token.content.clone().into_bytes()
        };
        place(&mut pieces, token.id, text)?;
        special.insert(token.content, token.id);
    }
    Ok(Tokenizer {
        pieces,
        special,
        path: path.into(),
        encoder: OnceLock::new(),
    })
}

/// Moonshine's binary vocabulary: every token in order of its id, each its length (one byte; from 128 on two, seven
/// bits each, low first) and its bytes, with `▁` for a space.
fn from_bin(path: &Path, content: &[u8]) -> Result<Tokenizer, String> {
    let (mut pieces, mut special, mut rest) = (Vec::new(), HashMap::new(), content);
    while let [first, tail @ ..] = rest {
        let (length, tail) = match (*first, tail) {
            (low @ 128.., [high, tail @ ..]) => {
                (usize::from(*high) * 128 + usize::from(low) - 128, tail)
            }
            (length, tail) => (usize::from(length), tail),
        };
        let (token, tail) = tail
            .split_at_checked(length)
            .ok_or("the vocabulary is cut off")?;
        let text = String::from_utf8_lossy(token);
        let is_special = matches!(&*text, "<unk>" | "<s>" | "</s>") || text.starts_with("<<ST_");
        let id = u32::try_from(pieces.len()).map_err(|e| e.to_string())?;
        let bytes = if is_special {
            Vec::new()
        } else {
            replace_marks(token)
        };
        if is_special {
            special.insert(text.into_owned(), id);
        }
        place(&mut pieces, id, bytes)?;
        rest = tail;
    }
    if pieces.is_empty() {
        return Err("the vocabulary is empty".into());
    }
    Ok(Tokenizer {
        pieces,
        special,
        path: path.into(),
        encoder: OnceLock::new(),
    })
}

fn from_list(path: &Path, content: &[u8], is_json: bool) -> Result<Tokenizer, String> {
    let tokens: Vec<(u32, String)> = if is_json {
        let list: Vec<String> = serde_json::from_slice(content).map_err(|e| e.to_string())?;
        (0..).zip(list).collect()
    } else {
        let text = std::str::from_utf8(content).map_err(|e| e.to_string())?;
        let numbered = |(line, at): (&str, u32)| {
            let parts = line.rsplit_once([' ', '\t']);
            let with_id = parts.and_then(|(token, id)| Some((id.parse().ok()?, token.to_string())));
            with_id.unwrap_or_else(|| (at, line.to_string()))
        };
        text.lines().zip(0..).map(numbered).collect()
    };
    let (mut pieces, mut special) = (Vec::new(), HashMap::new());
    for (id, token) in tokens {
        let is_byte = token.len() == 6 && token.starts_with("<0x");
        let is_special = token.len() > 2 && token.starts_with('<') && token.ends_with('>');
        if is_special && !is_byte {
            place(&mut pieces, id, Vec::new())?;
            special.insert(token, id);
        } else {
            place(&mut pieces, id, sentencepiece_bytes(&token))?;
        }
    }
    if pieces.is_empty() {
        return Err("the vocabulary is empty".into());
    }
    Ok(Tokenizer {
        pieces,
        special,
        path: path.into(),
        encoder: OnceLock::new(),
    })
}

/// SentencePiece's word mark (U+2581 in UTF-8) as the space it stands for.
fn replace_marks(token: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = "\u{2581}".as_bytes();
    let (mut out, mut rest) = (Vec::with_capacity(token.len()), token);
    while let [first, tail @ ..] = rest {
        match rest.strip_prefix(MARK) {
            Some(tail) => {
                out.push(b' ');
                rest = tail;
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

fn sentencepiece_bytes(token: &str) -> Vec<u8> {
    let byte = token
        .strip_prefix("<0x")
        .and_then(|t| t.strip_suffix('>'))
        .and_then(|t| u8::from_str_radix(t, 16).ok());
    byte.map_or_else(|| replace_marks(token.as_bytes()), |b| vec![b])
}

fn place(pieces: &mut Vec<Box<[u8]>>, id: u32, text: Vec<u8>) -> Result<(), String> {
    let id = id as usize;
    if id >= 1 << 20 {
        return Err(format!("token id {id} is out of range"));
    }
    if pieces.len() <= id {
        pieces.resize(id + 1, Box::default());
    }
    pieces[id] = text.into();
    Ok(())
}

/// The printable characters that stand for the 256 bytes in GPT-2's vocabulary: printable Latin-1 stands for itself,
/// the others are shifted beyond U+0100 in order.
fn byte_alphabet() -> HashMap<char, u8> {
    let is_printable = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let shifted = (0..=255u8).filter(|b| !is_printable(*b)).zip(256u32..);
    let plain = (0..=255u8)
        .filter(|b| is_printable(*b))
        .map(|b| (b, u32::from(b)));
    shifted
        .chain(plain)
        .filter_map(|(byte, code)| Some((char::from_u32(code)?, byte)))
        .collect()
}

/// A vocabulary character as bytes; one that is no byte's stand-in is itself.
fn to_bytes(c: char, alphabet: &HashMap<char, u8>) -> Vec<u8> {
    alphabet
        .get(&c)
        .map_or_else(|| c.to_string().into_bytes(), |&b| vec![b])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(content: &str) -> Tokenizer {
        from_json(Path::new("tokenizer.json"), content.as_bytes()).unwrap()
    }

    #[test]
    fn byte_level_tokens_are_bytes_of_text() {
        let t = open(
            r#"{"added_tokens":[{"id":4,"content":"<|x|>","special":true}],
                "model":{"vocab":{"Hello":0,"Ġworld":1,"ä½":2,"ł":3}}}"#,
        );
        assert_eq!(t.decode(&[0, 1, 4]), "Hello world");
        assert_eq!(t.decode(&[2, 3]), "你"); // one character in two tokens
        assert_eq!((t.special("<|x|>"), t.special("<|y|>")), (Some(4), None));
        assert_eq!(t.bytes(99), b"");
    }

    #[test]
    fn sentencepiece_tokens_have_marks_and_byte_fallback() {
        let t = open(
            r#"{"added_tokens":[],"model":{"byte_fallback":true,"vocab":{"▁Hi":0,"<0x21>":1,"▁":2}}}"#,
        );
        assert_eq!(t.decode(&[0, 1, 2]), " Hi! ");
    }

    #[test]
    fn a_binary_vocabulary_has_lengths_of_one_or_two_bytes() {
        let long = "x".repeat(200);
        let content = [b"\x05<unk>\x05\xe2\x96\x81Hi\x00\xc8\x01", long.as_bytes()].concat();
        let t = from_bin(Path::new("tokenizer.bin"), &content).unwrap();
        assert_eq!(t.decode(&[0, 1, 2, 3]), format!(" Hi{long}"));
        assert!(from_bin(Path::new("tokenizer.bin"), &content[..20]).is_err());
        assert!(t.encode("Hi").is_err());
    }

    #[test]
    fn lists_are_in_order_or_numbered() {
        let json = r#"["<blank>","▁Hi","<0x21>","<|zh|>","好","wor@@"]"#;
        let plain = "<blank>\n▁Hi\n<0x21>\n<|zh|>\n好\nwor@@\n";
        let numbered = "▁Hi 1\n<blank> 0\n<0x21> 2\n<|zh|> 3\r\n好 4\nwor@@\t5\n";
        for (text, is_json) in [(json, true), (plain, false), (numbered, false)] {
            let t = from_list(Path::new("tokens"), text.as_bytes(), is_json).unwrap();
            assert_eq!(t.decode(&[0, 1, 2, 3, 4, 5]), " Hi!好wor@@", "{text}");
            assert_eq!((t.special("<|zh|>"), t.len()), (Some(3), 6));
            assert!(t.has_ending("@@") && !t.has_ending("##"));
        }
        for (text, is_json) in [
            ("", false),
            ("{}", true),
            ("a 4294967295", true),
            ("a 99999999", false),
        ] {
            assert!(
                from_list(Path::new("t"), text.as_bytes(), is_json).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn broken_files_are_errors() {
        for content in [
            "",
            "{}",
            "[1]",
            r#"{"added_tokens":[],"model":{"vocab":{"a":4294967295}}}"#,
        ] {
            assert!(
                from_json(Path::new("t"), content.as_bytes()).is_err(),
                "{content}"
            );
        }
        assert!(Tokenizer::open(Path::new("/nonexistent/tokenizer.json")).is_err());
    }
}
