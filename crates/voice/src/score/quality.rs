//! Whether a recording is fit to enrol a voice with.

use std::collections::BTreeMap;
use std::sync::Arc;

use realfft::RealFftPlanner;
use vad::{WINDOW, WINDOW_MS};

/// Speech below which a voiceprint deserves a warning, milliseconds.
pub const SHORT_MS: u64 = 1000;
/// Speech that an enrolment wants, milliseconds.
const ENROL_MS: u64 = 3000;
/// Speech above noise that an enrolment wants, dB.
const ENROL_SNR: f64 = 8.0;
/// Clipped samples that an enrolment bears.
const ENROL_CLIPPING: f64 = 0.01;
/// Below this the recording went through an 8 kHz channel, Hz.
const NARROW_HZ: u32 = 5500;
/// What probability of speech makes a window count as speech.
const SPEECH: f32 = 0.5;
/// Bands of the spectrum that bandwidth is read from, Hz, and how far below the strongest one sound ends, dB.
const BAND_HZ: usize = 250;
const BAND_DROP: f64 = 60.0;
/// The quietest part of the windows is taken for noise.
const QUIETEST: usize = 10;
/// No estimate goes beyond this, dB: what is quieter is not heard.
const MAX_SNR: f64 = 80.0;

/// What is in a recording, as far as a speaker model cares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Length of the recording, milliseconds.
    pub duration_ms: u64,
    /// Speech in it, milliseconds.
    pub speech_ms: u64,
    /// Estimated level of speech above noise, dB; none without speech.
    pub snr_db: Option<f64>,
    /// Share of samples within 1 % of the recording's peak, as clipping leaves them (speech: below 0.0005).
    pub clipping: f64,
    /// Where sound ends, Hz: 8000 or nearly for wideband, about 4500 after a telephone; none without speech.
    pub bandwidth_hz: Option<u32>,
}

impl Quality {
    /// Whether it went through a telephone or another 8 kHz channel.
    pub fn is_narrow(&self) -> bool {
        self.bandwidth_hz.is_some_and(|hz| hz < NARROW_HZ)
    }

    /// Why it is not fit to enrol a voice; nothing if it is.
    pub fn objection(&self) -> Option<String> {
        let seconds = |ms: u64| ms as f64 / 1000.0;
        if self.speech_ms == 0 {
            return Some("there is no speech in it".into());
        }
        if self.speech_ms < ENROL_MS {
            return Some(format!(
                "{:.2} s of speech, at least {:.0} s are needed",
                seconds(self.speech_ms),
                seconds(ENROL_MS)
            ));
        }
        if self.clipping > ENROL_CLIPPING {
            return Some(format!(
                "{:.1} % of it is clipped, at most {:.0} % may be",
                self.clipping * 100.0,
                ENROL_CLIPPING * 100.0
            ));
        }
        let snr = self.snr_db.filter(|&snr| snr < ENROL_SNR)?;
        Some(format!(
            "speech is {snr:.0} dB above noise, at least {ENROL_SNR:.0} dB are needed"
        ))
    }
}

/// Speech in windows with these probabilities of it, milliseconds.
pub fn speech_ms(speech: &[f32]) -> u64 {
    speech.iter().filter(|p| **p >= SPEECH).count() as u64 * WINDOW_MS
}

/// Measures a recording: samples at 16 kHz and the probabilities of speech of its windows of 512.
pub fn assess(samples: &[f32], speech: &[f32]) -> Quality {
    let mut assessor = Assessor::new();
    assessor.push(samples, speech);
    assessor.finish()
}

/// Measures a recording piece by piece. What it holds is eight bytes per window.
pub struct Assessor {
    samples: u64,
    /// Power of each window.
    powers: Vec<f64>,
    /// The sum of the powers of windows with speech, and their number.
    spoken: (f64, u64),
    peaks: Peaks,
    spectrum: Spectrum,
}

impl Assessor {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Assessor {
            samples: 0,
            powers: Vec::new(),
            spoken: (0.0, 0),
            peaks: Peaks::default(),
            spectrum: Spectrum::new(),
        }
    }

    /// Hears samples at 16 kHz with the probabilities of speech of their windows of 512; all pieces but the last hold
    /// whole windows.
    pub fn push(&mut self, samples: &[f32], speech: &[f32]) {
        self.samples += samples.len() as u64;
        samples.iter().for_each(|x| self.peaks.push(x.abs()));
        for (window, p) in samples.chunks(WINDOW).zip(speech) {
            let power = power(window);
            self.powers.push(power);
            if *p >= SPEECH {
                self.spoken.0 += power;
                self.spoken.1 += 1;
                self.spectrum.push(window);
            }
        }
    }

    /// What there was in all of it.
    pub fn finish(self) -> Quality {
        Quality {
            duration_ms: self.samples * 1000 / u64::from(audio::SAMPLE_RATE),
            speech_ms: self.spoken.1 * WINDOW_MS,
            clipping: self.peaks.count() as f64 / self.samples.max(1) as f64,
            bandwidth_hz: self.spectrum.bandwidth(),
            snr_db: snr(self.powers, self.spoken),
        }
    }
}

impl Default for Assessor {
    fn default() -> Self {
        Self::new()
    }
}

fn power(window: &[f32]) -> f64 {
    window.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / window.len().max(1) as f64
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Speech against the quietest tenth of all windows (a simple form of Martin's minimum statistics, 2001).
fn snr(mut powers: Vec<f64>, (sum, spoken): (f64, u64)) -> Option<f64> {
    if spoken == 0 {
        return None;
    }
    powers.sort_by(f64::total_cmp);
    let noise = mean(&powers[..powers.len().div_ceil(QUIETEST)]);
    let both = sum / spoken as f64;
    let ratio = (both - noise) / noise;
    Some((10.0 * ratio.max(1e-2).log10()).min(MAX_SNR))
}

/// Samples within 1 % of the highest so far.
#[derive(Default)]
struct Peaks {
    peak: f32,
    /// How many there are of each magnitude, to 15 bits of precision: some hundred entries.
    near: BTreeMap<u32, u64>,
}

/// Order and nearness of magnitudes, as whole numbers.
fn magnitude(x: f32) -> u32 {
    x.to_bits() >> 8
}

impl Peaks {
    fn push(&mut self, magnitude_of: f32) {
        if magnitude_of < 0.99 * self.peak || magnitude_of == 0.0 {
            return;
        }
        *self.near.entry(magnitude(magnitude_of)).or_default() += 1;
        if magnitude_of > self.peak {
            self.peak = magnitude_of;
            self.near = self.near.split_off(&magnitude(0.99 * magnitude_of));
        }
    }

    fn count(&self) -> u64 {
        self.near.values().sum()
    }
}

/// The mean power spectrum of whole windows, Hann-weighted.
struct Spectrum {
    fft: Arc<dyn realfft::RealToComplex<f32>>,
    hann: Vec<f32>,
    sum: Vec<f64>,
    any: bool,
}

impl Spectrum {
    fn new() -> Self {
        let fft: Arc<dyn realfft::RealToComplex<f32>> =
            RealFftPlanner::new().plan_fft_forward(WINDOW);
        let hann = |i| {
            (i as f32 / WINDOW as f32 * std::f32::consts::PI)
                .sin()
                .powi(2)
        };
        Spectrum {
            hann: (0..WINDOW).map(hann).collect(),
            sum: vec![0.0; fft.make_output_vec().len()],
            any: false,
            fft,
        }
    }

    fn push(&mut self, window: &[f32]) {
        if window.len() != WINDOW {
            return;
        }
        let (mut input, mut output) = (self.fft.make_input_vec(), self.fft.make_output_vec());
        input
            .iter_mut()
            .zip(window.iter().zip(&self.hann))
            .for_each(|(i, (x, h))| *i = x * h);
        if self.fft.process(&mut input, &mut output).is_ok() {
            self.any = true;
            self.sum
                .iter_mut()
                .zip(&output)
                .for_each(|(s, c)| *s += f64::from(c.norm_sqr()));
        }
    }

    /// The end of the highest band whose mean power is within [`BAND_DROP`] of the strongest band's.
    fn bandwidth(&self) -> Option<u32> {
        let bins_per_band = BAND_HZ * WINDOW / audio::SAMPLE_RATE as usize;
        let bands: Vec<f64> = self.sum[..WINDOW / 2]
            .chunks(bins_per_band)
            .map(mean)
            .collect();
        let strongest = bands.iter().copied().fold(0.0, f64::max);
        let last = bands
            .iter()
            .rposition(|&b| b > strongest * 10f64.powf(-BAND_DROP / 10.0))?;
        self.any.then_some(((last + 1) * BAND_HZ) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tones at `hertz`, one second loud and one second at `quiet` times the level; speech where it is loud.
    fn tones(hertz: &[f32], quiet: f32) -> (Vec<f32>, Vec<f32>) {
        let tone = |i: usize| {
            hertz
                .iter()
                .map(|f| (i as f32 / 16000.0 * f * std::f32::consts::TAU).sin())
                .sum::<f32>()
        };
        let samples: Vec<f32> = (0..32000)
            .map(|i| 0.1 * tone(i) * if i < 16000 { 1.0 } else { quiet })
            .collect();
        let speech = (0..63).map(|w| if w < 31 { 1.0 } else { 0.0 }).collect();
        (samples, speech)
    }

    #[test]
    fn level_and_bandwidth_of_known_tones() {
        let (samples, speech) = tones(&[300.0, 3000.0], 0.1);
        let quality = assess(&samples, &speech);
        assert!((quality.snr_db.unwrap() - 20.0).abs() < 1.0, "{quality:?}");
        assert!(quality.is_narrow(), "{quality:?}");
        assert_eq!((quality.duration_ms, quality.speech_ms), (2000, 31 * 32));
        let (samples, speech) = tones(&[300.0, 6900.0], 0.1);
        assert!(!assess(&samples, &speech).is_narrow());
    }

    #[test]
    fn clipping_shows() {
        let (samples, speech) = tones(&[300.0, 470.0], 1.0);
        assert!(assess(&samples, &speech).clipping < 0.01);
        let clipped: Vec<f32> = samples.iter().map(|x| x.clamp(-0.08, 0.08)).collect();
        assert!(assess(&clipped, &speech).clipping > 0.2);
    }

    #[test]
    fn nothing_and_silence_have_no_speech() {
        for samples in [vec![], vec![0.0; 5000]] {
            let quality = assess(&samples, &[0.0; 10]);
            assert_eq!(
                (
                    quality.speech_ms,
                    quality.snr_db,
                    quality.clipping,
                    quality.bandwidth_hz
                ),
                (0, None, 0.0, None)
            );
            assert!(quality.objection().unwrap().contains("no speech"));
        }
    }
}
