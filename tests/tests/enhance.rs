//! Noise taken out of recordings, through SQL.

use std::time::Duration;

use sql_tests::{ClientExt, Database, Scratch, SqlState, Stop, clip, stop, tone, wav};

/// Even noise of a tenth at most.
fn noise(count: usize) -> impl Iterator<Item = f32> {
    let mut state = 1u32;
    (0..count).map(move |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 8_388_608.0 - 1.0) / 10.0
    })
}

/// A WAV file of samples.
fn recording(samples: &[f32]) -> Vec<u8> {
    let pcm: Vec<i16> = samples
        .iter()
        .map(|x| (x * 32_768.0).round() as i16)
        .collect();
    wav(&pcm, 16_000)
}

/// The samples of a WAV file of 16 bits.
fn samples(file: &[u8]) -> Vec<f32> {
    let pair = |b: &[u8]| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0;
    file[44..].chunks_exact(2).map(pair).collect()
}

fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|x| x * x).sum()
}

#[test]
fn noise_is_lowered_and_the_voice_kept() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let clean = samples(&std::fs::read(clip("austen-1.wav")).unwrap());
    let noise: Vec<f32> = noise(clean.len()).collect();
    let mix: Vec<f32> = clean.iter().zip(&noise).map(|(x, n)| x + n).collect();
    let noisy = scratch.file("noisy.wav", &recording(&mix));
    for options in ["{}", "{model: ''deepfilternet3'', sample_rate: 16000}"] {
        let enhanced: Vec<u8> =
            client.value(&format!("SELECT ai_audio_enhance('{noisy}', '{options}')"));
        let enhanced = samples(&enhanced);
        assert_eq!(enhanced.len(), clean.len());
        let left: Vec<f32> = enhanced.iter().zip(&clean).map(|(x, c)| x - c).collect();
        let gain = 10.0 * (energy(&noise) / energy(&left)).log10();
        assert!(
            gain > 6.0,
            "{options}: {gain} dB nearer to the clean recording"
        );
    }
    let bytes: bool = client.value(&format!(
        "SELECT ai_audio_enhance(pg_read_binary_file('{noisy}'), '{{\"model\": \"gtcrn\"}}'::jsonb) = ai_audio_enhance('{noisy}')"
    ));
    assert!(bytes, "a file and its bytes give the same");
}

#[test]
fn options_choose_the_part_the_format_and_the_strength() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let hiss: Vec<f32> = noise(48_000).collect();
    let file = scratch.file("hiss.wav", &recording(&hiss));
    let mut get = |options: &str| -> Vec<u8> {
        client.value(&format!("SELECT ai_audio_enhance('{file}', '{options}')"))
    };
    let flac = get("{format: ''flac'', start_time: 500}");
    assert!(flac.starts_with(b"fLaC"));
    let part = get("{start_time: 500, end_time: 1500, channel: 0}");
    assert_eq!(
        part.len(),
        44 + 32_000,
        "a second of 16-bit samples at 16 kHz"
    );
    let mut lowered = |options: &str| {
        let rest = samples(&get(options));
        10.0 * (energy(&hiss[16_000..]) / energy(&rest[16_000..])).log10()
    };
    let (none, some, all) = (
        lowered("{strength: 0}"),
        lowered("{strength: 6}"),
        lowered("{}"),
    );
    assert!(none.abs() < 0.01, "{none} dB at 0");
    assert!((some - 6.0).abs() < 1.0, "{some} dB at 6");
    assert!(all > 15.0, "{all} dB without a limit");
}

/// DeepFilterNet hears and gives what is above 8 kHz, which a model of 16 kHz cannot.
#[test]
fn the_upper_band_stays_with_a_model_that_knows_it() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let mut high = 0.0f32;
    let bright: Vec<i16> = noise(96_000)
        .map(|x| {
            let sharp = x - high;
            high = x;
            (sharp * 8_000.0) as i16
        })
        .collect();
    let file = scratch.file("bright.wav", &wav(&bright, 48_000));
    let mut high_part = |options: &str| -> f32 {
        let got: Vec<u8> = client.value(&format!("SELECT ai_audio_enhance('{file}', '{options}')"));
        let got = samples(&got);
        assert_eq!(got.len(), 96_000, "{options}");
        let sharp: Vec<f32> = got.windows(2).map(|w| w[1] - w[0]).collect();
        energy(&sharp) / energy(&got).max(f32::MIN_POSITIVE)
    };
    // A difference of neighbours is more than 2 only above a sixth of the rate.
    let wide = high_part("{model: ''deepfilternet3'', strength: 6}");
    let narrow = high_part("{model: ''gtcrn'', strength: 6, sample_rate: 48000}");
    assert!(wide > 2.0 && narrow < 1.2, "{wide} and {narrow}");
}

#[test]
fn what_is_wrong_is_said() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let file = scratch.file("tone.wav", &wav(&tone(1), 16_000));
    let text = scratch.file("text.wav", b"this is no recording, whatever it is called");
    let call = |options: &str| format!("SELECT ai_audio_enhance('{file}', '{options}')");
    for (options, parts) in [
        ("{strength: -1}", &["strength", "0", "100"][..]),
        ("{strength: 101}", &["strength"]),
        ("{format: ''mp3''}", &["wav", "flac"]),
        ("{channel: ''each''}", &["channel"]),
        ("{volume: 3}", &["volume", "strength"]),
    ] {
        client.fails(&call(options), SqlState::INVALID_PARAMETER_VALUE, parts);
    }
    client.fails(
        &call("{model: ''nobody''}"),
        SqlState::UNDEFINED_OBJECT,
        &["nobody", "gtcrn", "deepfilternet3"],
    );
    client.error(&call("{model: ''vad''}"));
    client.error(&format!("SELECT ai_audio_enhance('{text}')"));
    let nothing: Option<Vec<u8>> = client.value(&format!(
        "SELECT ai_audio_enhance('{text}', '{{on_error: ''null''}}')"
    ));
    assert_eq!(nothing, None);
    assert_eq!(
        client.value::<Option<Vec<u8>>>("SELECT ai_audio_enhance(NULL::bytea)"),
        None
    );
}

#[test]
fn it_stops_when_told_to() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let file = scratch.file("long.wav", &wav(&tone(900), 16_000));
    for (model, how) in [
        ("gtcrn", Stop::StatementTimeout),
        ("deepfilternet3", Stop::Cancel),
        ("gtcrn", Stop::Terminate),
    ] {
        let sql = format!(
            "SELECT length(ai_audio_enhance('{file}', '{{model: ''{model}''}}')) FROM generate_series(1, 100) g WHERE g > 0"
        );
        stop(&database, "", &sql, how, Duration::from_millis(1500)).assert_prompt(how);
    }
}

/// The result at another rate is the same, resampled.
#[test]
fn the_result_has_the_rate_that_is_asked_for() {
    let database = Database::new();
    let mut client = database.connect();
    let file = clip("austen-1.wav");
    for rate in [8_000, 44_100, 48_000] {
        let row = client
            .query_one(
                &format!(
                    "SELECT (i->>'sample_rate')::int, (i->>'duration')::int - (ai_audio_info('{file}')->>'duration')::int
                     FROM ai_audio_info(ai_audio_enhance('{file}', '{{sample_rate: {rate}}}')) i"
                ),
                &[],
            )
            .expect("a recording");
        assert_eq!(row.get::<_, i32>(0), rate);
        assert!(row.get::<_, i32>(1).abs() <= 1, "{rate}");
        let close: bool = client.value(&format!(
            "SELECT cosine_similarity(ai_audio_embed(ai_audio_enhance('{file}', '{{sample_rate: 48000}}')), ai_audio_embed(ai_audio_enhance('{file}'))) > 0.99"
        ));
        assert!(close, "{rate}");
    }
    client.fails(
        &format!("SELECT ai_audio_enhance('{file}', '{{sample_rate: 96000}}')"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["sample_rate", "48000"],
    );
}

/// Option `enhance`: functions hear what `ai_audio_enhance` gives.
#[test]
fn functions_hear_the_cleaned_recording_where_they_are_asked_to() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let clean = samples(&std::fs::read(clip("austen-1.wav")).unwrap());
    let mix: Vec<f32> = clean
        .iter()
        .zip(noise(clean.len()))
        .map(|(x, n)| x + n)
        .collect();
    let noisy = scratch.file("noisy.wav", &recording(&mix));
    for (enhance, model, options) in [
        ("true", "gtcrn", ""),
        ("true", "gtcrn", ", start_time: 1000"),
        ("true", "gtcrn", ", end_time: 4000, channel: 0"),
        (
            "''deepfilternet''",
            "deepfilternet3",
            ", start_time: 1000, end_time: 4000",
        ),
    ] {
        let alike: f64 = client.value(&format!(
            "SELECT cosine_similarity(ai_audio_embed('{noisy}', '{{enhance: {enhance}{options}}}'),
               ai_audio_embed(ai_audio_enhance('{noisy}', '{{model: ''{model}''{options}}}')))",
        ));
        assert!(alike > 0.999, "{model}{options}: {alike}");
    }
    let quieter: bool = client.value(&format!(
        "SELECT (ai_audio_quality('{noisy}', '{{enhance: \"gtcrn\"}}')).snr_db > (ai_audio_quality('{noisy}')).snr_db + 3"
    ));
    assert!(quieter);
    for call in [
        "ai_audio_diarize",
        "ai_audio_segments",
        "ai_audio_sentences",
        "ai_audio_vad",
    ] {
        let rows: i64 = client.value(&format!(
            "SELECT count(*) FROM {call}('{noisy}', '{{enhance: true}}')"
        ));
        assert!(rows > 0, "{call}");
    }
    client.fails(
        &format!("SELECT ai_audio_embed('{noisy}', '{{enhance: \"vad\"}}')"),
        SqlState::UNDEFINED_OBJECT,
        &["gtcrn"],
    );
    client.fails(
        &format!("SELECT ai_audio_embed('{noisy}', '{{enhance: 3}}')"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["enhance", "true"],
    );
    client.fails(
        &format!("SELECT ai_audio_info('{noisy}', '{{enhance: true}}')"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["ai_audio_enhance"],
    );
}
