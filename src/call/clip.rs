//! Recordings as results: the option `format`.

use serde::Deserialize;

use crate::errors::Error;

/// The most that a value of Postgres holds, less its header.
pub const MOST: usize = 0x3fff_ffff - 4;

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

    /// Begins a file of mono samples at `rate` Hz that is written piece by piece.
    pub fn writer(self, rate: u32) -> Writer {
        match self {
            Format::Wav => Writer::Wav(audio::wav::Writer::new(rate)),
            Format::Flac => Writer::Flac(Box::new(audio::flac::Writer::new(rate))),
        }
    }
}

/// A clip that grows.
pub enum Writer {
    Wav(audio::wav::Writer),
    Flac(Box<audio::flac::Writer>),
}

impl Writer {
    /// Appends samples in [-1, 1].
    ///
    /// # Errors
    /// [`Error::ResultTooLarge`].
    pub fn push(&mut self, samples: &[f32]) -> Result<(), Error> {
        let bytes = match self {
            Writer::Wav(writer) => {
                writer.push(samples);
                writer.bytes()
            }
            Writer::Flac(writer) => {
                writer.push(samples);
                writer.bytes()
            }
        };
        if bytes > MOST {
            return Err(Error::ResultTooLarge);
        }
        Ok(())
    }

    /// The file.
    ///
    /// # Errors
    /// [`Error::ResultTooLarge`].
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        let file = match self {
            Writer::Wav(writer) => writer.finish(),
            Writer::Flac(writer) => writer.finish(),
        };
        if file.len() > MOST {
            return Err(Error::ResultTooLarge);
        }
        Ok(file)
    }
}
