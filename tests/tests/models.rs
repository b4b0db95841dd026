//! Models: what is listed, a model of one's own, warming up.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sql_tests::{ClientExt, Database, Role, Scratch, SqlState, clip, tone, wav};

/// Registers the built-in model's file under a name of one's own.
fn register(name: &str, config: &str) -> String {
    format!(
        "SELECT ai_audio_register_model('{name}', task, file, '{config}') FROM ai_audio_models WHERE name = 'campplus_zh_en'"
    )
}

#[test]
fn the_built_in_model_says_what_it_is() {
    let database = Database::new();
    let mut client = database.connect();
    let told: String = client.value(
        "SELECT concat_ws('|', dimensions, sample_rate, 'audio_embedding' = ANY (aliases), 'zh' = ANY (languages), licence,
                          size > 1000000, length(sha256)) FROM ai_audio_models WHERE name = 'campplus_zh_en'",
    );
    assert_eq!(told, "192|16000|t|t|Apache-2.0|t|64");
}

#[test]
fn warming_up_loads_and_the_view_shows_it() {
    let database = Database::new();
    let mut client = database.connect();
    let loaded = "SELECT loaded FROM ai_audio_models WHERE name = 'campplus_zh_en'";
    assert!(!client.value::<bool>(loaded));
    client.run("SELECT ai_audio_warmup()");
    assert!(client.value::<bool>(loaded));
    assert_eq!(
        client.value::<i64>("SELECT model_loads FROM ai_audio_stats()"),
        1
    );
    client.run("SELECT ai_audio_warmup('campplus_zh_en')");
    assert_eq!(
        client.value::<i64>("SELECT model_loads FROM ai_audio_stats()"),
        1,
        "loaded once is enough"
    );
}

#[test]
fn every_built_in_model_can_be_warmed_up() {
    let database = Database::new();
    let mut client = database.connect();
    client.run("SELECT ai_audio_warmup(name) FROM ai_audio_models");
    let cold = "SELECT coalesce(string_agg(name, ', '), '') FROM ai_audio_models WHERE NOT loaded";
    assert_eq!(client.value::<String>(cold), "");
}

#[test]
fn a_model_of_ones_own_is_used_by_name_and_alias_until_dropped() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let clip = scratch.file("clip.wav", &wav(&tone(3), 16_000));
    let mut client = database.connect();
    client.run(&register("mine", r#"{"aliases": ["my own"]}"#));
    for name in ["mine", "my own"] {
        let same: f64 = client.value(&format!(
            "SELECT cosine_similarity(ai_audio_embed('{name}', '{clip}'), ai_audio_embed('{clip}'))"
        ));
        assert!(same > 0.9999, "{name}: {same}");
    }
    // Another session sees it, too.
    assert_eq!(
        database
            .connect()
            .value::<i32>("SELECT dimensions FROM ai_audio_models WHERE name = 'mine'"),
        192
    );
    client.fails(
        &register("mine", "{}"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["mine"],
    );
    client.run("SELECT ai_audio_drop_model('mine')");
    client.fails(
        &format!("SELECT ai_audio_embed('mine', '{clip}')"),
        SqlState::UNDEFINED_OBJECT,
        &["\"mine\"", "campplus_zh_en"],
    );
}

#[test]
fn what_is_no_model_is_refused_and_forgotten() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let text = scratch.file("model.onnx", b"this is no model");
    let mut client = database.connect();
    for (path, task) in [
        (text.as_str(), "speaker-embedding"),
        (&text, "speech-recognition"),
        (&text, "voice-activity-detection"),
        (&text, "speaker-segmentation"),
        (&text, "speech-enhancement"),
        ("/no/such/model.onnx", "speaker-embedding"),
        (&text, "singing"),
    ] {
        client.error(&format!(
            "SELECT ai_audio_register_model('broken', '{task}', '{path}')"
        ));
    }
    for name in ["", "campplus_zh_en", "audio_embedding"] {
        client.fails(
            &register(name, "{}"),
            SqlState::INVALID_PARAMETER_VALUE,
            &[],
        );
    }
    client.error(&register("odd", r#"{"colour": "blue"}"#));
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM ai_audio.models"),
        0
    );
    client.fails(
        "SELECT ai_audio_drop_model('campplus_zh_en')",
        SqlState::INVALID_PARAMETER_VALUE,
        &["built in"],
    );
    client.fails(
        "SELECT ai_audio_drop_model('nobody')",
        SqlState::INVALID_PARAMETER_VALUE,
        &["nobody"],
    );
}

#[test]
fn a_rolled_back_registration_did_not_happen() {
    let database = Database::new();
    let mut client = database.connect();
    client.run(&format!("BEGIN; {}; ROLLBACK", register("mine", "{}")));
    client.fails(
        "SELECT ai_audio_warmup('mine')",
        SqlState::UNDEFINED_OBJECT,
        &["mine"],
    );
}

#[test]
fn only_superusers_manage_models() {
    let database = Database::new();
    let role: Role = database.role("");
    let mut client = database.connect_as(role.name());
    let denied = SqlState::INSUFFICIENT_PRIVILEGE;
    client.fails(
        "SELECT ai_audio_register_model('mine', 'speaker-embedding', '/m.onnx')",
        denied.clone(),
        &[],
    );
    client.fails("SELECT ai_audio_drop_model('mine')", denied.clone(), &[]);
    client.fails(
        "INSERT INTO ai_audio.models VALUES ('mine', 'speaker-embedding', '/m.onnx')",
        denied.clone(),
        &[],
    );
    // Not even by a grant: a model is code that runs in the server.
    database.connect().run(&format!(
        "GRANT EXECUTE ON FUNCTION ai_audio_register_model TO {}",
        role.name()
    ));
    client.fails(
        "SELECT ai_audio_register_model('mine', 'speaker-embedding', '/m.onnx')",
        denied,
        &[],
    );
    assert!(
        client.value::<i64>("SELECT count(*) FROM ai_audio_models") > 0,
        "everybody may look"
    );
}

#[test]
fn a_cache_that_others_can_write_to_is_refused() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let open_to_all = scratch.path("cache");
    fs::create_dir(&open_to_all).expect("a directory");
    fs::set_permissions(&open_to_all, Permissions::from_mode(0o777)).expect("open");
    let mut client = database.connect();
    client.run("SELECT ai_audio_version()");
    client.fails(
        &format!("SET ai_audio.cache_dir = '{}'", open_to_all.display()),
        SqlState::INVALID_PARAMETER_VALUE,
        &["ai_audio.cache_dir", "writable for nobody else"],
    );
}

#[test]
fn a_damaged_copy_in_the_cache_is_made_anew_and_told() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let recording = clip("june-1.wav");
    let cache = scratch.path("cache");
    fs::set_permissions(scratch.path("."), Permissions::from_mode(0o777)).expect("permissions");
    database.connect().run(&format!(
        "COPY (SELECT 1) TO PROGRAM 'mkdir -m 700 {}'",
        cache.display()
    ));
    let hear = || {
        let (mut client, notices) = database.connect_noting();
        client.run(&format!(
            "LOAD 'ai_audio'; SET ai_audio.cache_dir = '{}'",
            cache.display()
        ));
        let same: f64 = client.value(&format!(
            "SELECT cosine_similarity(ai_audio_embed('{recording}'), '{}')",
            database
                .connect()
                .value::<String>(&format!("SELECT ai_audio_embed('{recording}')::text"))
        ));
        let said = notices.lock().expect("not poisoned");
        let said: Vec<String> = said.iter().map(|n| n.message().to_string()).collect();
        (same, said)
    };
    let (same, said) = hear();
    assert!(same > 0.999_999 && said.is_empty(), "{same} {said:?}");
    let copies = || {
        fs::read_dir(&cache)
            .expect("a folder")
            .map(|f| f.expect("a file").path())
    };
    assert!(copies().count() > 0);
    for copy in copies() {
        let mut bytes = fs::read(&copy).expect("a copy");
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4000]
            .iter_mut()
            .for_each(|b| *b ^= 0x40);
        fs::write(&copy, bytes).expect("damaged");
    }
    let (same, said) = hear();
    assert!(same > 0.999_999, "{same}");
    assert!(
        !said.is_empty() && said.iter().all(|s| s.contains("damaged")),
        "{said:?}"
    );
    let (same, said) = hear();
    assert!(same > 0.999_999 && said.is_empty(), "{same} {said:?}");
    // Cut short, as a full disk leaves it.
    for copy in copies() {
        let bytes = fs::read(&copy).expect("a copy");
        fs::write(&copy, &bytes[..bytes.len() / 3]).expect("damaged");
    }
    let (same, said) = hear();
    assert!(same > 0.999_999 && !said.is_empty(), "{same} {said:?}");
}

#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    client.run("SET statement_timeout = '20s'");
    let fifo = |name: &str| {
        let path = scratch.path(name);
        let made = std::process::Command::new("mkfifo")
            .arg("-m")
            .arg("666")
            .arg(&path)
            .status();
        assert!(made.expect("mkfifo starts").success());
        path
    };
    let alone = fifo("model.onnx");
    client.fails(
        &format!(
            "SELECT ai_audio_register_model('mine', 'speaker-embedding', '{}')",
            alone.display()
        ),
        SqlState::INVALID_PARAMETER_VALUE,
        &["model.onnx"],
    );
    fs::create_dir(scratch.path("whisper")).expect("a folder");
    for part in [
        "encoder_model.onnx",
        "decoder_model_merged.onnx",
        "tokenizer.json",
    ] {
        fifo(&format!("whisper/{part}"));
    }
    let error = client.error(&format!(
        "SELECT ai_audio_register_model('mine', 'speech-recognition', '{}')",
        scratch.path("whisper").display()
    ));
    assert!(error.message().contains("encoder_model"), "{error:?}");
    // One that was a file when it was registered.
    let file: String =
        client.value("SELECT file FROM ai_audio_models WHERE name = 'campplus_zh_en'");
    let later = scratch.file("later.onnx", &fs::read(file).expect("the built-in model"));
    client.run(&format!(
        "SELECT ai_audio_register_model('mine', 'speaker-embedding', '{later}')"
    ));
    fs::remove_file(scratch.path("later.onnx")).expect("gone");
    fifo("later.onnx");
    let mut later = database.connect();
    later.run("SET statement_timeout = '20s'");
    let error = later.error(&format!(
        "SELECT ai_audio_embed('mine', '{}')",
        clip("june-1.wav")
    ));
    assert!(error.message().contains("regular file"), "{error:?}");
}

#[test]
fn jsonb_that_is_no_configuration_is_a_clear_error() {
    let database = Database::new();
    let mut client = database.connect();
    let nested = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
    for config in [
        r#"{"aliases": 1e400}"#,
        r#"{"aliases": [1]}"#,
        r#"[1]"#,
        "1e400",
        &nested,
    ] {
        let error = client.error(&register("mine", config));
        assert_eq!(
            error.code(),
            &SqlState::INVALID_PARAMETER_VALUE,
            "{config}: {error:?}"
        );
    }
    // What a superuser wrote into the table by hand does not stand in the way either.
    client.run(&format!(
        "{}; UPDATE ai_audio.models SET config = '{{\"aliases\": 1e400}}'",
        register("mine", "{}")
    ));
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM ai_audio_models WHERE name = 'mine'"),
        1
    );
}

/// A copy of a network of the published inputs and outputs of SenseVoice or Paraformer, in a folder that the server can read.
fn funasr(scratch: &Scratch, name: &str) -> String {
    speech_model(scratch, "funasr", name)
}

/// The same of any family.
fn speech_model(scratch: &Scratch, family: &str, name: &str) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/transcribe/tests/fixtures")
        .join(family)
        .join(name);
    let folder = scratch.path(name);
    fs::create_dir(&folder).expect("a directory");
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("permissions");
    for entry in fs::read_dir(source).expect("fixtures") {
        let entry = entry.expect("an entry");
        let content = fs::read(entry.path()).expect("a file");
        scratch.file(&format!("{name}/{}", entry.file_name().display()), &content);
    }
    folder.display().to_string()
}

#[test]
fn sensevoice_and_paraformer_are_known_by_their_folders() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    for (name, folder, config) in [
        (
            "sense",
            "sensevoice-sherpa",
            r#"{"aliases": ["sensevoice-v1", "fun-asr"]}"#,
        ),
        ("plain", "sensevoice-funasr", r#"{"itn": false}"#),
        (
            "para",
            "paraformer-funasr",
            r#"{"aliases": ["paraformer-v2"]}"#,
        ),
    ] {
        let path = funasr(&scratch, folder);
        client.run(&format!(
            "SELECT ai_audio_register_model('{name}', 'speech-recognition', '{path}', '{config}')"
        ));
    }
    let clip = clip("june-1.wav");
    let part = "start_time: 0, end_time: 2000";
    for (model, options, wanted) in [
        ("sense", "", "你好300元。"),
        ("sensevoice-v1", ", itn: false", "你好三百元"),
        ("fun-asr", ", lang: \"en\"", "hello world."),
        ("plain", "", "你好三百元"),
        ("plain", ", itn: true", "你好300元。"),
        ("paraformer-v2", "", "你好 world CCTV 再见"),
        ("para", ", lang: \"zh-TW\"", "你好 world CCTV 再見"),
    ] {
        let text: String = client.value(&format!(
            "SELECT ai_audio_transcribe('{model}', '{clip}', '{{{part}{options}}}')"
        ));
        assert_eq!(text, wanted, "{model}{options}");
    }
    // From the optimised copy in the cache, too, which must know the metadata.
    let again: String = database.connect().value(&format!(
        "SELECT string_agg(language || ' ' || text, '|')
           FROM ai_audio_sentences('{clip}', 'sense', '{{{part}, diarization: false}}')"
    ));
    assert_eq!(again, "zh 你好300元。");
    let spoken: String = client.value(&format!(
        "SELECT language FROM ai_audio_detect_language('{clip}', 'sense')"
    ));
    assert_eq!(spoken, "zh");
}

/// NeMo's CTC models by the metadata of their graph; they write the language that they are known for.
#[test]
fn nemo_ctc_models_are_known_by_their_metadata() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let path = speech_model(&scratch, "nemo", "known");
    let register = |name: &str, config: &str| {
        format!(
            "SELECT ai_audio_register_model('{name}', 'speech-recognition', '{path}', '{config}')"
        )
    };
    client.run(&register("parakeet", r#"{"aliases": ["parakeet-ctc"]}"#));
    client.run(&register("deutsch", r#"{"languages": ["de", "fr"]}"#));
    let clip = clip("austen-1.wav");
    let said = |model: &str, options: &str| {
        format!(
            "SELECT string_agg(language || ' ' || text, '|') FROM ai_audio_sentences('{clip}', '{model}',
               '{{diarization: false, start_time: 600, end_time: 2600{options}}}')"
        )
    };
    for (model, options, wanted) in [
        ("parakeet", "", "en hello world no no it''s."),
        (
            "parakeet-ctc",
            ", lang: \"en\"",
            "en hello world no no it''s.",
        ),
        ("deutsch", "", "de hello world no no it''s."),
        ("deutsch", ", lang: \"fr\"", "fr hello world no no it''s."),
    ] {
        let text: String = client.value(&said(model, options));
        assert_eq!(text, wanted.replace("''", "'"), "{model}{options}");
    }
    // From the optimised copy in the cache, too, which must know the metadata.
    let again: String = database.connect().value(&said("parakeet", ""));
    assert_eq!(again, "en hello world no no it's.");
    let invalid = SqlState::INVALID_PARAMETER_VALUE;
    client.fails(
        &said("parakeet", ", lang: \"de\""),
        invalid.clone(),
        &["en only"],
    );
    client.fails(
        &register("other", r#"{"languages": ["klingon"]}"#),
        invalid.clone(),
        &["config", "klingon"],
    );
    client.fails(&register("other", r#"{"itn": true}"#), invalid, &["itn"]);
}

#[test]
fn a_choice_that_a_speech_model_does_not_have_is_refused() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let path = funasr(&scratch, "paraformer-sherpa");
    let register = |config: &str| {
        format!(
            "SELECT ai_audio_register_model('para', 'speech-recognition', '{path}', '{config}')"
        )
    };
    let invalid = SqlState::INVALID_PARAMETER_VALUE;
    client.fails(
        &register(r#"{"itn": true}"#),
        invalid.clone(),
        &["itn", "SenseVoice"],
    );
    client.run(&register("{}"));
    let clip = clip("june-1.wav");
    client.fails(
        &format!("SELECT ai_audio_transcribe('para', '{clip}', '{{itn: true}}')"),
        invalid.clone(),
        &["itn"],
    );
    client.fails(
        &format!("SELECT ai_audio_transcribe('para', '{clip}', '{{lang: \"de\"}}')"),
        invalid,
        &["zh, en, yue, ja, ko"],
    );
    fs::remove_file(scratch.path("paraformer-sherpa/tokens.txt")).expect("removed");
    client.run("SELECT ai_audio_drop_model('para')");
    client.fails(
        &register("{}"),
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        &["tokens.json or tokens.txt"],
    );
}

/// A copy of a network of the published inputs and outputs of a speaker model, in a file that the server can read.
fn speaker_model(scratch: &Scratch, name: &str) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/voice/tests/fixtures/speaker")
        .join(name);
    scratch.file(name, &fs::read(source).expect("a fixture"))
}

#[test]
fn speaker_models_of_all_families_are_known_by_their_metadata() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    for name in ["wespeaker", "3d-speaker", "titanet"] {
        let file = speaker_model(&scratch, &format!("{name}.onnx"));
        client.run(&format!(
            "SELECT ai_audio_register_model('{name}', 'speaker-embedding', '{file}')"
        ));
        let told: i32 = client.value(&format!(
            "SELECT dimensions FROM ai_audio_models WHERE name = '{name}' AND NOT calibrated"
        ));
        let made: i32 = client.value(&format!(
            "SELECT vector_dims(ai_audio_embed('{name}', '{}'))",
            clip("june-1.wav")
        ));
        assert_eq!((told, made), (64, 64), "{name}");
    }
    let file = speaker_model(&scratch, "telephone.onnx");
    client.fails(
        &format!("SELECT ai_audio_register_model('phone', 'speaker-embedding', '{file}')"),
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        &["8000 Hz"],
    );
}

#[test]
fn a_registered_model_has_a_calibration_of_its_own() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let file = speaker_model(&scratch, "titanet.onnx");
    let register = format!(
        "SELECT ai_audio_register_model('titan', 'speaker-embedding', '{file}', '{{\"aliases\": [\"titanet\"]}}')"
    );
    client.run(&register);
    client.run(
        "CREATE TABLE pairs AS SELECT i % 2 = 0 AS same_speaker,
             CASE WHEN i % 2 = 0 THEN 0.9 ELSE 0.8 END + 0.02 * sin(i) AS similarity FROM generate_series(1, 400) i;",
    );
    let verify =
        "SELECT (ai_voice_verify('[1, 0]', '[1, 0.7]', '{model: \"titanet\"}')).same_speaker";
    let calibrated = "SELECT calibrated FROM ai_audio_models WHERE name = 'titan'";
    let invalid = || SqlState::INVALID_PARAMETER_VALUE;
    client.fails(
        verify,
        invalid(),
        &["no calibration for model \"titan\"", "model => 'titan'"],
    );
    assert!(!client.value::<bool>(calibrated));
    let calibrate =
        "SELECT calibration FROM ai_voice_calibrate('SELECT * FROM pairs', model => 'titanet')";
    assert_eq!(
        client.value::<String>(calibrate),
        "titan",
        "its name if none is given"
    );
    assert!(client.value::<bool>(calibrated));
    assert!(!client.value::<bool>(verify), "0.82 is somebody else here");
    // Found among a library's, too, by plain similarities: it knows nothing of normalised ones.
    client.run("CREATE TABLE lib AS SELECT 'a' AS name, '[1, 0]'::vector(2) AS v");
    let identify = |options: &str| {
        format!(
            "SELECT name FROM ai_voice_identify('[1, 0.1]', 'lib', '{{model: \"titan\"{options}}}')"
        )
    };
    assert_eq!(
        client.value::<Option<String>>(&identify("")).as_deref(),
        Some("a")
    );
    client.fails(
        &identify(", normalize: true"),
        invalid(),
        &["normalize false"],
    );
    client.fails(
        "SELECT ai_voice_calibrate('SELECT * FROM pairs', model => 'audio_embedding')",
        invalid(),
        &["comes with a calibration"],
    );
    client.fails(
        "SELECT ai_voice_calibrate('SELECT * FROM pairs', model => 'nobody')",
        SqlState::UNDEFINED_OBJECT,
        &["nobody"],
    );
    assert!(client.value::<bool>("SELECT ai_voice_calibrate(NULL) IS NULL"));
    // Another model of this name is calibrated otherwise.
    client.run(&format!("SELECT ai_audio_drop_model('titan'); {register}"));
    assert!(!client.value::<bool>(calibrated));
    let kept =
        "SELECT (ai_voice_verify('[1, 0]', '[1, 0.7]', '{calibration: \"titan\"}')).same_speaker";
    assert!(!client.value::<bool>(kept), "it stays under its name");
}

#[test]
fn a_probe_of_another_model_than_the_librarys_is_told() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let (mut client, notices) = database.connect_noting();
    let file = speaker_model(&scratch, "titanet.onnx");
    client.run(&format!(
        "SELECT ai_audio_register_model('titan', 'speaker-embedding', '{file}');
         CREATE TABLE wide (name text, v vector(512));
         INSERT INTO wide VALUES ('June', ai_audio_embed('{0}', '{{dimensions: 512}}'));
         CREATE TABLE small (name text, v vector(64));
         INSERT INTO small VALUES ('June', ai_audio_embed('titan', '{0}'))",
        clip("june-1.wav")
    ));
    let find = |model: &str, library: &str| {
        format!(
            "SELECT name FROM ai_voice_identify(ai_audio_embed('{model}', '{}'), '{library}')",
            clip("june-2.wav")
        )
    };
    let warned = || std::mem::take(&mut *notices.lock().expect("not poisoned"));
    client.run(&find("audio_embedding", "wide"));
    assert!(warned().is_empty());
    client.run(&find("titan", "wide"));
    let said = warned();
    assert!(
        said.iter()
            .any(|w| w.message().contains("have 192 numbers") && w.message().contains("has 64")),
        "{said:?}"
    );
    client.fails(
        &find("audio_embedding", "small"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["holds voiceprints of 64", "192"],
    );
}
