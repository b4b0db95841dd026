//! SubRip (.srt) and WebVTT (.vtt) subtitles.

use std::fmt::Write;

use crate::Sentence;

/// Longest cue, characters; longer sentences with words are cut into several.
const MAX_CHARS: usize = 84;

struct Cue<'a> {
    start_ms: u64,
    end_ms: u64,
    text: String,
    speaker: Option<&'a str>,
}

/// A SubRip file. Each sentence may come with a speaker's name, which is set before its text.
pub fn srt<'a>(sentences: impl IntoIterator<Item = (&'a Sentence, Option<&'a str>)>) -> String {
    let mut out = String::new();
    for (i, cue) in cues(sentences).enumerate() {
        let speaker = cue.speaker.map(|s| format!("{s}: ")).unwrap_or_default();
        let (start, end) = (clock(cue.start_ms, ','), clock(cue.end_ms, ','));
        let _ = write!(
            out,
            "{}\n{start} --> {end}\n{speaker}{}\n\n",
            i + 1,
            cue.text
        );
    }
    out
}

/// A WebVTT file. Each sentence may come with a speaker's name, which becomes a voice span.
pub fn vtt<'a>(sentences: impl IntoIterator<Item = (&'a Sentence, Option<&'a str>)>) -> String {
    let mut out = String::from("WEBVTT\n\n");
    for cue in cues(sentences) {
        let voice = cue.speaker.map(|s| format!("<v {s}>")).unwrap_or_default();
        let (start, end) = (clock(cue.start_ms, '.'), clock(cue.end_ms, '.'));
        let _ = write!(out, "{start} --> {end}\n{voice}{}\n\n", escape(&cue.text));
    }
    out
}

fn cues<'a>(
    sentences: impl IntoIterator<Item = (&'a Sentence, Option<&'a str>)>,
) -> impl Iterator<Item = Cue<'a>> {
    sentences
        .into_iter()
        .flat_map(|(sentence, speaker)| cut(sentence, speaker))
}

/// One cue for a short sentence or one without words, several for a long one.
fn cut<'a>(sentence: &Sentence, speaker: Option<&'a str>) -> Vec<Cue<'a>> {
    if sentence.text.chars().count() <= MAX_CHARS || sentence.words.is_empty() {
        let (start_ms, end_ms) = (sentence.start_ms, sentence.end_ms);
        return vec![Cue {
            start_ms,
            end_ms,
            text: sentence.text.clone(),
            speaker,
        }];
    }
    let mut cues: Vec<Cue> = Vec::new();
    let space = if sentence.language.is_unspaced() {
        ""
    } else {
        " "
    };
    for word in &sentence.words {
        match cues.last_mut() {
            Some(cue) if cue.text.chars().count() + word.text.chars().count() < MAX_CHARS => {
                cue.text = format!("{}{space}{}", cue.text, word.text);
                cue.end_ms = word.end_ms;
            }
            _ => cues.push(Cue {
                start_ms: word.start_ms,
                end_ms: word.end_ms,
                text: word.text.clone(),
                speaker,
            }),
        }
    }
    cues
}

fn clock(ms: u64, mark: char) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!(
        "{hours:02}:{minutes:02}:{seconds:02}{mark}{:03}",
        ms % 1_000
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Word, languages::Language};

    fn sentence(text: &str, start_ms: u64, end_ms: u64) -> Sentence {
        let language = Language::ENGLISH;
        Sentence {
            start_ms,
            end_ms,
            text: text.into(),
            language,
            confidence: 0.9,
            approximate: false,
            words: vec![],
        }
    }

    #[test]
    fn subtitles_have_the_standard_form() {
        let (a, b) = (
            sentence("Hello world.", 100, 3_300),
            sentence("A < B & C.", 3_723_004, 3_724_000),
        );
        let named = [(&a, None), (&b, Some("Speaker 1"))];
        assert_eq!(
            srt(named),
            "1\n00:00:00,100 --> 00:00:03,300\nHello world.\n\n\
             2\n01:02:03,004 --> 01:02:04,000\nSpeaker 1: A < B & C.\n\n"
        );
        assert_eq!(
            vtt(named),
            "WEBVTT\n\n00:00:00.100 --> 00:00:03.300\nHello world.\n\n\
             01:02:03.004 --> 01:02:04.000\n<v Speaker 1>A &lt; B &amp; C.\n\n"
        );
        assert_eq!(
            (srt([]), vtt([])),
            (String::new(), "WEBVTT\n\n".to_string())
        );
    }

    #[test]
    fn long_sentences_become_several_cues() {
        let mut long = sentence(&"word ".repeat(40), 0, 40_000);
        long.words = (0..40)
            .map(|i| Word {
                start_ms: i * 1000,
                end_ms: i * 1000 + 900,
                text: "word".into(),
                confidence: 1.0,
            })
            .collect();
        let cues = cut(&long, None);
        assert!(cues.len() >= 3 && cues.iter().all(|c| c.text.chars().count() <= MAX_CHARS));
        assert_eq!((cues[0].start_ms, cues[cues.len() - 1].end_ms), (0, 39_900));
        assert!(cues.windows(2).all(|w| w[0].end_ms <= w[1].start_ms));
    }
}
