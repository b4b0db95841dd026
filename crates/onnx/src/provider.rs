//! Where graphs run: on the processor, or by what ONNX Runtime calls an execution provider.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use memchr::memmem;
use memmap2::Mmap;
use ort::ep::{
    ArbitrarilyConfigurableExecutionProvider, CUDA, ExecutionProviderDispatch, OpenVINO,
};
use serde_json::Value;

use crate::slots::Slots;
use crate::{Error, Runtime};

/// What runs graphs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// ONNX Runtime's own kernels on the processor.
    #[default]
    Cpu,
    /// Intel's OpenVINO: the processor, too, or Intel's GPUs.
    OpenVino,
    /// NVIDIA's GPUs.
    Cuda,
    /// The first of CUDA and OpenVINO that works here, else the processor.
    Auto,
}

impl Kind {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Kind); 4] = [
        ("cpu", Kind::Cpu),
        ("openvino", Kind::OpenVino),
        ("cuda", Kind::Cuda),
        ("auto", Kind::Auto),
    ];

    fn name(self) -> &'static str {
        Kind::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }

    /// What ONNX Runtime calls it.
    fn canonical(self) -> &'static str {
        match self {
            Kind::Cuda => "CUDAExecutionProvider",
            Kind::OpenVino => "OpenVINOExecutionProvider",
            Kind::Cpu | Kind::Auto => "CPUExecutionProvider",
        }
    }

    /// The devices to try before the processor, in order.
    fn devices(self) -> &'static [Kind] {
        match self {
            Kind::Cpu => &[],
            Kind::OpenVino => &[Kind::OpenVino],
            Kind::Cuda => &[Kind::Cuda],
            Kind::Auto => &[Kind::Cuda, Kind::OpenVino],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A provider, its options and how many processes use its device at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider {
    /// Which one.
    pub kind: Kind,
    /// Its options by the names that ONNX Runtime gives them; they go before our defaults.
    pub options: Vec<(String, String)>,
    /// How many graphs all processes run on the device at once; 0: as many as come.
    pub at_once: usize,
    /// Where processes tell each other that they run one: a folder of the server's account.
    pub slots_dir: Option<PathBuf>,
}

/// Device memory of one process for weights and activations, unless options say otherwise: 128 stretches of 3 s through CAM++
/// at once, or eight of 30 s through a Whisper encoder, take more than 2 GB.
const CUDA_MEMORY: &str = "4294967296";

impl Provider {
    /// Reads options: a JSON object, whose nested objects are passed on as JSON, or `key=value` pairs with commas between.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse_options(text: &str) -> Result<Vec<(String, String)>, String> {
        let text = text.trim();
        let pairs: Vec<(String, String)> = if text.starts_with('{') {
            let object: serde_json::Map<String, Value> =
                serde_json::from_str(text).map_err(|e| format!("it is no JSON object: {e}"))?;
            let plain = |value: Value| match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            object.into_iter().map(|(k, v)| (k, plain(v))).collect()
        } else {
            let entries = text.split(',').map(str::trim).filter(|e| !e.is_empty());
            entries
                .map(|entry| {
                    let (key, value) = entry
                        .split_once('=')
                        .ok_or_else(|| format!("\"{entry}\" is not key=value"))?;
                    Ok((key.trim().to_string(), value.trim().to_string()))
                })
                .collect::<Result<_, String>>()?
        };
        if pairs
            .iter()
            .any(|(k, v)| k.is_empty() || k.contains('\0') || v.contains('\0'))
        {
            return Err("a key is empty, or something holds a NUL character".into());
        }
        Ok(pairs)
    }

    /// The devices to try for a model, in order; none for one that only the processor is good at.
    pub(crate) fn devices(&self, runtime: &Runtime, model: Option<&Path>) -> Vec<Kind> {
        let wanted = self.kind.devices();
        if wanted.is_empty() || model.is_some_and(is_quantised) {
            return Vec::new();
        }
        let there = runtime.providers();
        let auto = self.kind == Kind::Auto;
        // One that was asked for by name is tried in any case, so that the reason is told.
        let usable = |kind: &&Kind| !auto || there.iter().any(|name| name == kind.canonical());
        wanted.iter().filter(usable).copied().collect()
    }

    /// Whether it is told when a device cannot be used.
    pub(crate) fn is_named(&self) -> bool {
        self.kind != Kind::Auto
    }

    /// The device's places for graphs; none on the processor, which Postgres shares as it does for all else.
    pub(crate) fn slots(&self, kind: Kind) -> Option<Slots> {
        let dir = self.slots_dir.as_deref().filter(|_| self.at_once > 0)?;
        let (key, default) = match kind {
            Kind::Cuda => ("device_id", "0"),
            _ => ("device_type", "CPU"),
        };
        let given = self.options.iter().find(|(k, _)| k == key);
        let device = given.map_or(default, |(_, value)| value);
        if device.eq_ignore_ascii_case("CPU") {
            return None;
        }
        let device: String = device.chars().filter(char::is_ascii_alphanumeric).collect();
        Some(Slots::new(dir, &format!("{kind}-{device}"), self.at_once))
    }

    /// What registers a device for a session of so many threads.
    pub(crate) fn dispatch(
        &self,
        runtime: &Runtime,
        kind: Kind,
        threads: usize,
    ) -> Result<ExecutionProviderDispatch, Error> {
        let there = runtime.providers();
        if !there.iter().any(|name| name == kind.canonical()) {
            return Err(Error::Provider(format!(
                "this ONNX Runtime has no {}, only {}",
                kind.canonical(),
                there.join(", ")
            )));
        }
        let threads = threads.to_string();
        let defaults: &[(&str, &str)] = match kind {
            Kind::Cuda => &[
                ("gpu_mem_limit", CUDA_MEMORY),
                ("arena_extend_strategy", "kSameAsRequested"),
                // Ten bits of mantissa move a voiceprint by 3e-6 in cosine, and are no faster on networks as small as these.
                ("use_tf32", "0"),
                // Any search is made anew for each length of a recording, and takes longer than all that it saves.
                ("cudnn_conv_algo_search", "DEFAULT"),
            ],
            _ => &[("num_of_threads", &threads)],
        };
        let given = |key: &str| self.options.iter().any(|(k, _)| k == key);
        let defaults = defaults.iter().filter(|(key, _)| !given(key));
        let options: Vec<(&str, &str)> = defaults
            .copied()
            .chain(self.options.iter().map(|(k, v)| (k.as_str(), v.as_str())))
            .collect();
        Ok(match kind {
            Kind::Cuda => with(CUDA::default(), &options).build(),
            _ => with(OpenVINO::default(), &options).build(),
        }
        .error_on_failure())
    }
}

fn with<P: ArbitrarilyConfigurableExecutionProvider>(provider: P, options: &[(&str, &str)]) -> P {
    let set = |provider: P, (key, value): &(&str, &str)| provider.with_arbitrary_config(key, value);
    options.iter().fold(provider, set)
}

/// Whether a graph multiplies in int8 with scales that it finds as it runs, or by blocks. Devices have no kernels for that
/// (CUDA), or are slower than the processor and give other numbers (OpenVINO).
fn is_quantised(model: &Path) -> bool {
    let Ok(file) = File::open(model) else {
        return false; // opening it says why
    };
    // SAFETY: whoever changes a registered model under a running server gets an error or the other model, as when it is loaded.
    let Ok(bytes) = (unsafe { Mmap::map(&file) }) else {
        return false;
    };
    const OPERATORS: [&str; 4] = [
        "MatMulInteger",
        "ConvInteger",
        "DynamicQuantize",
        "MatMulNBits",
    ];
    OPERATORS
        .iter()
        .any(|operator| memmem::find(&bytes, operator.as_bytes()).is_some())
}

/// The providers that a library was built with, by ONNX Runtime's names.
pub(crate) fn available() -> Vec<String> {
    let mut names: *mut *mut c_char = std::ptr::null_mut();
    let mut count: c_int = 0;
    // SAFETY: ONNX Runtime allocates an array of NUL-terminated names, which it takes back below.
    unsafe {
        let status = (ort::api().GetAvailableProviders)(&raw mut names, &raw mut count);
        if !status.0.is_null() || names.is_null() {
            return Vec::new();
        }
        let listed = (0..usize::try_from(count).unwrap_or(0))
            .map(|i| CStr::from_ptr(*names.add(i)).to_string_lossy().into_owned())
            .collect();
        let _ = (ort::api().ReleaseAvailableProviders)(names, count);
        listed
    }
}

/// What the sessions of a model run on; shared by all that were opened with the same options.
#[derive(Debug, Default)]
pub struct Places(Mutex<BTreeSet<&'static str>>);

impl Places {
    pub(crate) fn add(&self, kind: Kind) {
        self.all().insert(kind.name());
    }

    /// Instead of the device that failed.
    pub(crate) fn replace(&self, kind: Kind, by: Kind) {
        let mut all = self.all();
        all.remove(kind.name());
        all.insert(by.name());
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeSet<&'static str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<&str> = self.all().iter().copied().collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_json_or_pairs() {
        let read = |text| Provider::parse_options(text);
        let pair = |k: &str, v: &str| (k.to_string(), v.to_string());
        assert_eq!(read(""), Ok(Vec::new()));
        assert_eq!(
            read(" device_id = 1, gpu_mem_limit=5,"),
            Ok(vec![pair("device_id", "1"), pair("gpu_mem_limit", "5")])
        );
        assert_eq!(
            read(r#"{"load_config": {"CPU": {"A": "b"}}, "num_of_threads": 2}"#),
            Ok(vec![
                pair("load_config", r#"{"CPU":{"A":"b"}}"#),
                pair("num_of_threads", "2")
            ])
        );
        for wrong in ["device_id", "=1", "{", r#"{"a": }"#, "{\"a\": \"\\u0000\"}"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
