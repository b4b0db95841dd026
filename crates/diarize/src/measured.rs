//! Windows, their voices, and whose these are.

use onnx::Cancel;

use crate::Error;
use crate::clustering::{self, Bounds, Speakers};
use crate::windows::Window;

/// Windows, their voices, and whose these are.
pub struct Measured {
    /// Where voices were measured.
    pub windows: Vec<Window>,
    /// The voice in each window, of norm 1.
    pub voices: Vec<Vec<f32>>,
    /// The speakers of the windows.
    pub speakers: Speakers,
    /// Which windows are long enough to say what their speaker sounds like.
    pub sure: Vec<bool>,
    /// The first of the windows that strangers were found by; there are none before [`strangers::adopt`](crate::strangers::adopt).
    pub adopted: usize,
}

/// Samples of a window that is long enough to found a speaker on (0.9 s).
const SURE: usize = 14_400;

impl Measured {
    /// Groups windows by voice: at most `bounds.max` speakers.
    ///
    /// # Errors
    /// [`Error::Onnx`] when cancelled.
    pub fn new(
        windows: Vec<Window>,
        voices: Vec<Vec<f32>>,
        bounds: Bounds,
        cancel: &Cancel,
    ) -> Result<Self, Error> {
        let mut sure: Vec<bool> = windows.iter().map(|w| w.samples >= SURE).collect();
        if !sure.contains(&true) {
            sure.fill(true);
        }
        let bounds = Bounds { min: 1, ..bounds };
        let speakers = clustering::by_the_sure(&voices, &sure, bounds, cancel)?;
        Ok(Measured {
            adopted: windows.len(),
            windows,
            voices,
            speakers,
            sure,
        })
    }

    /// Cuts voices apart if there are too few speakers.
    ///
    /// # Errors
    /// [`Error::Onnx`] when cancelled.
    pub fn at_least(&mut self, min: usize, cancel: &Cancel) -> Result<(), Error> {
        if self.speakers.centres.len() < min {
            let bounds = Bounds { min, max: min };
            self.speakers = clustering::cluster(&self.voices, bounds, cancel)?;
        }
        Ok(())
    }
}
