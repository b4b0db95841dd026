//! Recordings: real speech that set-up fetched, the optional development recordings, and files made on the spot.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::environment;

/// A clip of real speech that `models/fetch` brought, at a path that the server can read.
pub fn clip(name: &str) -> String {
    let path = Path::new(&environment("AI_AUDIO_SPEECH_CLIPS")).join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `make models`",
        path.display()
    );
    path.display().to_string()
}

/// A file or folder of the development recordings, or nothing, said aloud, where they are not on this machine.
pub fn development(name: &str) -> Option<String> {
    let Some(folder) = std::env::var_os("AI_AUDIO_SPEECH") else {
        println!(
            "skipped: AI_AUDIO_SPEECH is not set, and this test needs {name} of the development recordings"
        );
        return None;
    };
    Some(Path::new(&folder).join(name).display().to_string())
}

/// Libraries of other versions of ONNX Runtime, or none, said aloud, where `make test` did not fetch them.
pub fn other_runtimes() -> Vec<String> {
    let Some(folder) = std::env::var_os("AI_AUDIO_OTHER_ORT") else {
        println!(
            "skipped: AI_AUDIO_OTHER_ORT, a folder of other versions of ONNX Runtime, is not set"
        );
        return Vec::new();
    };
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("an entry").path().display().to_string());
    paths.collect()
}

/// An ONNX Runtime with Intel's OpenVINO, or none, said aloud, where `make test` did not fetch it.
pub fn openvino() -> Option<String> {
    let Some(library) = std::env::var_os("AI_AUDIO_OPENVINO_ORT") else {
        println!(
            "skipped: AI_AUDIO_OPENVINO_ORT, an ONNX Runtime with OpenVINO, is not set (x86-64 only)"
        );
        return None;
    };
    Some(Path::new(&library).display().to_string())
}

/// A folder for a test's own files that the server can read; removed with the value.
pub struct Scratch(TempDir);

impl Scratch {
    /// An empty folder.
    pub fn new() -> Self {
        // Beside the clips: the server's user gets there, whoever runs the tests.
        let clips = PathBuf::from(environment("AI_AUDIO_SPEECH_CLIPS"));
        let folder = TempDir::with_prefix_in("scratch-", clips.parent().expect("a parent folder"))
            .expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("permissions");
        Self(folder)
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, content).expect("the file is written");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("permissions");
        path.display().to_string()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// `seconds` of a voice-like buzz at 16 kHz: harmonics of a wandering pitch, so that no frame is silent.
pub fn tone(seconds: u32) -> Vec<i16> {
    let mut phase = 0.0_f64;
    (0..seconds * 16_000)
        .map(|n| {
            let time = f64::from(n) / 16_000.0;
            phase += (130.0 + 30.0 * (time * 2.1).sin()) / 16_000.0;
            let voice: f64 = (1..=12)
                .map(|k| (std::f64::consts::TAU * phase * f64::from(k)).sin() / f64::from(k))
                .sum();
            (voice * (0.6 + 0.4 * (time * 3.7).sin()) * 6_000.0) as i16
        })
        .collect()
}

/// A WAV file: 16-bit PCM, mono.
pub fn wav(samples: &[i16], rate: u32) -> Vec<u8> {
    let mut file = wav_header(
        u32::try_from(samples.len() * 2).expect("a short file"),
        rate,
    );
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// A silent WAV file of `seconds` that takes no disk: for work that must last until it is stopped.
pub fn sparse_wav(path: &Path, seconds: u32, rate: u32) {
    let bytes = seconds * rate * 2;
    let mut file = File::create(path).expect("the file is created");
    file.write_all(&wav_header(bytes, rate))
        .expect("the header is written");
    file.set_len(u64::from(bytes) + 44)
        .expect("the file is extended");
    fs::set_permissions(path, Permissions::from_mode(0o644)).expect("permissions");
}

fn wav_header(bytes: u32, rate: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(44);
    header.extend(b"RIFF");
    header.extend((bytes + 36).to_le_bytes());
    header.extend(b"WAVEfmt ");
    header.extend(16_u32.to_le_bytes());
    header.extend(1_u16.to_le_bytes()); // PCM
    header.extend(1_u16.to_le_bytes()); // mono
    header.extend(rate.to_le_bytes());
    header.extend((rate * 2).to_le_bytes());
    header.extend(2_u16.to_le_bytes());
    header.extend(16_u16.to_le_bytes());
    header.extend(b"data");
    header.extend(bytes.to_le_bytes());
    header
}
