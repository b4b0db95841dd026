//! Paraformer: features go in, the logits of all tokens at once come out, with their number (continuous integrate-and-fire), and
//! from some exports when each one fired. Sources: FunASR's Paraformer and BiCifParaformer, their exports, and its
//! `time_stamp_lfr6_onnx`.

use onnx::Cancel;
use ort::value::{DynValue, TensorRef};

use super::{Batch, MAX_CHUNK_MS, Network, check, entry, finish, log_prob, logits, most};
use crate::Error;
use crate::family::{Family, Options, Recognised};
use crate::languages::Language;
use crate::pack::Chunk;
use crate::words::{self, ChunkWord, Token};

/// Ends a token that the next one continues.
const JOINER: &str = "@@";
/// Frames of the firing for each row of features.
const UPSAMPLED: usize = 3;
/// A token fired where the sum reaches this.
const FIRED: f32 = 1.0 - 1e-4;
/// A token begins so many frames before it fired.
const LEAD: f32 = 1.5;
/// Longest token, frames of the firing.
const LONGEST: f32 = 30.0;
/// Shorter silence at the end is the last token's, frames of the firing.
const TAIL: f32 = 5.0;

/// A Paraformer model.
pub struct Paraformer {
    network: Network,
    /// The token that ends a text.
    end: Option<usize>,
    /// Tokens at the end that are counted and not said.
    bias: usize,
    /// Whether [`JOINER`] joins tokens; else SentencePiece's mark parts them.
    joins: bool,
    /// What was recognised to find the language, by its [`Chunk::key`].
    kept: Vec<(u64, Heard)>,
}

/// What a chunk says.
#[derive(Clone, Debug, Default)]
struct Heard {
    tokens: Vec<Token>,
    /// Whether the times are the network's.
    timed: bool,
}

impl Paraformer {
    /// `config.yaml` says how many tokens are counted too many; what is without is cut at the token that ends a text.
    pub fn open(network: Network) -> Self {
        let bias = entry(&network.config, "predictor_bias");
        Paraformer {
            end: network.tokenizer.special("</s>").map(|id| id as usize),
            bias: bias.and_then(|n| n.parse().ok()).unwrap_or(0),
            joins: network.tokenizer.has_ending(JOINER),
            network,
            kept: Vec::new(),
        }
    }

    fn hear(&mut self, chunks: &[Chunk], cancel: &Cancel) -> Result<Vec<Heard>, Error> {
        let mut all = vec![Heard::default(); chunks.len()];
        for (places, batch) in self.network.batches(chunks) {
            cancel.check()?;
            let heard = match self.run(&batch, cancel) {
                // One that says nothing must not silence the others.
                Err(e) if is_silence(&e) && places.len() > 1 => {
                    for place in places {
                        let alone = self.hear(&chunks[place..=place], cancel)?;
                        all[place] = alone.into_iter().next().unwrap_or_default();
                    }
                    continue;
                }
                Err(e) if is_silence(&e) => continue,
                other => other?,
            };
            for (place, mut heard) in places.into_iter().zip(heard) {
                if !heard.timed {
                    spread(&mut heard.tokens, chunks[place].seconds());
                }
                all[place] = heard;
            }
        }
        Ok(all)
    }

    fn run(&mut self, batch: &Batch, cancel: &Cancel) -> Result<Vec<Heard>, Error> {
        let network = &mut self.network;
        let chunks = batch.lengths.len();
        let shape = [chunks, batch.rows, network.front.width()];
        let features = TensorRef::from_array_view((shape, batch.features.as_slice()))?;
        let inputs = ort::inputs![
            network.input(0) => features,
            network.input(1) => network.whole(1, &batch.lengths)?,
        ];
        let step = network.front.step();
        let outputs = network.session.run(inputs, cancel)?;
        let width = network.tokenizer.len();
        let (logits, most_tokens) = logits(&outputs[0], chunks, width)?;
        let counts = numbers(&outputs[1])?;
        let fired = match outputs.get("us_cif_peak") {
            Some(value) => Some(value.try_extract_tensor::<f32>()?.1),
            None => None,
        };
        let stride = fired.map_or(0, |f| f.len() / chunks.max(1));
        let mut all = Vec::with_capacity(chunks);
        for (i, &length) in batch.lengths.iter().enumerate() {
            let count = counts.get(i).copied().unwrap_or(0).min(most_tokens);
            let first = i * most_tokens * width;
            let rows = logits.get(first..first + count * width);
            let rows = rows.ok_or_else(|| Error::inference("Paraformer gave too few logits"))?;
            let mut tokens = tokens(rows, width, self.end)?;
            tokens.truncate(count.saturating_sub(self.bias));
            let own = |f: &[f32]| f[i * stride..(i + 1) * stride].to_vec();
            let fired = fired.map(own).map(|mut f| {
                f.truncate(length * UPSAMPLED);
                f
            });
            let timed = fired.is_some_and(|f| time(&mut tokens, &f, step / UPSAMPLED as f32));
            all.push(Heard { tokens, timed });
        }
        Ok(all)
    }

    /// The words of a text, and its language by its letters unless one is given.
    fn words(&self, heard: &Heard, given: Option<Language>, chunk: &Chunk) -> Recognised {
        let tokenizer = &self.network.tokenizer;
        let (words, language) = if self.joins {
            let piece = |t: &Token| std::str::from_utf8(tokenizer.bytes(t.id)).unwrap_or_default();
            let pieces: Vec<(&str, Token)> = heard.tokens.iter().map(|t| (piece(t), *t)).collect();
            let units = spell(&pieces);
            let language = given.unwrap_or_else(|| written_in(beginnings(&units)));
            (words::join(units, language), language)
        } else {
            let text = tokenizer.decode(&heard.tokens.iter().map(|t| t.id).collect::<Vec<_>>());
            let language = given.unwrap_or_else(|| written_in(text.split(' ')));
            (words::words(&heard.tokens, tokenizer, language), language)
        };
        Recognised {
            words: finish(words, language, chunk, 0.0, heard.timed),
            language,
            approximate: !heard.timed,
        }
    }

    /// What chunks say, of which some may be known.
    fn known(&mut self, chunks: &[Chunk], cancel: &Cancel) -> Result<Vec<Heard>, Error> {
        let keys: Vec<u64> = chunks.iter().map(Chunk::key).collect();
        let is_kept = |kept: &Self, key: u64| kept.kept.iter().any(|(k, _)| *k == key);
        let missing: Vec<usize> = (0..chunks.len())
            .filter(|&i| !is_kept(self, keys[i]))
            .collect();
        let given: Vec<Chunk> = missing.iter().map(|&i| chunks[i].clone()).collect();
        let heard = self.hear(&given, cancel)?;
        self.kept
            .extend(missing.iter().map(|&i| keys[i]).zip(heard));
        let found = |key: &u64| {
            self.kept
                .iter()
                .find(|(k, _)| k == key)
                .map(|(_, h)| h.clone())
        };
        Ok(keys.iter().map(|k| found(k).unwrap_or_default()).collect())
    }
}

/// Whether a run failed as Paraformer's exports do where nobody speaks: a node gets no token to work on. FunASR's and sherpa-onnx's
/// own programs give an empty text there, too.
fn is_silence(error: &Error) -> bool {
    match error {
        Error::Onnx(onnx::Error::Inference(reason)) => {
            reason.contains("while running") && !reason.contains("allocat")
        }
        _ => false,
    }
}

/// Whole numbers of whatever type.
fn numbers(value: &DynValue) -> Result<Vec<usize>, Error> {
    let whole = |n: i64| usize::try_from(n).unwrap_or(0);
    if let Ok((_, all)) = value.try_extract_tensor::<i64>() {
        return Ok(all.iter().map(|&n| whole(n)).collect());
    }
    if let Ok((_, all)) = value.try_extract_tensor::<i32>() {
        return Ok(all.iter().map(|&n| whole(n.into())).collect());
    }
    let (_, all) = value.try_extract_tensor::<f32>()?;
    Ok(all.iter().map(|&n| n as usize).collect())
}

/// The most probable token at each place, up to the one that ends the text.
fn tokens(logits: &[f32], width: usize, end: Option<usize>) -> Result<Vec<Token>, Error> {
    let mut tokens = Vec::new();
    for logits in logits.chunks_exact(width) {
        let id = most(logits)?;
        if Some(id) == end {
            break;
        }
        tokens.push(Token {
            id: id as u32,
            log_prob: log_prob(logits, id),
            start: 0.0,
            end: 0.0,
            peak: 0.0,
        });
    }
    Ok(tokens)
}

/// Times of tokens by where they fired: each lasts until the next one fires, and there is one firing more than tokens.
/// `false` where there is not.
fn time(tokens: &mut [Token], fired: &[f32], frame_s: f32) -> bool {
    let places = fired.iter().enumerate().filter(|(_, f)| **f > FIRED);
    let places: Vec<f32> = places.map(|(i, _)| i as f32 - LEAD).collect();
    if places.len() != tokens.len() + 1 {
        return false;
    }
    let all = fired.len() as f32;
    let last = places[places.len() - 1];
    let end = if all - last > TAIL {
        (all + last) / 2.0
    } else {
        all
    };
    let count = tokens.len();
    for (i, token) in tokens.iter_mut().enumerate() {
        let (from, to) = (places[i].max(0.0), places[i + 1]);
        let to = if i + 1 == count {
            end
        } else {
            to.min(from + LONGEST)
        };
        token.start = from * frame_s;
        token.end = to.max(from) * frame_s;
        token.peak = (from + LEAD) * frame_s;
    }
    true
}

/// Spreads tokens evenly over a stretch of time.
fn spread(tokens: &mut [Token], seconds: f32) {
    let share = seconds / tokens.len().max(1) as f32;
    for (i, token) in tokens.iter_mut().enumerate() {
        token.start = i as f32 * share;
        token.end = token.start + share;
        token.peak = token.start + share / 2.0;
    }
}

/// Tokens to text: [`JOINER`] joins the parts of a Latin word, which has spaces around it; letters that are said one by one are an
/// abbreviation.
fn spell(pieces: &[(&str, Token)]) -> Vec<ChunkWord> {
    let mut units: Vec<ChunkWord> = Vec::new();
    // Of the token before: whether the next continues it, is Latin, is a letter by itself.
    let (mut goes_on, mut latin, mut letter) = (false, false, false);
    for (piece, token) in pieces.iter().filter(|(piece, _)| !piece.is_empty()) {
        let stem = piece.strip_suffix(JOINER).unwrap_or(piece);
        let is_latin = stem.starts_with(|c: char| c.is_ascii_alphabetic() || c == '\'');
        let is_letter = !goes_on && piece.len() == 1 && is_latin;
        let joined = goes_on || (letter && is_letter);
        let mut text = if !joined && (is_latin || latin) {
            " ".to_string()
        } else {
            String::new()
        };
        text.push_str(stem);
        if letter && is_letter {
            text.make_ascii_uppercase();
            if let Some(before) = units.last_mut() {
                before.text.make_ascii_uppercase();
            }
        }
        units.push(ChunkWord {
            text,
            start: token.start,
            end: token.end,
            log_prob: token.log_prob,
            tokens: 1,
            peaks: vec![token.peak],
        });
        (goes_on, latin, letter) = (piece.len() > stem.len(), is_latin, is_letter);
    }
    units
}

/// The parts that do not continue a Latin word.
fn beginnings(units: &[ChunkWord]) -> impl Iterator<Item = &str> {
    let texts = units.iter().map(|u| u.text.as_str());
    texts.filter(|text| !text.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

/// The language of a text by its letters: whatever more of its parts are written in, where Latin letters are English.
fn written_in<'a>(parts: impl Iterator<Item = &'a str>) -> Language {
    let (mut latin, mut han, mut kana, mut hangul) = (0, 0, 0, 0);
    for part in parts {
        let counter = match part.trim().chars().next() {
            Some('\u{3040}'..='\u{30ff}') => &mut kana,
            Some('\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}') => &mut hangul,
            Some('\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}') => &mut han,
            Some(c) if part.starts_with(' ') || c.is_ascii_alphabetic() => &mut latin,
            _ => continue,
        };
        *counter += 1;
    }
    let code = if kana > 0 {
        "ja"
    } else if hangul > latin {
        "ko"
    } else if latin > han {
        "en"
    } else {
        "zh"
    };
    Language::parse(code).unwrap_or(Language::ENGLISH)
}

impl Family for Paraformer {
    fn max_chunk_ms(&self) -> u64 {
        MAX_CHUNK_MS
    }

    fn recognise(
        &mut self,
        chunks: &[Chunk],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Recognised>, Error> {
        check(options)?;
        let heard = self.known(chunks, cancel)?;
        let rows = heard.iter().zip(chunks);
        Ok(rows
            .map(|(h, chunk)| self.words(h, options.language, chunk))
            .collect())
    }

    fn languages(
        &mut self,
        chunks: &[Chunk],
        _: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<(Language, f32)>>, Error> {
        let heard = self.known(chunks, cancel)?;
        let rows = heard.iter().zip(chunks);
        Ok(rows
            .map(|(h, chunk)| vec![(self.words(h, None, chunk).language, 1.0)])
            .collect())
    }

    fn forget(&mut self) {
        self.kept.clear();
    }

    fn leaves_out(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            id: 1,
            log_prob: -0.1,
            start: 0.0,
            end: 0.0,
            peak: 0.0,
        }
    }

    fn text(pieces: &[&str]) -> (String, &'static str, usize) {
        let pieces: Vec<(&str, Token)> = pieces.iter().map(|p| (*p, token())).collect();
        let units = spell(&pieces);
        let language = written_in(beginnings(&units));
        let words = words::join(units, language);
        let text: String = words.iter().map(|w| w.text.as_str()).collect();
        (text.trim().to_string(), language.code(), words.len())
    }

    #[test]
    fn parts_of_words_are_joined_and_latin_words_have_spaces() {
        assert_eq!(
            text(&["你", "好", "wor@@", "ld", "再", "见"]),
            ("你好 world 再见".into(), "zh", 5)
        );
        assert_eq!(
            text(&["he@@", "ll@@", "o", "wor@@", "ld"]),
            ("hello world".into(), "en", 2)
        );
        assert_eq!(
            text(&["c", "c", "t", "v", "新", "闻"]),
            ("CCTV 新闻".into(), "zh", 3)
        );
        assert_eq!(text(&["i", "am"]), ("i am".into(), "en", 2));
        assert_eq!(text(&["", "@@"]).2, 0);
        assert_eq!(text(&[]), (String::new(), "zh", 0));
    }

    #[test]
    fn the_letters_tell_the_language() {
        for (text, code) in [
            ("こ", "ja"),
            ("안", "ko"),
            ("好", "zh"),
            (" so", "en"),
            ("", "zh"),
        ] {
            assert_eq!(written_in([text].into_iter()).code(), code, "{text}");
        }
    }

    /// Numbers of funasr-onnx's `time_stamp_lfr6_onnx`.
    #[test]
    fn times_are_funasrs() {
        let golden = std::fs::read_to_string("tests/fixtures/funasr/times.json").unwrap();
        let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let fired: Vec<f32> = serde_json::from_value(case["fired"].clone()).unwrap();
            let wanted: Vec<(f32, f32)> = serde_json::from_value(case["ms"].clone()).unwrap();
            let mut tokens = vec![token(); wanted.len()];
            assert!(time(&mut tokens, &fired, 0.02));
            for (token, (start, end)) in tokens.iter().zip(wanted) {
                assert!(
                    (token.start * 1000.0 - start.max(0.0)).abs() <= 1.0,
                    "{token:?} {start}"
                );
                assert!((token.end * 1000.0 - end).abs() <= 1.0, "{token:?} {end}");
            }
            tokens.push(token());
            assert!(!time(&mut tokens, &fired, 0.02));
        }
    }

    #[test]
    fn a_node_without_tokens_is_silence_and_a_lack_of_memory_is_not() {
        let of = |reason: &str| is_silence(&Error::inference(reason));
        assert!(of(
            "Non-zero status code returned while running Reshape node"
        ));
        assert!(!of("while running MatMul node: Failed to allocate memory"));
        assert!(!of("Got invalid dimensions for input: speech"));
        assert!(!is_silence(&Error::Onnx(onnx::Error::Cancelled)));
    }
}
