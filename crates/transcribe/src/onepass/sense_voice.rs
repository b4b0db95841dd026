//! SenseVoice: features, a language and the kind of text go in; of what comes out, four frames are about language, emotion, sound and
//! kind of text, and the others are the logits of connectionist temporal classification: one frame for each row of features.
//! Sources: FunAudioLLM's SenseVoice (`model.py`), its exports by FunASR and sherpa-onnx.

use onnx::Cancel;
use ort::value::TensorRef;

use super::{Batch, MAX_CHUNK_MS, Network, check, ctc, finish, languages, logits};
use crate::Error;
use crate::family::{Family, Options, Recognised};
use crate::languages::Language;
use crate::pack::Chunk;
use crate::words::{self, ChunkWord, Token};

/// Frames before the text: language, emotion, sound, kind of text.
const PREFIX: usize = 4;
/// The token between two of the same.
const BLANK: usize = 0;

/// A SenseVoice model.
pub struct SenseVoice {
    network: Network,
    /// Of each language, its number as an input and its tag in the vocabulary.
    languages: Vec<(Language, usize, usize)>,
    /// The number for a language that is not given, and the tag for no speech.
    detect: usize,
    no_speech: Option<usize>,
    /// The numbers for text with numerals and punctuation, and without.
    written: usize,
    spoken: usize,
    /// What was recognised to find the language, by its [`Chunk::key`] and whether it is written text.
    kept: Vec<(u64, bool, Heard)>,
}

/// What a chunk says.
#[derive(Clone, Default)]
struct Heard {
    tokens: Vec<Token>,
    /// Most probable first.
    languages: Vec<(Language, f32)>,
    no_speech: f32,
}

impl SenseVoice {
    /// The numbers of languages and kinds of text are the metadata's, or those of the published model.
    pub fn open(network: Network) -> Self {
        let number = |key: &str, usual: usize| {
            let told = network.session.metadata(key);
            told.and_then(|n| n.trim().parse().ok()).unwrap_or(usual)
        };
        let tag = |code: &str| {
            let tag = network.tokenizer.special(&format!("<|{code}|>"));
            tag.map(|id| id as usize)
        };
        let usual = |code: &str| match code {
            "zh" => 3,
            "en" => 4,
            "yue" => 7,
            "ja" => 11,
            _ => 12,
        };
        let known = languages().filter_map(|language| {
            let code = language.code();
            let input = number(&format!("lang_{code}"), usual(code));
            Some((language, input, tag(code)?))
        });
        SenseVoice {
            languages: known.collect(),
            detect: number("lang_auto", 0),
            no_speech: tag("nospeech"),
            written: number("with_itn", 14),
            spoken: number("without_itn", 15),
            network,
            kept: Vec::new(),
        }
    }

    /// Recognises chunks; without a language, in the one that is heard.
    fn hear(
        &mut self,
        chunks: &[Chunk],
        language: Option<Language>,
        written: bool,
        cancel: &Cancel,
    ) -> Result<Vec<Heard>, Error> {
        let mut all = vec![Heard::default(); chunks.len()];
        for (places, batch) in self.network.batches(chunks) {
            cancel.check()?;
            for (place, heard) in places
                .into_iter()
                .zip(self.run(&batch, language, written, cancel)?)
            {
                let seconds = chunks[place].seconds();
                all[place] = heard;
                for token in &mut all[place].tokens {
                    token.start = token.start.min(seconds);
                    token.end = token.end.min(seconds);
                }
            }
        }
        Ok(all)
    }

    fn run(
        &mut self,
        batch: &Batch,
        language: Option<Language>,
        written: bool,
        cancel: &Cancel,
    ) -> Result<Vec<Heard>, Error> {
        let number = |wanted: Language| self.languages.iter().find(|(l, ..)| *l == wanted);
        let language = language
            .and_then(number)
            .map_or(self.detect, |(_, n, _)| *n);
        let kind = if written { self.written } else { self.spoken };
        let network = &mut self.network;
        let chunks = batch.lengths.len();
        let shape = [chunks, batch.rows, network.front.width()];
        let features = TensorRef::from_array_view((shape, batch.features.as_slice()))?;
        let inputs = ort::inputs![
            network.input(0) => features,
            network.input(1) => network.whole(1, &batch.lengths)?,
            network.input(2) => network.whole(2, &vec![language; chunks])?,
            network.input(3) => network.whole(3, &vec![kind; chunks])?,
        ];
        let step = network.front.step();
        let outputs = network.session.run(inputs, cancel)?;
        let width = network.tokenizer.len();
        let (logits, frames) = logits(&outputs[0], chunks, width)?;
        let mut all = Vec::with_capacity(chunks);
        for (chunk, &length) in logits.chunks_exact(frames * width).zip(&batch.lengths) {
            let rows: Vec<&[f32]> = chunk.chunks_exact(width).take(length + PREFIX).collect();
            let (spoken, no_speech) = match rows.first() {
                Some(first) => tags(first, &self.languages, self.no_speech),
                None => Default::default(),
            };
            all.push(Heard {
                tokens: ctc::tokens(&rows, PREFIX, BLANK, step)?,
                languages: spoken,
                no_speech,
            });
        }
        if all.len() != chunks {
            return Err(Error::inference("SenseVoice gave no frames"));
        }
        Ok(all)
    }

    fn words(&self, heard: &Heard, language: Language, chunk: &Chunk) -> Vec<ChunkWord> {
        let words = words::words(&heard.tokens, &self.network.tokenizer, language);
        finish(words, language, chunk, heard.no_speech, true)
    }
}

/// The probabilities of languages among themselves, most probable first, and of no speech among all of these.
fn tags(
    logits: &[f32],
    known: &[(Language, usize, usize)],
    no_speech: Option<usize>,
) -> (Vec<(Language, f32)>, f32) {
    let value = |tag: usize| logits.get(tag).copied().unwrap_or(f32::NEG_INFINITY);
    let all = known.iter().map(|(_, _, tag)| *tag).chain(no_speech);
    let most = all.map(value).fold(f32::NEG_INFINITY, f32::max);
    let weight = |tag: usize| (value(tag) - most).exp();
    let total: f32 = known.iter().map(|(_, _, tag)| weight(*tag)).sum();
    let silence = no_speech.map_or(0.0, weight);
    let share = |tag: usize| weight(tag) / total.max(f32::MIN_POSITIVE);
    let mut found: Vec<(Language, f32)> =
        known.iter().map(|(l, _, tag)| (*l, share(*tag))).collect();
    found.retain(|(_, p)| p.is_finite());
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    (found, silence / (total + silence).max(f32::MIN_POSITIVE))
}

impl Family for SenseVoice {
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
        let written = options.itn.unwrap_or(true);
        let known = |kept: &Self, chunk: &Chunk| {
            let key = chunk.key();
            let found = kept
                .kept
                .iter()
                .find(|(k, w, _)| *k == key && *w == written)?;
            // Heard as another language, it is to be written in the one asked for.
            let spoken = found.2.languages.first().map(|(l, _)| *l);
            (options.language.is_none() || options.language == spoken).then(|| found.2.clone())
        };
        let mut all: Vec<Option<Heard>> = chunks.iter().map(|c| known(self, c)).collect();
        let missing: Vec<usize> = (0..chunks.len()).filter(|&i| all[i].is_none()).collect();
        let given: Vec<Chunk> = missing.iter().map(|&i| chunks[i].clone()).collect();
        let heard = self.hear(&given, options.language, written, cancel)?;
        for (i, heard) in missing.into_iter().zip(heard) {
            all[i] = Some(heard);
        }
        let made = all.into_iter().zip(chunks).map(|(heard, chunk)| {
            let heard = heard.unwrap_or_default();
            let spoken = heard.languages.first().map(|(l, _)| *l);
            let language = options.language.or(spoken).unwrap_or(Language::ENGLISH);
            Recognised {
                words: self.words(&heard, language, chunk),
                language,
                approximate: false,
            }
        });
        Ok(made.collect())
    }

    fn languages(
        &mut self,
        chunks: &[Chunk],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<(Language, f32)>>, Error> {
        let written = options.itn.unwrap_or(true);
        let heard = self.hear(chunks, None, written, cancel)?;
        let spoken = heard.iter().map(|h| h.languages.clone()).collect();
        let kept = chunks.iter().map(Chunk::key).zip(heard);
        self.kept
            .extend(kept.map(|(key, heard)| (key, written, heard)));
        Ok(spoken)
    }

    fn forget(&mut self) {
        self.kept.clear();
    }

    fn leaves_out(&self) -> bool {
        false
    }

    fn has_itn(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_share_one_and_silence_is_told_apart() {
        let zh = Language::parse("zh").unwrap();
        let known = [(zh, 3, 1), (Language::ENGLISH, 4, 2)];
        let (found, silence) = tags(&[0.0, 2.0, 1.0, 9.0], &known, Some(3));
        assert_eq!(found[0].0, zh);
        assert!((found[0].1 - 0.731).abs() < 0.001 && (found[0].1 + found[1].1 - 1.0).abs() < 1e-6);
        assert!(silence > 0.99);
        assert_eq!(tags(&[0.0; 4], &known, None).1, 0.0);
    }
}
