//! Whether a recording is fit to enrol a voice with.

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
    let windows: Vec<&[f32]> = samples.chunks(WINDOW).collect();
    let spoken: Vec<&[f32]> = windows
        .iter()
        .zip(speech)
        .filter(|(_, p)| **p >= SPEECH)
        .map(|(w, _)| *w)
        .collect();
    Quality {
        duration_ms: samples.len() as u64 * 1000 / u64::from(audio::SAMPLE_RATE),
        speech_ms: spoken.len() as u64 * WINDOW_MS,
        snr_db: snr(&windows, &spoken),
        clipping: clipping(samples),
        bandwidth_hz: bandwidth(&spoken),
    }
}

fn power(window: &[f32]) -> f64 {
    window.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / window.len().max(1) as f64
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Speech against the quietest tenth of all windows (a simple form of Martin's minimum statistics, 2001).
fn snr(windows: &[&[f32]], spoken: &[&[f32]]) -> Option<f64> {
    if spoken.is_empty() {
        return None;
    }
    let mut powers: Vec<f64> = windows.iter().map(|w| power(w)).collect();
    powers.sort_by(f64::total_cmp);
    let noise = mean(&powers[..powers.len().div_ceil(QUIETEST)]);
    let both = mean(&spoken.iter().map(|w| power(w)).collect::<Vec<_>>());
    let ratio = (both - noise) / noise;
    Some((10.0 * ratio.max(1e-2).log10()).min(MAX_SNR))
}

fn clipping(samples: &[f32]) -> f64 {
    let peak = samples.iter().fold(0f32, |peak, x| peak.max(x.abs()));
    if peak == 0.0 {
        return 0.0;
    }
    samples.iter().filter(|x| x.abs() >= 0.99 * peak).count() as f64 / samples.len() as f64
}

/// The end of the highest band whose mean power over speech is within [`BAND_DROP`] of the strongest band's.
fn bandwidth(spoken: &[&[f32]]) -> Option<u32> {
    let spectrum = spectrum(spoken)?;
    let bins_per_band = BAND_HZ * WINDOW / audio::SAMPLE_RATE as usize;
    let bands: Vec<f64> = spectrum[..WINDOW / 2]
        .chunks(bins_per_band)
        .map(mean)
        .collect();
    let strongest = bands.iter().copied().fold(0.0, f64::max);
    let last = bands
        .iter()
        .rposition(|&b| b > strongest * 10f64.powf(-BAND_DROP / 10.0))?;
    Some(((last + 1) * BAND_HZ) as u32)
}

/// The mean power spectrum of whole windows, Hann-weighted.
fn spectrum(windows: &[&[f32]]) -> Option<Vec<f64>> {
    let fft: Arc<dyn realfft::RealToComplex<f32>> = RealFftPlanner::new().plan_fft_forward(WINDOW);
    let hann: Vec<f32> = (0..WINDOW)
        .map(|i| {
            (i as f32 / WINDOW as f32 * std::f32::consts::PI)
                .sin()
                .powi(2)
        })
        .collect();
    let (mut input, mut output) = (fft.make_input_vec(), fft.make_output_vec());
    let mut sum = vec![0f64; output.len()];
    let whole = windows.iter().filter(|w| w.len() == WINDOW);
    let mut any = false;
    for window in whole {
        any = true;
        input
            .iter_mut()
            .zip(window.iter().zip(&hann))
            .for_each(|(i, (x, h))| *i = x * h);
        fft.process(&mut input, &mut output).ok()?;
        sum.iter_mut()
            .zip(&output)
            .for_each(|(s, c)| *s += f64::from(c.norm_sqr()));
    }
    any.then_some(sum)
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
