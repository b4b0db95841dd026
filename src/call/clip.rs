//! Recordings as results: the option `format`.

use serde::Deserialize;

/// The container of a clip: 16-bit mono at 16 kHz in either.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Plain.
    #[default]
    Wav,
    /// Half as large, with nothing lost.
    Flac,
}

impl Format {
    /// The bytes of a file of mono samples at 16 kHz.
    pub fn write(self, samples: &[f32]) -> Vec<u8> {
        match self {
            Format::Wav => audio::wav::write(samples, audio::SAMPLE_RATE),
            Format::Flac => audio::flac::write(samples, audio::SAMPLE_RATE),
        }
    }
}
