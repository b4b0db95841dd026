//! The languages that Whisper was trained on, by the codes its tokenizer uses.

use crate::Error;
use crate::hanzi::Script;

/// Code and English name, in the order of Whisper's language tokens (the last, Cantonese, came with large-v3).
pub const LANGUAGES: [(&str, &str); 100] = [
    ("en", "english"),
    ("zh", "chinese"),
    ("de", "german"),
    ("es", "spanish"),
    ("ru", "russian"),
    ("ko", "korean"),
    ("fr", "french"),
    ("ja", "japanese"),
    ("pt", "portuguese"),
    ("tr", "turkish"),
    ("pl", "polish"),
    ("ca", "catalan"),
    ("nl", "dutch"),
    ("ar", "arabic"),
    ("sv", "swedish"),
    ("it", "italian"),
    ("id", "indonesian"),
    ("hi", "hindi"),
    ("fi", "finnish"),
    ("vi", "vietnamese"),
    ("he", "hebrew"),
    ("uk", "ukrainian"),
    ("el", "greek"),
    ("ms", "malay"),
    ("cs", "czech"),
    ("ro", "romanian"),
    ("da", "danish"),
    ("hu", "hungarian"),
    ("ta", "tamil"),
    ("no", "norwegian"),
    ("th", "thai"),
    ("ur", "urdu"),
    ("hr", "croatian"),
    ("bg", "bulgarian"),
    ("lt", "lithuanian"),
    ("la", "latin"),
    ("mi", "maori"),
    ("ml", "malayalam"),
    ("cy", "welsh"),
    ("sk", "slovak"),
    ("te", "telugu"),
    ("fa", "persian"),
    ("lv", "latvian"),
    ("bn", "bengali"),
    ("sr", "serbian"),
    ("az", "azerbaijani"),
    ("sl", "slovenian"),
    ("kn", "kannada"),
    ("et", "estonian"),
    ("mk", "macedonian"),
    ("br", "breton"),
    ("eu", "basque"),
    ("is", "icelandic"),
    ("hy", "armenian"),
    ("ne", "nepali"),
    ("mn", "mongolian"),
    ("bs", "bosnian"),
    ("kk", "kazakh"),
    ("sq", "albanian"),
    ("sw", "swahili"),
    ("gl", "galician"),
    ("mr", "marathi"),
    ("pa", "punjabi"),
    ("si", "sinhala"),
    ("km", "khmer"),
    ("sn", "shona"),
    ("yo", "yoruba"),
    ("so", "somali"),
    ("af", "afrikaans"),
    ("oc", "occitan"),
    ("ka", "georgian"),
    ("be", "belarusian"),
    ("tg", "tajik"),
    ("sd", "sindhi"),
    ("gu", "gujarati"),
    ("am", "amharic"),
    ("yi", "yiddish"),
    ("lo", "lao"),
    ("uz", "uzbek"),
    ("fo", "faroese"),
    ("ht", "haitian creole"),
    ("ps", "pashto"),
    ("tk", "turkmen"),
    ("nn", "nynorsk"),
    ("mt", "maltese"),
    ("sa", "sanskrit"),
    ("lb", "luxembourgish"),
    ("my", "myanmar"),
    ("bo", "tibetan"),
    ("tl", "tagalog"),
    ("mg", "malagasy"),
    ("as", "assamese"),
    ("tt", "tatar"),
    ("haw", "hawaiian"),
    ("ln", "lingala"),
    ("ha", "hausa"),
    ("ba", "bashkir"),
    ("jw", "javanese"),
    ("su", "sundanese"),
    ("yue", "cantonese"),
];

/// One of [`LANGUAGES`], and how it is written where there are two ways.
#[derive(Clone, Copy, Debug)]
pub struct Language {
    code: &'static str,
    script: Script,
}

/// Languages are told apart by what is spoken, not by how it is written.
impl PartialEq for Language {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

impl Eq for Language {}

impl Language {
    /// English, the only language of English-only models.
    pub const ENGLISH: Language = Language {
        code: "en",
        script: Script::Simplified,
    };

    /// Finds a language by code (`en`), region code (`en-US`) or English name (`english`), in any case. The regions and
    /// the script of traditional characters (`zh-TW`, `zh-HK`, `zh-MO`, `zh-Hant`) set these.
    ///
    /// # Errors
    /// [`Error::Invalid`] lists the codes.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wanted = text.trim().to_lowercase();
        let base = wanted.split(['-', '_']).next().unwrap_or_default();
        LANGUAGES
            .iter()
            .find(|(code, name)| *code == wanted || *name == wanted || *code == base)
            .map(|&(code, _)| Language {
                code,
                script: Script::of(&wanted),
            })
            .ok_or_else(|| {
                let (given, known) = (
                    text.chars().take(40).collect::<String>(),
                    codes().collect::<Vec<_>>().join(", "),
                );
                Error::Invalid(format!(
                    "unknown language \"{given}\"; known languages: {known}"
                ))
            })
    }

    /// The code, for example `en`.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// How Mandarin is written; `None` for other languages.
    pub fn script(self) -> Option<Script> {
        (self.code == "zh").then_some(self.script)
    }

    /// A sentence that sets the script, as a prompt, where a language has two: Whisper mixes them otherwise.
    pub fn example(self) -> Option<&'static str> {
        self.script().map(|script| match script {
            Script::Simplified => "以下是普通话的句子。",
            Script::Traditional => "以下是國語的句子。",
        })
    }

    /// Whether words are written without spaces between them.
    pub fn is_unspaced(self) -> bool {
        matches!(
            self.code,
            "zh" | "ja" | "th" | "lo" | "my" | "yue" | "bo" | "km"
        )
    }
}

/// All language codes.
pub fn codes() -> impl Iterator<Item = &'static str> {
    LANGUAGES.iter().map(|&(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_names_and_regions_are_understood() {
        for text in ["zh", "ZH", "zh-CN", "zh_TW", "Chinese", " chinese "] {
            assert_eq!(Language::parse(text).unwrap().code(), "zh", "{text}");
        }
        assert_eq!(Language::parse("haitian creole").unwrap().code(), "ht");
        for (text, script) in [
            ("zh", Script::Simplified),
            ("zh-CN", Script::Simplified),
            ("zh-Hans-TW", Script::Simplified),
            ("zh-TW", Script::Traditional),
            ("zh_hk", Script::Traditional),
            ("zh-Hant", Script::Traditional),
        ] {
            assert_eq!(
                Language::parse(text).unwrap().script(),
                Some(script),
                "{text}"
            );
        }
        assert_eq!(Language::parse("en-HK").unwrap().script(), None);
    }

    #[test]
    fn an_unknown_language_lists_the_known_ones() {
        let message = Language::parse("klingon").unwrap_err().to_string();
        assert!(
            message.contains("klingon") && message.contains("en, zh, de"),
            "{message}"
        );
    }
}
